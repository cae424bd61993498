"""The command line: ablate plan | run | status | report | ui | bench | metrics | check.

It says what it will do, how long that takes, where the result lies and what to do next. A mistake is one sentence
and exit code 2; nothing is written before every check has passed.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

if TYPE_CHECKING:
    from ablations.plan import Plan
    from ablations.reporting import Written
    from tracking.store import Store

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Train every loss × reduction × beta × seed, track it in MLflow, and judge claims about VAEs.",
    epilog="Start with: ablate run digits",
)
check_app = typer.Typer(no_args_is_help=True, help="Check something of your own before you use it in a study.")
app.add_typer(check_app, name="check")

# Where nobody looks on, lines are for programs: wide enough that no name is folded.
out = Console(highlight=False, soft_wrap=True, emoji=False, width=None if sys.stdout.isatty() else 200)
err = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)

RANKED_BY = "ssim"  # arms in MLflow's UI, at first: of all losses, and no loss is trained on it

StudyName = Annotated[str, typer.Argument(help="A bundled study or the path of a TOML file.", metavar="STUDY")]
Seeds = Annotated[str | None, typer.Option(help="Such as 0-7 or 0,2,5.")]
Epochs = Annotated[int | None, typer.Option(help="Passes over the training images.")]
Only = Annotated[list[str] | None, typer.Option(help="Keep part of the grid: loss=mae. May be repeated.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="Override any key: training.batch_size=256. May be repeated.")
]
Claims = Annotated[
    list[str] | None, typer.Option(help="A bundled or own claims file; 'none' for no claims. May be repeated.")
]
DataDir = Annotated[
    Path | None, typer.Option(envvar="ABLATE_DATA", help="Where data sets lie, as torchvision lays them out.")
]
Uri = Annotated[
    str | None,
    typer.Option("--tracking-uri", envvar="MLFLOW_TRACKING_URI", help="Default: sqlite:///mlflow.db in this folder."),
]
Out = Annotated[Path | None, typer.Option("--out", help="Folder of the report. Default: out/STUDY.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]


def _plan(
    study: str,
    seeds: str | None,
    epochs: int | None,
    only: list[str] | None,
    assignments: list[str] | None,
    claims: list[str] | None,
    data_dir: Path | None,
) -> Plan:
    from ablations import options, plan
    from ablations import study as studies

    chosen = options.overrides(seeds=seeds, epochs=epochs, assignments=assignments or (), claims=claims or ())
    narrowed = options.narrow(studies.load(study, chosen), only or ())
    return plan.prepare(narrowed, data_dir=data_dir)


@app.command("plan")
def plan_command(
    study: StudyName = "digits",
    seeds: Seeds = None,
    epochs: Epochs = None,
    only: Only = None,
    assignments: Set = None,
    claims: Claims = None,
    data_dir: DataDir = None,
    tracking_uri: Uri = None,
    device: Device = "auto",
    probe: Annotated[bool, typer.Option(help="Time a few batches to estimate how long a run takes.")] = True,
) -> None:
    """Show what a run would train: cells, arms with their effective beta, what is done, how long the rest takes."""
    from ablations import plan as planning
    from ablations import views

    plan = _plan(study, seeds, epochs, only, assignments, claims, data_dir)
    store = _store_if_there(tracking_uri)
    if store is not None:
        plan = _with_done(plan, store)
    out.print(views.plan_summary(plan))
    out.print(views.arm_table(plan))
    if probe and plan.pending:
        shop = planning.workshop(plan, planning.device_named(device), _cache())
        out.print(views.estimate_line(planning.estimate(plan, shop), plan))
    following = f"Next: ablate run {study}" if plan.pending else f"Nothing left to train. Next: ablate report {study}"
    out.print(following, markup=False)


@app.command()
def run(
    study: StudyName = "digits",
    seeds: Seeds = None,
    epochs: Epochs = None,
    only: Only = None,
    assignments: Set = None,
    claims: Claims = None,
    data_dir: DataDir = None,
    tracking_uri: Uri = None,
    device: Device = "auto",
    out_dir: Out = None,
    report: Annotated[bool, typer.Option(help="Write the report at the end.")] = True,
) -> None:
    """Train and measure every cell that has no result yet, then write the report."""
    from ablations import driver, reporting, views
    from ablations import plan as planning
    from ablations.progress import Display
    from tracking.store import open_store

    where = planning.device_named(device)
    plan = _plan(study, seeds, epochs, only, assignments, claims, data_dir)
    target = (out_dir or Path("out") / plan.study.name).resolve()
    if report:
        reporting.check_writable(target)
    cache = _cache()
    store = open_store(tracking_uri)
    plan = _with_done(plan, store)
    out.print(views.plan_summary(plan))
    with Display(out, len(plan.pending), plan.study.training.epochs) as display:
        outcome = driver.execute(plan, planning.workshop(plan, where, cache), store, display)
    for line in views.outcome_lines(outcome, plan, study):
        out.print(line)
    if outcome.interrupted:
        raise typer.Exit(outcome.exit_code)
    if report:
        with out.status("Writing the report ..."):
            written = reporting.write(store, plan.study.name, target)
        _say_report(written)
    out.print(f"Runs:   {store.shown} — browse them with: ablate ui", markup=False)
    raise typer.Exit(outcome.exit_code)


@app.command()
def status(tracking_uri: Uri = None) -> None:
    """List the studies in the store: when they ran, how many cells are done, failed and missing."""
    from ablations import reporting, views
    from tracking.store import open_store

    store = open_store(tracking_uri, create=False)
    found = reporting.progress(store)
    out.print(views.status_table(found) if found else f"No study was run in {store.shown} yet. Next: ablate run digits")


@app.command("report")
def report_command(
    studies: Annotated[list[str] | None, typer.Argument(help="One study to report, or two to compare.")] = None,
    out_dir: Out = None,
    claims: Claims = None,
    tracking_uri: Uri = None,
    fail_on: Annotated[
        str | None, typer.Option("--fail-on", help="Exit with 1 where a claim got this verdict, such as refuted.")
    ] = None,
) -> None:
    """Write the report of a study as it was last run; of two studies, their comparison arm by arm."""
    from ablations import reporting
    from ablations.study import name_of
    from tracking.store import open_store

    names = [name_of(name) for name in studies or ["digits"]]
    reporting.check_request(names, fail_on, claims or ())
    target = (out_dir or Path("out") / "-against-".join(names)).resolve()
    reporting.check_writable(target)
    store = open_store(tracking_uri, create=False)
    if len(names) == 2:
        _say_report(reporting.compare(store, names[0], names[1], target))
        return
    written = reporting.write(store, names[0], target, claim_files=claims or ())
    _say_report(written)
    named = [each.claim.id for each in written.verdicts if each.verdict == fail_on]
    if named:
        err.print(f"--fail-on {fail_on}: {', '.join(named)}", markup=False)
        raise typer.Exit(1)


def _say_report(written: Written) -> None:
    from ablations import views

    if written.verdicts:
        out.print(views.verdict_table(written.verdicts))
    out.print(f"Report: {written.page}", markup=False)


@app.command()
def ui(
    tracking_uri: Uri = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Default: 5000, or another where it is taken.")
    ] = None,
) -> None:
    """Open MLflow's own UI on the right store, on this machine only."""
    from tracking.store import open_store
    from tracking.ui import check_port, links, ui_command

    if port is not None:
        check_port(port)
    store = open_store(tracking_uri, create=False)
    command = ui_command(store, port)
    address = f"http://127.0.0.1:{command[command.index('--port') + 1]}"
    said = f"MLflow's UI on {store.shown}\nOpen {address} — it may take a few seconds. Stop it with Ctrl-C."
    out.print(said, markup=False)
    for each in links(store, address, RANKED_BY):
        out.print(f"  {each.study}: runs {each.runs}\n  {' ' * len(each.study)}  arms {each.arms}", markup=False)
    raise typer.Exit(_run_to_its_end(command))


@app.command(
    add_help_option=False,  # so that --help reaches the bench, which parses its own options
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def bench(context: typer.Context) -> None:
    """Measure training throughput against the plain loop and the machine's ceiling."""
    from ablations import bench as benchmark

    raise typer.Exit(benchmark.main(context.args))


@app.command()
def metrics() -> None:
    """List every metric: unit, direction, what it measures and what fools it."""
    from ablations import views

    for line in views.metric_lines():
        out.print(line)


@check_app.command("loss")
def check_loss(name: Annotated[str, typer.Argument(help="mypackage.losses:charbonnier, or a built-in loss.")]) -> None:
    """Test a loss of your own: shape, sign, gradient, zero at equality, finite at the ends."""
    from ablations import views
    from vae.conformance import check_loss as findings

    found = findings(name)
    out.print(views.findings_table(name, found))
    raise typer.Exit(0 if all(each.passed for each in found) else 1)


def _run_to_its_end(command: Sequence[str]) -> int:
    """A program that serves until it is stopped; whoever ends us by a signal ends it too."""
    import signal
    import subprocess

    server = subprocess.Popen(command)
    signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    try:
        return server.wait()
    except KeyboardInterrupt:  # the terminal has told the server as well
        server.wait()
        return 0


def _with_done(plan: Plan, store: Store) -> Plan:
    from tracking.search import completed

    return plan.with_done(completed(store, plan.keys.values(), plan.study.name))


def _store_if_there(uri: str | None) -> Store | None:
    """The store, or None where the default one does not exist yet: a plan creates nothing."""
    from tracking.store import open_store, resolve

    store = resolve(uri)
    return None if store.path is not None and not os.path.exists(store.path) else open_store(uri, create=False)


def _cache() -> Path:
    """Where trained classifiers are kept between runs: the user's cache folder."""
    from vae.errors import UserError

    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    there = next(each for each in (base, *base.parents) if each.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise UserError(f"cache {str(base)!r}: {there} is not a folder that can be written to; set XDG_CACHE_HOME")
    return base / "vae-ablations"


def main() -> None:
    """The console script: user errors as one sentence with exit code 2, Ctrl-C as 130."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without our signs shows others, and lives
    sys.path.append(os.getcwd())  # a loss of one's own may lie in the working folder; last, so that it hides nothing
    sys.exit(_guarded(lambda: app(standalone_mode=False)))


def _guarded(work: Callable[[], object]) -> int:
    from tracking.errors import TrackingError
    from vae.errors import UserError

    try:
        code = work()
    except (UserError, TrackingError) as error:
        err.print(f"[red]error:[/red] {_escaped(str(error))}")
        return 2
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except Exception as error:
        show = getattr(error, "show", None)  # a usage error, of click's or of the click inside typer
        if show is None:
            raise
        show()
        return 2
    if code == 130:
        err.print("Interrupted. What is finished is kept; the same command goes on from there.")
    return code if isinstance(code, int) else 0


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)


if __name__ == "__main__":
    main()

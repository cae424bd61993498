"""The command line: ablate plan | run | measure | sync | rebuild | status | report | ui | bench | metrics | check.

It says what it will do, how long that takes, where the result lies and what to do next. A mistake is one sentence
and exit code 2; nothing is written before every check has passed. Commands import what they need when they run, so that
help and usage errors come at once.
"""

from __future__ import annotations

import inspect
import io
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from ablations.plan import Plan
    from ablations.reporting import Written
    from ablations.setup import Setup
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

# Output that is not a terminal is for programs: wide enough that no name is folded.
out = Console(highlight=False, soft_wrap=True, emoji=False, width=None if sys.stdout.isatty() else 200)
err = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)

RANKED_BY = "ssim"  # arms in MLflow's UI, at first: of all losses, and no loss is trained on it

Claims = Annotated[
    list[str] | None, typer.Option(help="A bundled or own claims file; 'none' for no claims. May be repeated.")
]
Uri = Annotated[
    str | None,
    typer.Option("--tracking-uri", envvar="MLFLOW_TRACKING_URI", help="Default: sqlite:///mlflow.db in this folder."),
]
Out = Annotated[Path | None, typer.Option("--out", help="Folder of the report. Default: out/STUDY.")]
Report = Annotated[bool, typer.Option(help="Write the report at the end.")]


@dataclass(frozen=True)
class StudyOptions:
    """The options that plan, run and measure have in common."""

    study: Annotated[str, typer.Argument(help="A bundled study or the path of a TOML file.", metavar="STUDY")] = (
        "digits"
    )
    seeds: Annotated[str | None, typer.Option(help="Such as 0-7 or 0,2,5.")] = None
    epochs: Annotated[int | None, typer.Option(help="Passes over the training images.")] = None
    only: Annotated[list[str] | None, typer.Option(help="Keep part of the grid: loss=mae. May be repeated.")] = None
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="Override any key: training.batch_size=256. May be repeated.")
    ] = None
    claims: Claims = None
    data_dir: Annotated[
        Path | None, typer.Option(envvar="ABLATE_DATA", help="Where data sets lie, as torchvision lays them out.")
    ] = None
    tracking_uri: Uri = None
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto"

    def plan(self) -> Plan:
        from ablations import options
        from ablations.studies import table_of

        # A mistake that needs no data to be seen is reported before anything heavy is imported.
        table_of(self.study)
        options.check_device(self.device)
        chosen = options.overrides(
            seeds=self.seeds, epochs=self.epochs, assignments=self.assignments or (), claims=self.claims or ()
        )
        for text in self.only or ():
            options.assignment("--only", text)
        if self.seeds is not None:
            from ablations.sections import parse_seeds

            parse_seeds(self.seeds)
        from ablations import study as studies

        narrowed = options.narrow(studies.load(self.study, chosen), self.only or ())
        from ablations.checks import check_inputs

        check_inputs(narrowed)
        from ablations import plan  # with torch

        return plan.prepare(narrowed, data_dir=self.data_dir, cache=_cache())

    def setup(self, plan: Plan) -> Setup:
        from ablations.setup import Setup, device_named

        return Setup.of(plan.study, plan.images, device_named(self.device), cache=_cache())


def with_study_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command as Typer reads it: its first parameter is replaced by the fields of `StudyOptions`."""
    shared = inspect.signature(StudyOptions, eval_str=True).parameters
    _, *own = inspect.signature(command, eval_str=True).parameters.values()

    @wraps(command)
    def flat(**values: Any) -> None:
        command(StudyOptions(**{name: values.pop(name) for name in shared}), **values)

    flat.__signature__ = inspect.Signature([*shared.values(), *own])  # type: ignore[attr-defined]
    return flat


@app.command("plan")
@with_study_options
def plan_command(
    options: StudyOptions,
    probe: Annotated[bool, typer.Option(help="Time a few batches to estimate how long a run takes.")] = True,
) -> None:
    """Show what a run would train: cells, arms with their effective beta, what is done, how long the rest takes."""
    plan = options.plan()
    from ablations import driver, estimate, views

    store = _store_if_there(options.tracking_uri)
    if store is not None:
        plan = driver.with_stored(plan, store)
    out.print(views.plan_summary(plan))
    out.print(views.arm_table(plan))
    if (margins := views.margin_table(plan)) is not None:
        out.print(margins)
    if probe and plan.pending:
        out.print(views.estimate_line(estimate.seconds_left(plan, options.setup(plan)), plan))
    study = options.study
    next_command = f"Next: ablate run {study}" if plan.pending else f"Nothing left to do. Next: ablate report {study}"
    out.print(next_command, markup=False)


@app.command()
@with_study_options
def run(options: StudyOptions, out_dir: Out = None, report: Report = True) -> None:
    """Train and measure every cell that has no result yet, then write the report."""
    _execute(options, out_dir, report, train=True)


@app.command()
@with_study_options
def measure(options: StudyOptions, out_dir: Out = None, report: Report = True) -> None:
    """Measure trained cells again from their kept weights, after a metric or an evaluation setting changed."""
    _execute(options, out_dir, report, train=False)


def _execute(options: StudyOptions, out_dir: Path | None, report: bool, *, train: bool) -> None:
    plan = options.plan()
    import torch

    from ablations import driver, reporting, views
    from ablations.executors.checkpoints import Checkpoints, folder_of
    from ablations.executors.local import Local
    from ablations.progress import Display
    from ablations.references import references_of
    from tracking.opening import open_store
    from vae.errors import UserError

    target = (out_dir or Path("out") / plan.study.name).resolve()
    if report:
        reporting.check_writable(target)
    setup = options.setup(plan)
    store = open_store(options.tracking_uri, create=train)
    left = driver.sync(store, plan.study.name)
    for line in views.left_lines(left, options.study):
        out.print(line)
    if left.unsent:
        raise typer.Exit(driver.TRACKER_GONE)
    plan = driver.with_stored(plan, store)
    out.print(views.plan_summary(plan))
    if not train and plan.pending and not plan.to_measure:
        raise UserError(views.nothing_to_measure(plan, options.study))
    done = [plan.keys[cell] for cell in plan.done]
    folder = folder_of(store.uri, store.path, plan.study.name, _cache())
    checkpoints = Checkpoints(setup, folder, done=done)
    # On the CPU: the same numbers as when the plan was made, whatever the device of the run.
    references = partial(references_of, plan.images, plan.study.evaluation, cache=_cache(), device=torch.device("cpu"))
    with Display(out, len(plan.pending if train else plan.to_measure)) as display:
        outcome = driver.execute(
            plan, Local(setup, checkpoints), store, display, device=setup.device, train=train, references=references
        )
    for line in views.outcome_lines(outcome, plan, options.study, train=train):
        out.print(line)
    if outcome.interrupted or outcome.gone:
        raise typer.Exit(outcome.exit_code)
    if report and (train or not plan.to_train):  # else the report of all cells stays as it is
        with out.status("Writing the report ..."):
            stored = plan.stored if outcome.idle else None  # nothing was written since it was read
            written = reporting.write_if_changed(store, plan.study.name, target, stored)
        _print_report(written)
    out.print(f"Runs:   {store.shown} — browse them with: ablate ui", markup=False)
    raise typer.Exit(outcome.exit_code)


@app.command()
def sync(
    study: Annotated[str, typer.Argument(help="A study as it was run.", metavar="STUDY")] = "digits",
    tracking_uri: Uri = None,
) -> None:
    """Send the cells that wait on disk because the tracker was away when they were finished; train nothing."""
    from ablations.studies import name_of
    from tracking.store import resolve

    name = name_of(study)
    from ablations import driver, views
    from tracking.opening import open_store

    store = resolve(tracking_uri)
    if driver.spool_of(store, name).count() == 0:
        out.print(f"No cell of {name} waits for {store.shown}.", markup=False)
        return
    left = driver.sync(open_store(tracking_uri), name)
    for line in views.left_lines(left, study):
        out.print(line)
    raise typer.Exit(driver.TRACKER_GONE if left.unsent else 0)


@app.command()
def rebuild(tracking_uri: Uri = None) -> None:
    """Make a lost or damaged database anew from the records that lie with the files of its runs."""
    from tracking.rebuild import rebuild as made_anew
    from tracking.store import resolve

    store = resolve(tracking_uri)
    rebuilt = made_anew(store)
    from ablations import views

    for line in views.rebuilt_lines(rebuilt, store.shown):
        out.print(line, markup=False)


@app.command()
def status(
    tracking_uri: Uri = None,
    check: Annotated[bool, typer.Option("--check", help="Read every file of every cell, and name what is damaged.")] = (
        False
    ),
) -> None:
    """List the studies in the store: when they ran, how many cells are done, failed and missing."""
    from tracking.opening import open_store
    from tracking.overview import progress

    store = open_store(tracking_uri, create=False)
    studies = progress(store)
    if not studies:
        out.print(f"No study was run in {store.shown} yet. Next: ablate run digits", markup=False)
        return
    from ablations import views

    out.print(views.status_table(studies))
    if check:
        from tracking.checking import check_study

        damage = [part for one in studies for part in check_study(store, one.study)]
        for line in views.damage_lines(damage):
            out.print(line, markup=False)
        raise typer.Exit(1 if damage else 0)


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
    from ablations.options import check_report
    from ablations.studies import name_of

    names = [name_of(name) for name in studies or ["digits"]]
    check_report(names, fail_on, claims or ())
    from tracking.opening import open_store

    store = open_store(tracking_uri, create=False)
    from ablations import reporting  # with torch

    target = (out_dir or Path("out") / "-against-".join(names)).resolve()
    reporting.check_writable(target)
    if len(names) == 2:
        _print_report(reporting.compare(store, names[0], names[1], target))
        return
    written = reporting.write(store, names[0], target, claim_files=claims or ())
    _print_report(written)
    named = [verdict.claim.id for verdict in written.verdicts if verdict.verdict == fail_on]
    if named:
        err.print(f"--fail-on {fail_on}: {', '.join(named)}", markup=False)
        raise typer.Exit(1)


def _print_report(written: Written) -> None:
    from ablations import views

    if not written.anew:
        out.print(f"Nothing has changed; the report is at {written.page}", markup=False)
        return
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
    from tracking.opening import open_store
    from tracking.ui import check_port, links, ui_command

    if port is not None:
        check_port(port)
    store = open_store(tracking_uri, create=False)
    command = ui_command(store, port)
    address = f"http://127.0.0.1:{command[command.index('--port') + 1]}"
    out.print(f"MLflow's UI on {store.shown}", markup=False)
    out.print(f"Open {address} — it may take a few seconds. Stop it with Ctrl-C.", markup=False)
    for pages in links(store, address, RANKED_BY):
        out.print(f"  {pages.study}: runs {pages.runs}\n  {' ' * len(pages.study)}  arms {pages.arms}", markup=False)
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

    out.print(*views.metric_lines(), sep="\n")


@check_app.command("loss")
def check_loss(name: Annotated[str, typer.Argument(help="mypackage.losses:charbonnier, or a built-in loss.")]) -> None:
    """Test a loss of your own: shape, sign, gradient, zero at equality, finite at the ends."""
    from vae.losses import loss

    loss(name)  # a name that leads to no loss is reported before torch is imported
    from ablations import views
    from vae.conformance import check_loss as check

    findings = check(name)
    out.print(views.findings_table(name, findings))
    raise typer.Exit(0 if all(finding.passed for finding in findings) else 1)


def _run_to_its_end(command: Sequence[str]) -> int:
    """A program that serves until it is stopped; a signal that ends this process ends it too."""
    import signal
    import subprocess

    server = subprocess.Popen(command)
    signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    try:
        return server.wait()
    except KeyboardInterrupt:  # the terminal has interrupted the server as well
        server.wait()
        return 0


def _store_if_there(uri: str | None) -> Store | None:
    """The store, or None where the default one does not exist yet: a plan creates nothing."""
    from tracking.opening import open_store
    from tracking.store import resolve

    store = resolve(uri)
    return None if store.path is not None and not os.path.exists(store.path) else open_store(uri, create=False)


def _cache() -> Path:
    """Where trained classifiers are kept between runs: the user's cache folder."""
    from vae.cache import user_cache
    from vae.errors import UserError

    base = user_cache().parent
    existing = next(folder for folder in (base, *base.parents) if folder.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise UserError(f"cache {str(base)!r}: {existing} is not a folder that can be written to; set XDG_CACHE_HOME")
    return user_cache()


def main() -> None:
    """The console script: user errors as one sentence with exit code 2; 130 after Ctrl-C, 143 and 129 after signals."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character shows another
    from ablations import signals

    signals.install()
    sys.path.append(os.getcwd())  # a user's own loss may lie in the working folder; last, so that it hides no module
    sys.exit(_guarded(lambda: app(standalone_mode=False)))


def _guarded(work: Callable[[], object]) -> int:
    from tracking.errors import TrackingError
    from vae.errors import UserError, shortened

    try:
        code = work()
    except (UserError, TrackingError) as error:
        err.print(f"[red]error:[/red] {escape(shortened(str(error)))}")
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
        from ablations import signals

        err.print(signals.SENTENCE)
        return signals.exit_code()
    return code if isinstance(code, int) else 0


if __name__ == "__main__":
    main()

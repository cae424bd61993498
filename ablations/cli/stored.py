"""Commands on what a store holds: status, rebuild, report, ui."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ablations.cli.console import err, muted, out, print_json, say
from ablations.cli.parameters import AsJson, Claims, Commands, Out, Quiet, Uri, store_options
from ablations.studies import bundled

RANKED_BY = "ssim"  # arms in MLflow's UI, at first: of all losses, and no loss is trained on it


def rebuild(tracking_uri: Uri = None) -> None:
    """Make a lost or damaged database anew from the records that lie with the files of its runs."""
    from tracking.rebuild import rebuild as made_anew
    from tracking.store import resolve

    store = resolve(tracking_uri)
    rebuilt = made_anew(store)
    from ablations import views

    for line in views.rebuilt_lines(rebuilt, store.shown):
        say(line)


def status(
    tracking_uri: Uri = None,
    check: Annotated[bool, typer.Option("--check", help="Read every file of every cell, and name what is damaged.")] = (
        False
    ),
    as_json: AsJson = False,
) -> None:
    """List the studies in the store: when they ran, how many cells are done, failed and missing."""
    with out.status("Reading the store ..."):
        from tracking.checking import check_study
        from tracking.opening import open_store
        from tracking.overview import progress

        store = open_store(tracking_uri, create=False)
        studies = progress(store)
        damage = [part for one in studies for part in check_study(store, one.study)] if check else []
    if as_json:
        from ablations.cli import documents

        print_json(documents.status(studies, store.shown, damage if check else None))
    elif not studies:
        again = Commands("digits", (), store_options(tracking_uri))
        say(f"No study was run in {store.shown} yet. Next: {again('run')}")
    else:
        from ablations import views

        out.print(views.status_table(studies))
        for line in views.damage_lines(damage) if check else ():
            say(line)
    raise typer.Exit(1 if damage else 0)


def report_command(
    studies: Annotated[
        list[str] | None,
        typer.Argument(
            help="One study to report, or two to compare.", autocompletion=lambda: list(bundled()), metavar="STUDY"
        ),
    ] = None,
    out_dir: Out = None,
    claims: Claims = None,
    tracking_uri: Uri = None,
    fail_on: Annotated[
        str | None, typer.Option("--fail-on", help="Exit with 1 where a claim got this verdict, such as refuted.")
    ] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Write the report of a study as it was last run; of two studies, their comparison arm by arm."""
    from ablations.cli.running import print_report
    from ablations.options import check_report
    from ablations.studies import name_of

    names = [name_of(name) for name in studies or ["digits"]]
    check_report(names, fail_on, claims or ())
    with muted(quiet, as_json):
        with out.status("Reading the store and writing the report ..."):
            from tracking.opening import open_store

            store = open_store(tracking_uri, create=False)
            from ablations import reporting  # with torch

            target = (out_dir or Path("out") / "-against-".join(names)).resolve()
            reporting.check_writable(target)
            if len(names) == 2:
                written = reporting.compare(store, names[0], names[1], target)
            else:
                written = reporting.write(store, names[0], target, claim_files=claims or ())
        print_report(written)
    if as_json:
        from ablations.cli import documents

        print_json(documents.report(written))
    named = [verdict.claim.id for verdict in written.verdicts if verdict.verdict == fail_on]
    if named:
        err.print(f"--fail-on {fail_on}: {', '.join(named)}", markup=False)
        raise typer.Exit(1)


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
    say(f"MLflow's UI on {store.shown}")
    say(f"Open {address} — it may take a few seconds. Stop it with Ctrl-C.")
    for pages in links(store, address, RANKED_BY):
        say(f"  {pages.study}: runs {pages.runs}\n  {' ' * len(pages.study)}  arms {pages.arms}")
    raise typer.Exit(_run_to_its_end(command))


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


def register(app: typer.Typer, **further: Any) -> None:
    """The commands of this file."""
    app.command(**further)(rebuild)
    app.command(**further)(status)
    app.command("report", **further)(report_command)
    app.command(**further)(ui)

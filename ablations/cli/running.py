"""Commands that train and measure: plan, run, measure, sync."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ablations.cli.console import WIDE, err, muted, out, print_json, say
from ablations.cli.parameters import (
    AsJson,
    Commands,
    Out,
    Quiet,
    Report,
    StudyName,
    StudyOptions,
    Uri,
    cache,
    store_options,
    with_study_options,
)

if TYPE_CHECKING:
    from rich.console import Console

    from ablations.driver import Outcome
    from ablations.plan import Plan
    from ablations.reporting import Written
    from ablations.setup import Setup
    from tracking.store import Store


@with_study_options
def plan_command(
    options: StudyOptions,
    probe: Annotated[bool, typer.Option(help="Time a few batches to estimate how long a run takes.")] = True,
    as_json: AsJson = False,
) -> None:
    """Show what a run would train: cells, arms with their effective beta, what is done, how long the rest takes."""
    plan = options.plan()
    from ablations import driver, estimate, views

    store = _store_if_there(options.tracking_uri)
    if store is not None:
        plan = driver.with_stored(plan, store)
    next_command = options.commands("run" if plan.pending else "report")
    with muted(as_json):
        out.print(views.plan_summary(plan))
        out.print(views.arm_table(plan, wide=out.width >= WIDE))
        if (margins := views.margin_table(plan)) is not None:
            out.print(margins)
        for line in views.undecidable_lines(plan):
            out.print(line)
        seconds = None
        if probe and plan.pending:
            with out.status("Timing a few batches ..."):
                seconds = estimate.seconds_left(plan, options.setup(plan))
            out.print(views.estimate_line(seconds, plan))
        say(f"Next: {next_command}" if plan.pending else f"Nothing left to do. Next: {next_command}")
    if as_json:
        from ablations.cli import documents

        print_json({**documents.plan(plan), "seconds_left": seconds if plan.pending else 0.0, "next": next_command})


@with_study_options
def run(
    options: StudyOptions, out_dir: Out = None, report: Report = True, quiet: Quiet = False, as_json: AsJson = False
) -> None:
    """Train and measure every cell that has no result yet, then write the report."""
    with muted(quiet, as_json):
        _execute(options, out_dir, report, train=True, quiet=quiet, as_json=as_json)


@with_study_options
def measure(
    options: StudyOptions, out_dir: Out = None, report: Report = True, quiet: Quiet = False, as_json: AsJson = False
) -> None:
    """Measure trained cells again from their kept weights, after a metric or an evaluation setting changed."""
    with muted(quiet, as_json):
        _execute(options, out_dir, report, train=False, quiet=quiet, as_json=as_json)


def _execute(
    options: StudyOptions, out_dir: Path | None, report: bool, *, train: bool, quiet: bool, as_json: bool
) -> None:
    plan = options.plan()
    from ablations import driver, reporting, views
    from tracking.opening import open_store
    from vae.errors import UserError

    target = (out_dir or Path("out") / plan.study.name).resolve()
    if report:
        reporting.check_writable(target)
    setup = options.setup(plan)  # a device that is not there is refused before a store is made
    with out.status("Opening the store ..."):
        store = open_store(options.tracking_uri, create=train)
        left = driver.sync(store, plan.study.name)
    for line in views.left_lines(left, options.commands):
        out.print(line)
    if left.unsent:
        raise typer.Exit(driver.TRACKER_GONE)
    plan = driver.with_stored(plan, store)
    out.print(views.plan_summary(plan))
    if not train and plan.pending and not plan.to_measure:
        raise UserError(views.nothing_to_measure(plan, options.commands))
    outcome = _trained(setup, plan, store, train=train, console=err if as_json and not quiet else out)
    for line in views.outcome_lines(outcome, plan, options.commands, train=train):
        out.print(line)
    written = None
    ended = not outcome.interrupted and not outcome.gone
    if ended and report and (train or not plan.to_train):  # else the report of all cells stays as it is
        with out.status("Writing the report ..."):
            stored = plan.stored if outcome.idle else None  # nothing was written since it was read
            written = reporting.write_if_changed(store, plan.study.name, target, stored)
        print_report(written)
    if ended:
        say(f"Runs:   {store.shown} — browse them with: {options.commands('ui')}")
    if as_json:
        from ablations.cli import documents

        print_json(documents.run(plan, outcome, written, store.shown))
    raise typer.Exit(outcome.exit_code)


def _trained(setup: Setup, plan: Plan, store: Store, *, train: bool, console: Console) -> Outcome:
    """The run itself. console: where progress is shown."""
    import torch

    from ablations import driver
    from ablations.executors.checkpoints import Checkpoints, folder_of
    from ablations.executors.local import Local
    from ablations.progress import Display
    from ablations.references import references_of

    done = [plan.keys[cell] for cell in plan.done]
    folder = folder_of(store.uri, store.path, plan.study.name, cache())
    checkpoints = Checkpoints(setup, folder, done=done)
    # On the CPU: the same numbers as when the plan was made, whatever the device of the run.
    references = partial(references_of, plan.images, plan.study.evaluation, cache=cache(), device=torch.device("cpu"))
    with Display(console, len(plan.pending if train else plan.to_measure)) as display:
        return driver.execute(
            plan, Local(setup, checkpoints), store, display, device=setup.device, train=train, references=references
        )


def sync(study: StudyName = "digits", tracking_uri: Uri = None, quiet: Quiet = False) -> None:
    """Send the cells that wait on disk because the tracker was away when they were finished; train nothing."""
    from ablations.studies import name_of
    from tracking.store import resolve

    name = name_of(study)
    from ablations import driver, views
    from tracking.opening import open_store

    store = resolve(tracking_uri)
    with muted(quiet):
        if driver.spool_of(store, name).count() == 0:
            say(f"No cell of {name} waits for {store.shown}.")
            return
        left = driver.sync(open_store(tracking_uri), name)
        for line in views.left_lines(left, Commands(study, (), store_options(tracking_uri))):
            out.print(line)
    raise typer.Exit(driver.TRACKER_GONE if left.unsent else 0)


def print_report(written: Written) -> None:
    """The verdicts, one line each, and where the report lies."""
    from ablations import answers

    if not written.anew:
        say(f"Nothing has changed; the report is at {written.page}")
        return
    for line in answers.lines(written.verdicts, min(out.width, WIDE)):
        out.print(line, soft_wrap=True)
    say(f"Report: {written.page}")


def _store_if_there(uri: str | None) -> Store | None:
    """The store, or None where the default one does not exist yet: a plan creates nothing."""
    from tracking.opening import open_store
    from tracking.store import resolve

    store = resolve(uri)
    return None if store.path is not None and not os.path.exists(store.path) else open_store(uri, create=False)


def register(app: typer.Typer, **further: Any) -> None:
    """The commands of this file."""
    app.command("plan", **further)(plan_command)
    app.command(**further)(run)
    app.command(**further)(measure)
    app.command(**further)(sync)

"""What the commands print: plain values in, Rich tables and sentences out. Everything from a file is shown as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.markup import escape
from rich.table import Table

from ablations.progress import duration
from vae.metrics.catalogue import CATALOGUE

if TYPE_CHECKING:
    from ablations.driver import Outcome
    from ablations.plan import Plan
    from ablations.reporting import Progress
    from reports.judging.verdict import Verdict
    from vae.conformance import Finding


def _table(*columns: str, right: Sequence[str] = ()) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        table.add_column(name, justify="right" if name in right else "left", overflow="fold")
    return table


def plan_summary(plan: Plan) -> str:
    """Two lines: what the study is, and how much of it is to be done."""
    study, arms = plan.study, plan.objectives
    pulled = sum(cell.origin == "claims" for cell in plan.cells) // len(study.seeds)
    extra = f", {pulled} of them pulled by claims" if pulled else ""
    title = escape(study.title or study.name)
    images = plan.images
    shape = "×".join(map(str, images.image_shape))
    return (
        f"[bold]{title}[/bold]\n"
        f"{escape(images.name)}: {len(images.train):,} training and {len(images.test):,} test images of {shape}; "
        f"{_count(len(arms), 'arm')}{extra} × {_count(len(study.seeds), 'seed')} = {_count(len(plan.cells), 'cell')}, "
        f"{len(plan.done)} done, {len(plan.pending)} to train."
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def arm_table(plan: Plan) -> Table:
    """Every arm with its effective beta, the other names of the same objective, and how many of its cells are done."""
    right = ("beta", "beta_eff", "done")
    table = _table("arm", "loss", "reduction", "beta", "beta_eff", "same objective as", "origin", "done", right=right)
    done = Counter(cell.objective for cell in plan.done)
    total = Counter(cell.objective for cell in plan.cells)
    origin = {cell.objective: cell.origin for cell in plan.cells}
    twins = {each: [other for other in group if other != each] for group in plan.same_objective() for each in group}
    for each in plan.objectives:
        beta_eff = plan.beta_eff(each.reduction, each.beta)
        same = ", ".join(other.label for other in twins.get(each, ()))
        cells = f"{done[each]}/{total[each]}"
        row = (each.label, each.loss, each.reduction, f"{each.beta:g}", f"{beta_eff:g}", same, origin[each], cells)
        table.add_row(*map(escape, row))
    return table


def estimate_line(seconds: float, plan: Plan) -> str:
    return (
        f"Estimated time: {duration(seconds)} for {_count(len(plan.pending), 'cell')} "
        f"(from a short probe on this machine; other work slows it)."
    )


def outcome_lines(outcome: Outcome, plan: Plan, study: str) -> list[str]:
    """How a run ended, and what to do next where it is not finished."""
    if not plan.pending:
        return ["Everything was done already; nothing was trained."]
    parts = ("preparing", "training", "measuring", "tracking")
    shares = ", ".join(f"{name} {getattr(outcome, name) / max(outcome.seconds, 1e-9):.0%}" for name in parts)
    lines = [f"{_count(outcome.done, 'cell')} trained and measured in {duration(outcome.seconds)}: {shares}."]
    if outcome.failed:
        lines.append(
            f"[yellow]{_count(outcome.failed, 'cell')} failed[/yellow]; each is a row of the report with its reason, "
            f"and is tried again by the next ablate run {escape(study)}."
        )
    return lines


def status_table(studies: Sequence[Progress]) -> Table:
    """One row per study: its latest run."""
    table = _table("study", "last run (UTC)", "cells", "done", "failed", "state", right=("cells", "done", "failed"))
    for each in studies:
        when = each.started.strftime("%Y-%m-%d %H:%M")
        table.add_row(escape(each.study), when, str(each.cells), str(each.done), str(each.failed), each.state)
    return table


def verdict_table(verdicts: Sequence[Verdict]) -> Table:
    """One row per claim: its verdict, its name, and the verdict in plain words."""
    table = _table("verdict", "claim", "in plain words")
    for each in verdicts:
        table.add_row(*map(escape, (each.verdict, each.claim.id, each.sentence)))
    return table


def metric_lines() -> Iterator[str]:
    """The catalogue of metrics, a paragraph each."""
    for each in CATALOGUE.values():
        facts = f"{each.unit}; better: {each.direction}; {each.low:g} to {each.high:g}; {each.source}"
        yield f"[bold]{escape(each.name)}[/bold]  {escape(facts)}"
        yield f"    {escape(each.about)}"
        yield f"    Fooled by {escape(each.fools)}.\n"


def findings_table(name: str, findings: Sequence[Finding]) -> Table:
    """What the conformance check of a loss found."""
    table = _table("property", "result", "detail")
    table.title = escape(name)
    for each in findings:
        verdict = "[green]holds[/green]" if each.passed else "[red]fails[/red]"
        table.add_row(escape(each.name), verdict, escape(each.detail))
    return table

"""What the commands print: plain values in, Rich tables and sentences out. Everything from a file is shown as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING

from rich import box
from rich.markup import escape
from rich.table import Table

from reports.numbers import counted, duration, setting, which_seeds, with_unit
from vae.metrics.catalogue import CATALOGUE

if TYPE_CHECKING:
    from rich.console import JustifyMethod

    from ablations.driver import Outcome
    from ablations.plan import Plan
    from ablations.shown import Shown
    from reports.claims.model import Claim
    from tracking.overview import StudyProgress
    from tracking.rebuild import Rebuilt
    from tracking.sender import Left
    from tracking.sums import Damage
    from vae.conformance import Finding

# The name of a command -> all that is to be typed for it, with the options that were given.
Commands = Callable[[str], str]


def _table(*columns: str, right: Sequence[str] = (), whole: Sequence[str] = ()) -> Table:
    """right: columns of numbers. whole: columns that are never broken."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        justify: JustifyMethod = "right" if name in right else "left"
        table.add_column(name, justify=justify, overflow="fold", no_wrap=name in whole)
    return table


def plan_summary(plan: Plan) -> str:
    """What the study is, how much of it is to be done, what arms share where not everything, and the disk it takes."""
    study, images = plan.study, plan.images
    pulled = sum(cell.origin == "claims" for cell in plan.cells) // len(study.seeds)
    extra = f", {pulled} of them added for claims" if pulled else ""
    shape = "×".join(map(str, images.image_shape))
    again = f"{len(plan.to_measure)} to measure again from kept weights, " if plan.to_measure else ""
    lines = [
        f"[bold]{escape(study.title or study.name)}[/bold]",
        f"{escape(images.name)}: {len(images.train):,} training and {len(images.test):,} test images of {shape}; "
        f"{counted(len(plan.arms), 'arm')}{extra} × {counted(len(study.seeds), 'seed')} = "
        f"{counted(len(plan.cells), 'cell')}, {len(plan.done)} done, {again}{len(plan.to_train)} to train.",
    ]
    if len({arm.model for arm in plan.arms}) > 1:
        lines.append(
            "All arms of a seed share the batch order. Arms of one model also share initial weights; arms of different "
            "models cannot, and their comparisons say so."
        )
    if plan.claims:
        from reports.claims.load import claims_hash

        lines.append(
            f"{counted(len(plan.claims), 'claim')} with hash {claims_hash(plan.claims)}. Publish it before the run and "
            "say where in the claims file (\\[registration] where, when): the report prints both."
        )
    if size := plan.weights_bytes():
        kept = {"all": "all weights are kept", "best": "the weights of each arm's best seed are kept"}
        amount = f"{size / 2**20:,.1f} MiB" if size < 2**30 else f"{size / 2**30:,.1f} GiB"
        lines.append(f"On disk, {kept[study.storage.weights]}: about {amount} (\\[storage] weights).")
    return "\n".join(lines)


def margin_table(plan: Plan) -> Table | None:
    """The least differences that matter to the claims, in units of these images, each with its reason; None without."""
    legs = [leg for claim in plan.claims for leg in claim.legs if leg.margin is not None and leg.metric]
    if not legs:
        return None
    table = _table("metric", "least difference that matters", "reason", right=("least difference that matters",))
    for metric, margin, unit, share, reason in dict.fromkeys(
        (
            leg.metric,
            float(leg.margin or 0.0),
            leg.kind.unit,
            f"{leg.share:.1%} of {leg.of}: " if leg.share else "",
            leg.reason,
        )
        for leg in legs
    ):
        own = CATALOGUE[metric].unit if unit is None else unit
        table.add_row(*map(escape, (metric, with_unit(setting(margin), own), share + reason)))
    return table


def undecidable_lines(plan: Plan) -> list[str]:
    """That the seeds are too few for some claims, and how many are the fewest; empty where they suffice."""
    from ablations.registration import ALPHA
    from reports.judging.statistics import least_seeds

    seeds, least = len(plan.study.seeds), least_seeds(ALPHA)
    tested = {
        claim.id: [leg.kind.name for leg in claim.legs if leg.counted and leg.kind.in_family] for claim in plan.claims
    }
    tested = {name: kinds for name, kinds in tested.items() if kinds}
    if not tested or seeds >= least:
        return []
    kinds = ", ".join(dict.fromkeys(chain.from_iterable(tested.values())))
    return [
        f"[yellow]{counted(seeds, 'seed')} cannot decide {counted(len(tested), 'claim')}[/yellow] of the kinds "
        f"{kinds}: {least} are the fewest that can. The report will say that the data are insufficient."
    ]


def arm_table(plan: Plan, *, wide: bool = True) -> Table:
    """Every arm with its effective beta, the other names of the same objective, and how many of its cells are done.

    wide: with a column for loss, reduction, beta and each further factor in which arms differ, and for what asks for
    the arm; else the name of an arm, which is never folded, says all that.
    """
    from vae.arms import NAMED
    from vae.factors import factors

    known = factors()
    further = [known[name] for name in plan.varied if name not in NAMED]
    titles = ("loss", "reduction", "beta", *(factor.title for factor in further)) if wide else ()
    origins = ("origin",) if wide else ()
    columns = ("arm", *titles, "beta_eff", "same objective as", *origins, "done")
    table = _table(*columns, right=("beta", "beta_eff", "done"), whole=() if wide else ("arm", "beta_eff", "done"))
    done, total = (Counter(cell.arm for cell in cells) for cells in (plan.done, plan.cells))
    origin = {cell.arm: cell.origin for cell in plan.cells}
    label = {cell.arm: cell.arm_label for cell in plan.cells}
    twins = {arm: [other for other in group if other != arm] for group in plan.same_objective() for arm in group}
    for arm in plan.arms:
        settings = [factor.text(arm.get(factor.name)) or "–" for factor in further]
        told = (arm.loss, arm.reduction, f"{arm.beta:g}", *settings) if wide else ()
        same = ", ".join(label[other] for other in twins.get(arm, ()))
        end = (*((origin[arm],) if wide else ()), f"{done[arm]}/{total[arm]}")
        table.add_row(*map(escape, (label[arm], *told, f"{plan.beta_eff(arm):g}", same, *end)))
    return table


def estimate_line(seconds: float, plan: Plan) -> str:
    return (
        f"Estimated time: {duration(seconds)} for {counted(len(plan.pending), 'cell')} "
        f"(training and measuring from a short probe, which other work on this machine slows; "
        f"tracking as on a local SQLite file)."
    )


def outcome_lines(outcome: Outcome, plan: Plan, commands: Commands, *, train: bool = True) -> list[str]:
    """How a run ended, and what to do next where it is not finished."""
    if outcome.gone:
        return [gone_line(outcome, commands)]
    if not plan.pending:
        if train:
            return ["Everything was done already; nothing was trained."]
        return [f"All {counted(len(plan.cells), 'cell')} are measured already; nothing was measured."]
    shares = ", ".join(
        f"{stage} {seconds / max(outcome.total, 1e-9):.0%}" for stage, seconds in outcome.seconds.items()
    )
    work = []
    if train and plan.to_train:
        work.append(f"{counted(outcome.done - outcome.remeasured, 'cell')} trained and measured")
    if plan.to_measure:
        none_trained = "" if work else ", none trained,"
        work.append(f"{counted(outcome.remeasured, 'cell')} measured from kept weights{none_trained}")
    lines = [f"{', '.join(work)} in {duration(outcome.total)}: {shares}."]
    if not train and plan.to_train:
        lines.append(lacking_weights(plan, commands))
    if outcome.failed:
        lines.append(
            f"[yellow]{counted(outcome.failed, 'cell')} failed[/yellow]; each is a row of the report with its reason, "
            f"and is tried again by the next {escape(commands('run'))}."
        )
    return lines


def gone_line(outcome: Outcome, commands: Commands) -> str:
    """That the tracker did not come back, and where what it lacks is."""
    waiting = (
        f"{counted(outcome.unsent, 'finished cell')} wait{'s' if outcome.unsent == 1 else ''} in "
        f"{escape(str(outcome.spool))}, and {escape(commands('sync'))}, or the next ablate run, sends them"
        if outcome.unsent
        else f"it has every cell, and the next {escape(commands('run'))} writes the means of the arms"
    )
    return f"[yellow]The tracker is gone[/yellow] ({escape(outcome.gone.rstrip('.'))}): {waiting}."


def left_lines(left: Left, commands: Commands) -> list[str]:
    """What became of the cells that an earlier run left in the spool."""
    lines = [f"[yellow]{escape(sentence)}[/yellow]" for sentence in left.aside]
    if left.sent:
        lines.append(f"{counted(left.sent, 'finished cell')} of an earlier run sent to the tracker.")
    if left.unsent:
        lines.append(
            f"[yellow]The tracker is gone[/yellow] ({escape(left.reason.rstrip('.'))}): "
            f"{counted(left.unsent, 'finished cell')} of an earlier run still wait{'s' if left.unsent == 1 else ''}; "
            f"{escape(commands('sync'))} sends them once it is back."
        )
    return lines


def lacking_weights(plan: Plan, commands: Commands) -> str:
    """What cannot be measured again, and what to do about it."""
    return f"{counted(len(plan.to_train), 'cell')} without kept weights: {escape(commands('run'))} trains them."


def nothing_to_measure(plan: Plan, commands: Commands) -> str:
    """Why no cell was measured, where no pending cell has kept weights, and what to do about it."""
    return (
        f"nothing was measured: {counted(len(plan.to_train), 'cell')} without results cannot be, because they were "
        f"never trained or their weights were not kept ([storage] weights); {commands('run')} trains them"
    )


def status_table(studies: Sequence[StudyProgress]) -> Table:
    """One row per study: its latest run."""
    columns = ("study", "last run (UTC)", "cells", "done", "failed", "state")
    table = _table(*columns, right=("cells", "done", "failed"), whole=columns[1:])
    for study in studies:
        when = study.started.strftime("%Y-%m-%d %H:%M")
        table.add_row(escape(study.study), when, str(study.cells), str(study.done), str(study.failed), study.status)
    return table


def claim_lines(claims: Sequence[Claim]) -> Iterator[str]:
    """A line for each claim: its id, its kind, what it measures and where; then how many seeds decide."""
    from ablations.registration import ALPHA
    from reports.judging.statistics import least_seeds

    width = max((len(claim.id) for claim in claims), default=0)
    for claim in claims:
        metrics = ", ".join(dict.fromkeys(leg.metric or leg.check for leg in claim.legs))
        kinds = ", ".join(dict.fromkeys(leg.kind.name for leg in claim.legs))
        yield f"{escape(f'{claim.id:<{width}}')}  {kinds}: {escape(metrics)}"
    yield f"{counted(len(claims), 'claim')}, no mistake."
    if any(leg.kind.in_family for claim in claims for leg in claim.legs):
        yield f"Their tests need {least_seeds(ALPHA)} seeds or more."


def damage_lines(damage: Sequence[Damage]) -> list[str]:
    """What is damaged of the runs of a store, and what repairs it."""
    if not damage:
        return ["Nothing is damaged."]
    return [
        *(part.sentence for part in damage),
        f"{counted(len(damage), 'damaged part')}. The next ablate run of a study repairs those that a report reads.",
    ]


def rebuilt_lines(rebuilt: Rebuilt, shown: str) -> list[str]:
    """What was restored, and where the old database is."""
    lines = [f"{counted(rebuilt.studies, 'run')} of studies and {counted(rebuilt.cells, 'cell')} restored in {shown}."]
    if rebuilt.aside is not None:
        lines.append(f"The damaged database is kept as {rebuilt.aside}.")
    lines += [f"This record is damaged, and its run is not restored: {path}" for path in rebuilt.damaged]
    return [
        *lines,
        "Not restored: the means of arms, which the next ablate run writes; when reports were made.",
    ]


def shown_lines(shown: Shown) -> Iterator[str]:
    """Which cells of an arm there are."""
    seeds = which_seeds(shown.seeds) if shown.seeds else "no seed done"
    yield f"{shown.name} of {shown.study}: {seeds}"
    yield from shown.reasons
    if shown.missing:
        yield f"without a result: {', '.join(shown.missing)}"


def number_table(shown: Shown) -> Table:
    """The numbers of an arm or a cell, a row for each metric."""
    several = len(shown.seeds) > 1
    columns = ("metric", "mean", "least", "most", "unit") if several else ("metric", "value", "unit")
    table = _table(*columns, right=("mean", "least", "most", "value"), whole=("metric",))
    for one in shown.numbers:
        values = (one.mean, one.low, one.high) if several else (one.mean,)
        table.add_row(one.metric, *(f"{value:.5g}".replace("-", "−") for value in values), escape(one.unit))
    return table


def metric_lines() -> Iterator[str]:
    """The catalogue of metrics, a paragraph each."""
    for metric in CATALOGUE.values():
        facts = f"{metric.unit}; better: {metric.direction}; {metric.low:g} to {metric.high:g}; {metric.source}"
        yield f"[bold]{escape(metric.name)}[/bold]  {escape(facts)}"
        yield f"    {escape(metric.about)}"
        yield f"    Fooled by {escape(metric.fools)}.\n"


def findings_table(name: str, findings: Sequence[Finding]) -> Table:
    """What the conformance check of a loss found."""
    table = _table("property", "result", "detail")
    table.title = escape(name)
    for finding in findings:
        result = "[green]holds[/green]" if finding.passed else "[red]fails[/red]"
        table.add_row(escape(finding.name), result, escape(finding.detail))
    return table

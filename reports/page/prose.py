"""The sentences that a report writes itself. Every number in them is counted from the evidence."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from reports.claims.comparability import refusal
from reports.judging.verdict import DEPENDS, INCONCLUSIVE, INSUFFICIENT, REFUTED, SUPPORTED
from reports.numbers import MISSING, counted, duration, listed, setting, spans, which_seeds
from reports.page.base import values_varied
from reports.page.claim_sections import ClaimSection, tally
from reports.page.evidence import Evidence
from reports.page.layout import described

IWAE_GATE: Final = 0.05  # nats: a bound whose last doubling of draws gains less has converged
LOSS_BY_LOSS: Final = (
    "Each row is trained on one loss and evaluated by all of them. On the diagonal is each loss’s own objective. At "
    "equal rate a loss wins there by construction; BCE and MSE have the same best image, so between these two either "
    "may win by a little. So the diagonal does not say which loss is better. At one β the rates differ too, which "
    "favours the loss with the highest rate."
)
_OUTCOMES: Final[Mapping[str, tuple[str, str]]] = {
    SUPPORTED: ("is supported by these data", "are supported by these data"),
    REFUTED: ("is refuted", "are refuted"),
    DEPENDS: ("depends on how it is read", "depend on how they are read"),
    INCONCLUSIVE: ("is left open", "are left open"),
    INSUFFICIENT: ("lacks the data to be judged", "lack the data to be judged"),
}


def lead(evidence: Evidence, sections: Sequence[ClaimSection]) -> str:
    """The one paragraph at the top: what was judged, the results, and the data behind them."""
    return f"{_outcome(sections)} {_moving(sections)}{_basis(evidence)}"


def _outcome(sections: Sequence[ClaimSection]) -> str:
    if not sections:
        return "No claims were judged in this report."
    parts = [f"{count} {_OUTCOMES[word][count > 1]}" for word, count in tally(sections).items()]
    return f"Of {counted(len(sections), 'claim')}, {listed(parts)}."


def _moving(sections: Sequence[ClaimSection]) -> str:
    moving = [section.answer for section in sections if section.answer.qualifier]
    if not moving:
        return ""
    trained = {answer.qualifier.strip() for answer in moving}
    after = trained.pop() if len(trained) == 1 else "after the epochs trained"
    if len(moving) == 1:
        return (
            f"One of these verdicts holds {after}; with more training it may differ, since arms were still changing. "
        )
    return (
        f"{len(moving)} of these verdicts hold {after}; with more training they may differ, since arms were still "
        "changing. "
    )


def _basis(evidence: Evidence) -> str:
    done = evidence.done
    if done.empty:
        return "No cell has been trained and measured yet."
    seeds = done.groupby("arm")["seed"].nunique()
    data = f" on {evidence.environment.dataset}" if evidence.environment.dataset else ""
    return (
        f"The study has {counted(len(done), 'trained model')}{data}: {counted(len(seeds), 'arm')}, each trained with "
        f"{'up to ' if seeds.nunique() > 1 else ''}{counted(done['seed'].nunique(), 'seed')}."
    )


def completeness(evidence: Evidence) -> str:
    """How many of the planned cells there are."""
    done, failed, missing = len(evidence.done), len(evidence.failed), len(evidence.missing)
    if evidence.planned.empty:
        known = f"{counted(done, 'cell')} done, {failed} failed. The plan was not recorded with this report"
        return f"{known}, so missing cells cannot be counted."
    planned = len(evidence.planned)
    if done >= planned and not failed and not missing:
        all_done = "The one planned cell is done" if planned == 1 else f"All {planned:,} planned cells are done"
        return f"{all_done}; none failed, none is missing."
    gaps = f"{failed} failed and {missing} {'is' if missing == 1 else 'are'} missing"
    return f"Of {counted(planned, 'planned cell')}, {done} {'is' if done == 1 else 'are'} done, {gaps}."


def missing_by_arm(evidence: Evidence) -> list[str]:
    """Each arm with missing cells, and its missing seeds."""
    groups = evidence.missing.groupby("arm", sort=False)["seed"]
    return [f"{arm}: {which_seeds(int(seed) for seed in seeds)}" for arm, seeds in groups]


def facts(evidence: Evidence) -> list[tuple[str, str]]:
    """The environment as label and value; what is not known is left out."""
    where = evidence.environment
    seeds = spans(int(seed) for seed in evidence.frame["seed"].unique())
    spent = evidence.frame["seconds"].sum() if "seconds" in evidence.frame.columns else float("nan")
    rows = [
        ("study", evidence.study),
        ("data", where.dataset),
        ("data digest", where.data_digest),
        ("seeds", seeds),
        *values_varied(evidence.frame, evidence.base),
        *where.settings.items(),
        ("commit", where.commit),
        ("device", where.device),
        ("run begun", where.started),
        ("time of the run", duration(where.wall_seconds) if where.wall_seconds is not None else ""),
        ("time of the cells", duration(float(spent)) if spent > 0 else ""),
        ("claims hash", evidence.claims_hash),
        ("python", where.python),
        *where.versions.items(),
    ]
    return [(label, value) for label, value in rows if value and value != MISSING]


def own_objectives(metrics: Sequence[str], losses: Collection[str]) -> str:
    """Why a table of arms of these losses cannot be sorted by some of its metrics; empty where it can by all."""
    refused: dict[str, list[str]] = {}
    for metric in metrics:
        if refusal(metric, losses):
            refused.setdefault(described(metric).own_objective, []).append(described(metric).label)
    if not refused:
        return ""
    trained = "; ".join(f"{loss.upper()} arms are trained on {listed(names)}" for loss, names in refused.items())
    return f"{trained}, or on a function of it. They win these by construction, so these metrics cannot rank losses."


def unsettled(evidence: Evidence) -> str:
    """In how many cells more draws would still lower −IWAE; empty where in none, or where it was not measured."""
    if "iwae_gap" not in evidence.done.columns:
        return ""
    gaps = evidence.done["iwae_gap"].dropna()
    above = int((gaps >= IWAE_GATE).sum())
    if above == 0:
        return ""
    return (
        f"−IWAE bounds −log p from above, and more draws lower it: in {above} of {counted(len(gaps), 'cell')} the last "
        f"doubling of the draws lowered it by {setting(IWAE_GATE)} nats or more (IWAE gap)."
    )


def by_class(evidence: Evidence) -> str:
    """That samples are drawn by class, and of which arms; empty where no arm is conditional."""
    if not evidence.classes:
        return ""
    name = "model.conditional"
    which = "Samples of arms with labels" if name in evidence.frame.columns else "Samples"
    return f"{which} are drawn by class: the {evidence.classes} classes in turn, from left to right."


def left_out(evidence: Evidence, shown: int) -> str:
    """What a reader must know of a grid of pictures that does not show every arm; empty where it does."""
    arms = evidence.done["arm"].nunique()
    if shown >= arms:
        return ""
    return f" {shown} of {counted(arms, 'arm')}: the others do not fit here, or have no pictures."

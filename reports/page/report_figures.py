"""Which figures a report has: each planned once, with its name, its caption and a description of what it shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

import pandas as pd

from reports.judging.singles import singles
from reports.numbers import listed, sentence_case, setting
from reports.page import figures
from reports.page.base import at_base, caption_clause, distinct, further_factors, without_base
from reports.page.captioned import PlannedFigure
from reports.page.claim_figures import claim_figures
from reports.page.claim_sections import ClaimSection
from reports.page.drawing import Drawing
from reports.page.evidence import Evidence
from reports.page.layout import described, titled
from reports.page.objectives import OBJECTIVES
from reports.page.pictures import first_cells
from reports.page.tables import on_grid, summary
from vae.metrics.catalogue import CATALOGUE, HEADLINE

AGAINST_RATE: Final = (OBJECTIVES, ("ssim", "acutance_ratio", "bits_per_dim"), ("legibility", "sigma_eq", "kid"))
MOST_PANELS: Final = 3  # in a figure against a further factor
TRAINING: Final = {
    "test_neg_elbo": "test −ELBO (nats per image)",
    "train_loss": "training loss (own units)",
    "train_rate": "rate in training (nats per image)",
}


def report_figures(
    evidence: Evidence, means: pd.DataFrame, sections: Sequence[ClaimSection], failing: Mapping[str, str]
) -> Iterator[PlannedFigure]:
    """All figures of a report but the picture grids, in the order of the page. means: as `tables.arm_means`. failing:
    as `Standing.failing`.

    Figures of arms keep to the study's base, and their captions name its settings where the study varies them.
    """
    for section in sections:
        yield from claim_figures(section, evidence.measured_in_training)
    clause = caption_clause(means, evidence.base)
    if not without_base(means, evidence.base):
        for plan in _base_figures(evidence, means, sections, failing):
            yield replace(plan, caption=plan.caption + clause, alt=plan.alt + clause)
    yield from _factor_figures(evidence, means, sections)


def _base_figures(
    evidence: Evidence, means: pd.DataFrame, sections: Sequence[ClaimSection], failing: Mapping[str, str]
) -> Iterator[PlannedFigure]:
    means = at_base(means, evidence.base)
    cells = at_base(evidence.done, evidence.base)
    present = set(means["metric"])
    for metric in dict.fromkeys((*_claimed(sections), *HEADLINE)):
        if metric in present:
            title = sentence_case(titled(metric))
            caption = f"{title} against β by loss, one panel per reduction: mean over seeds with its 95 % interval."
            caption += f" {sentence_case(failing[metric])}" if metric in failing else ""
            alt = f"{caption} The table of this metric has the same numbers."
            figure = Drawing(figures.metric_against_beta, (on_grid(means, metric), metric))
            yield PlannedFigure(f"{metric}-against-beta", "beta", caption, alt, figure)
    if "rate" in present:
        yield from _effective_figures(means)
        yield from _rate_figures(evidence, cells, means, failing)
    yield from _transfer_figures(evidence, cells)
    yield from _training_figures(evidence, cells)


def _claimed(sections: Sequence[ClaimSection]) -> list[str]:
    """The metrics that claims depend on, each once."""
    return list(dict.fromkeys(metric for section in sections for metric in section.metrics))


def _effective_figures(means: pd.DataFrame) -> Iterator[PlannedFigure]:
    if means["reduction"].nunique() > 1 and (means["reduction"] == "sum").any():
        caption = (
            "Rate against β_eff, all reductions on one axis. Lines: sum. Hollow marks: the other reductions; where "
            "they lie on the lines, the rate shows nothing of a reduction but the weight that it gives the KL term."
        )
        figure = Drawing(figures.metric_against_effective_beta, (means[means["metric"] == "rate"], "rate"))
        yield PlannedFigure("rate-against-effective-beta", "weight", caption, caption, figure)


def _rate_figures(
    evidence: Evidence, cells: pd.DataFrame, means: pd.DataFrame, failing: Mapping[str, str]
) -> Iterator[PlannedFigure]:
    of_sum = means[means["reduction"] == "sum"]
    if of_sum.empty or of_sum.groupby("loss")["arm"].nunique().max() < 2:
        return
    reached = of_sum.loc[of_sum["metric"] == "rate", "mean"]
    rates = [rate for rate in _matched_rates(evidence) if reached.min() <= rate <= reached.max()]
    present = set(means["metric"])
    at = listed(setting(rate) for rate in rates)
    dotted = f"; dotted lines: rates of comparison, {at} nats per image" if rates else ""
    for place, group in enumerate(AGAINST_RATE, start=1):
        metrics = [metric for metric in group if metric in present]
        if metrics:
            caption = (
                f"{_labels(metrics)} against the rate, reduction sum. Line and band: mean over seeds with its 95 % "
                f"interval; marks: arms{dotted}."
            )
            caption += "".join(f" {sentence_case(failing[metric])}" for metric in metrics if metric in failing)
            figure = Drawing(figures.against_rate, (cells, means, metrics, rates))
            yield PlannedFigure(f"against-rate-{place}", "rate", caption, caption, figure)


def _labels(metrics: Sequence[str]) -> str:
    return sentence_case(listed(described(metric).label for metric in metrics))


def _matched_rates(evidence: Evidence) -> tuple[float, ...]:
    """The rates at which the verdicts compared losses; none where each comparison had rates of its own."""
    used = {single.rates for single in singles(evidence.verdicts) if single.rates}
    return used.pop() if len(used) == 1 else ()


def _transfer_figures(evidence: Evidence, cells: pd.DataFrame) -> Iterator[PlannedFigure]:
    pictured = first_cells(cells, evidence.pictures)
    nominal = [cell for cell in pictured if cell["reduction"] == "sum" and cell["beta"] == 1.0] or pictured[:6]
    arrays = {str(cell["arm"]): evidence.pictures[cell["key"]] for cell in nominal}
    functions = {arm: of_arm for arm, of_arm in arrays.items() if "transfer_h" in of_arm}
    if functions:
        caption = (
            "Transfer function H, gain G and squared coherence γ² of reconstructions against the originals, one seed. "
            "H falls both for blur and for displacement: read it together with G and γ²."
        )
        losses = {str(cell["arm"]): str(cell["loss"]) for cell in nominal}
        figure = Drawing(figures.transfer, (functions, losses))
        yield PlannedFigure("transfer", "transfer", caption, caption, figure)


def _training_figures(evidence: Evidence, cells: pd.DataFrame) -> Iterator[PlannedFigure]:
    cells = cells[(cells["reduction"] == "sum") & (cells["origin"] == "grid")]
    joined = evidence.history.merge(cells[["key", "loss", "beta"]], on="key")
    for metric, label in TRAINING.items():
        rows = joined[joined["metric"] == metric]
        if rows["epoch"].nunique() > 1:
            caption = (
                f"{sentence_case(label)} by epoch, reduction sum: one line per β, labelled at its end, "
                "with its 95 % interval over seeds."
            )
            groups = rows.groupby(["loss", "beta", "epoch"], sort=False)["value"]
            curve = [dict(zip(("loss", "beta", "epoch"), at)) | summary(values) for at, values in groups]
            figure = Drawing(figures.training, (pd.DataFrame(curve), label))
            yield PlannedFigure(f"training-{metric}", "training", caption, caption, figure)


def _factor_figures(
    evidence: Evidence, means: pd.DataFrame, sections: Sequence[ClaimSection]
) -> Iterator[PlannedFigure]:
    """The metrics that claims depend on, or else the first headline ones, against each further numeric factor."""
    base = evidence.base
    present = set(means["metric"])
    neutral = (metric for metric in HEADLINE if not CATALOGUE[metric].own_objective)
    metrics = [metric for metric in _claimed(sections) or neutral if metric in present][:MOST_PANELS]
    for factor in further_factors(means):
        rows = at_base(means, base, free=factor.name)
        rows = rows[(rows["reduction"] == base.reduction) & (rows["beta"] == base.beta)]
        if metrics and len(distinct(rows, factor)) > 1 and all(map(_is_number, distinct(rows, factor))):
            others = caption_clause(means.drop(columns=factor.name), base)
            caption = (
                f"{_labels(metrics)} against {factor.title}, by loss, reduction {base.reduction}, "
                f"β = {setting(base.beta)}: mean over seeds with its 95 % interval.{others}"
            )
            figure = Drawing(figures.against_factor, (rows, metrics, factor))
            yield PlannedFigure(f"against-{factor.key}", "factor", caption, caption, figure)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

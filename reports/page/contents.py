"""What a report shows, under the names by which its templates know it. Empty parts are left out of the page."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

import pandas as pd

from reports.judging.normality import Normality
from reports.numbers import sentence_case, setting
from reports.page import convergence, layout, objectives, prose, tables
from reports.page.answers import answers
from reports.page.arm_table import SETTINGS, arm_table, narrowed
from reports.page.base import at_base, caption_clause, further_factors, without_base
from reports.page.captioned import shown
from reports.page.claim_sections import ClaimSection, claim_sections, detail, paragraphs, tally
from reports.page.claim_tables import comparison_table, in_two, margins, shared_by_arms, verdict_table
from reports.page.drawing import Drawing, Helper, pictures_of
from reports.page.evidence import Evidence
from reports.page.first_pictures import first_pictures
from reports.page.layout import Table
from reports.page.limits import limits
from reports.page.overfitting import overfitting
from reports.page.picture_table import picture_table
from reports.page.pictures import picture_grid, strips
from reports.page.report_figures import report_figures
from reports.page.sensitivity import changing
from reports.page.standing import AT_FLOOR, AT_FLOOR_HERE, UNKNOWN, Standing
from vae.metrics.catalogue import HEADLINE

OF_A_CLAIM: Final = ("effect", "course", "sensitivity")  # sections of figures that each belong to a claim
MOST_STRIPS: Final = 60  # rows of a picture grid on the page


def contents_of(
    evidence: Evidence, means: pd.DataFrame, standing: Standing, normality: Normality, helper: Helper | None = None
) -> dict[str, Any]:
    """Everything on the page and in the Markdown. means: as `tables.arm_means`. standing, normality: of the evidence,
    computed once for all parts of the report. helper: a second process that draws."""
    sections = claim_sections(evidence.verdicts)
    notes = dict.fromkeys(standing.at_floor, AT_FLOOR)
    reconstructions, samples = (
        strips(evidence.done, evidence.pictures, kind, notes)[: MOST_STRIPS + (kind == "reconstructions")]  # originals
        for kind in ("reconstructions", "samples")
    )
    plans = list(report_figures(evidence, means, sections, standing.failing))
    grids = {kind: rows for kind, rows in (("reconstructions", reconstructions), ("samples", samples)) if rows}
    at_the_base = at_base(evidence.done, evidence.base)
    on_grid = at_the_base[at_the_base["origin"] == "grid"]
    drawings = [plan.drawing for plan in plans]
    pictures = pictures_of([*(Drawing(picture_grid, (rows,), "png") for rows in grids.values()), *drawings], helper)
    figures = shown(plans, pictures[len(grids) :])
    return {
        "evidence": evidence,
        "heading": evidence.heading,
        "about": evidence.description,
        "notes": evidence.notes,
        "lead": prose.lead(evidence, sections),
        "answers": answers(sections),
        "first_pictures": first_pictures(evidence),
        "tally": tally(sections),
        "completeness": prose.completeness(evidence),
        "missing": prose.missing_by_arm(evidence),
        "failed": layout.failed_table(evidence.failed),
        "facts": prose.facts(evidence),
        "runtime": layout.runtime_table(evidence.frame),
        "without_base": without_base(evidence.done, evidence.base),
        "left_out": prose.left_out(evidence, max(len(reconstructions) - 1, len(samples))),
        "unsettled": prose.unsettled(evidence),
        "reconstructions": reconstructions,
        "samples": samples,
        "picture_tables": {kind: picture_table(on_grid, rows) for kind, rows in grids.items()},
        "sheets": {kind: picture.content for kind, picture in zip(grids, pictures)},
        "by_class": prose.by_class(evidence),
        "figures": figures,
        "of": lambda section: [figure for figure in figures if figure.section == section],
        **{of: {f.name.removeprefix(f"{of}-"): f for f in figures if f.section == of} for of in OF_A_CLAIM},
        "plots": {f.name.removesuffix("-against-beta"): f for f in figures if f.section == "beta"},
        "overfitting": overfitting(evidence.history, evidence.done),
        "limits": limits(evidence, sections, standing, normality),
        **_of_claims(sections),
        **_of_arms(evidence, means, standing),
        **_of_objectives(evidence, means),
    }


def _of_claims(sections: Sequence[ClaimSection]) -> dict[str, Any]:
    measured = [section for section in sections if section.has_effects]
    homes: dict[str, str] = {}  # metric -> the claim that shows its figure: the first that depends on it
    for section in sections:
        for metric in section.metrics:
            homes.setdefault(metric, section.id)
    return {
        "claims": sections,
        "verdicts": verdict_table(sections),
        "comparisons": {section.id: comparison_table(section) for section in measured},
        "in_two": in_two,
        "detail": detail,
        "paragraphs": paragraphs,
        "settling": convergence.settling,
        "unknown": "" if not measured or convergence.is_known(sections) else convergence.UNKNOWN,
        "changing": changing,
        "setting": setting,
        "sentence_case": sentence_case,
        "shared_by_arms": shared_by_arms,
        "margins": margins,
        "homes": homes,
    }


def _of_arms(evidence: Evidence, means: pd.DataFrame, standing: Standing) -> dict[str, Any]:
    present = tuple(dict.fromkeys(means["metric"]))
    metrics = (*(m for m in present if m in HEADLINE), *(m for m in present if m not in HEADLINE))
    shared = tables.shared_objectives(evidence.done, evidence.base)
    arms = arm_table(means, metrics, shared, standing)
    refusals = [
        prose.own_objectives(metrics, set(evidence.done["loss"])),
        *map(sentence_case, standing.failing.values()),
    ]
    base_means, clause = at_base(means, evidence.base), caption_clause(means, evidence.base)
    notes = dict.fromkeys(standing.at_floor, AT_FLOOR_HERE)
    clause = _grid_clause(base_means, notes) + clause
    return {
        "arms": arms,
        "headline": narrowed(arms),
        "groups": _groups(arms),
        "further": [factor.name for factor in further_factors(evidence.frame)],
        "shared": [" = ".join(sorted(group)) for group in shared],
        "refusals": " ".join(filter(None, refusals)),
        "standing": standing.sentence if standing.known else UNKNOWN,
        "grids": {metric: layout.grid_table(base_means, metric, clause, notes) for metric in metrics},
        "metrics": layout.catalogue_table(metrics),
    }


def _grid_clause(base_means: pd.DataFrame, notes: Collection[str]) -> str:
    """What the mark of arms at the floor means, for a table that has such an arm."""
    marked = set(notes) & set(base_means.loc[base_means["origin"] == "grid", "arm"])
    return f" {sentence_case(AT_FLOOR_HERE)}: {AT_FLOOR}." if marked else ""


def _groups(arms: Table) -> list[str]:
    """The kinds of columns that a reader may choose among: headline first, settings and all last."""
    kinds = dict.fromkeys(kind for column in arms.columns for kind in column.group.split())
    return [*sorted(kinds, key=lambda kind: (kind == SETTINGS, kind != "headline")), "all"]


def _of_objectives(evidence: Evidence, means: pd.DataFrame) -> dict[str, Any]:
    clause = caption_clause(means, evidence.base)
    rows, rates = objectives.at_rates(at_base(evidence.done, evidence.base))
    return {
        "loss_by_loss": prose.LOSS_BY_LOSS,
        "objectives": objectives.table_at_beta(at_base(means, evidence.base), clause),
        "objectives_at_rate": objectives.table_at_rates(rows, rates, clause),
    }

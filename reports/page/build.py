"""The composition: one `Evidence` in, a folder of report files out."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd

from reports.claims.model import RATES
from reports.judging.verdict import Verdict, document
from reports.page import canvas, layout, objectives, tables
from reports.page.base import at_base, caption_clause
from reports.page.claim_sections import ClaimSection, claim_sections
from reports.page.claim_tables import comparison_rows, comparison_table, sensitivity_table, verdict_table
from reports.page.evidence import Evidence
from reports.page.files import made, write
from reports.page.html import Contents, RenderedFigure, page_and_text
from reports.page.markup import latex
from reports.page.pictures import Strip, strips
from reports.page.report_figures import ReportFigure, grid_figure, matched_rates, report_figures

MOST_STRIPS: Final = 60  # rows of a picture grid on the page


@dataclass(frozen=True)
class ReportPaths:
    """The files of a report. seconds: the time it took to make."""

    html: Path
    markdown: Path
    verdicts: Path
    results: Path
    tables: Path
    figures: Path
    seconds: float


def build(evidence: Evidence, out: str | Path) -> ReportPaths:
    """Write report.html, report.md, results.csv, verdicts.json, tables/ and figures/ into the folder `out`.

    The folder is made where it is missing; each file is written under another name and then renamed, so that a reader
    never opens an unfinished one. Raises UserError when the folder cannot be written to.
    """
    begun = time.perf_counter()
    folder = Path(out)
    for name in ("tables", "figures"):
        made(folder / name)
    means = tables.arm_means(evidence.frame)
    contents = _contents(evidence, means, folder / "figures")
    page, text = page_and_text(contents)
    write(folder / "results.csv", _csv(tables.results(evidence.frame)))
    write(folder / "verdicts.json", verdicts_json(evidence))
    _write_tables(folder / "tables", means, contents)
    write(folder / "report.md", text)
    write(folder / "report.html", page)
    return ReportPaths(
        html=folder / "report.html",
        markdown=folder / "report.md",
        verdicts=folder / "verdicts.json",
        results=folder / "results.csv",
        tables=folder / "tables",
        figures=folder / "figures",
        seconds=time.perf_counter() - begun,
    )


def _contents(evidence: Evidence, means: pd.DataFrame, folder: Path) -> Contents:
    """Everything on the page. folder: for the files of figures."""
    sections = claim_sections(evidence.verdicts)
    metrics = tuple(dict.fromkeys(means["metric"]))
    clause = caption_clause(means, evidence.base)
    base_means = at_base(means, evidence.base)
    at_rates = objectives.at_rates(at_base(evidence.done, evidence.base), matched_rates(evidence) or RATES)
    reconstructions = strips(evidence.done, evidence.pictures, "reconstructions")[: MOST_STRIPS + 1]  # with originals
    samples = strips(evidence.done, evidence.pictures, "samples")[:MOST_STRIPS]
    rows = {"reconstructions": reconstructions, "samples": samples}
    sensitivities = {section.id: sensitivity_table(section) for section in sections if section.has_effects}
    return Contents(
        evidence=evidence,
        sections=sections,
        figures=tuple(_save(figure, folder) for figure in _figures(evidence, means, sections, rows)),
        arms=layout.arm_table(means, metrics),
        metrics=layout.catalogue_table(metrics),
        runtime=layout.runtime_table(evidence.frame),
        objectives=objectives.table_at_beta(base_means, clause),
        objectives_at_rate=objectives.table_at_rates(at_rates, clause),
        failed=layout.failed_table(evidence.failed),
        grids={metric: layout.grid_table(base_means, metric, clause) for metric in metrics},
        reconstructions=reconstructions,
        samples=samples,
        shared=tables.same_objective(means),
        verdicts=verdict_table(sections),
        comparisons={section.id: comparison_table(section) for section in sections if section.has_effects},
        sensitivities={claim: table for claim, table in sensitivities.items() if table is not None},
    )


def _figures(
    evidence: Evidence, means: pd.DataFrame, sections: Sequence[ClaimSection], rows: Mapping[str, Sequence[Strip]]
) -> Iterator[ReportFigure]:
    yield from report_figures(evidence, means, sections)
    yield from (grid_figure(kind, of_kind) for kind, of_kind in rows.items() if of_kind)


def _save(drawn: ReportFigure, folder: Path) -> RenderedFigure:
    """The figure saved as SVG and PNG, ready for the page."""
    vector, raster = canvas.rendered(drawn.figure)
    write(folder / f"{drawn.name}.svg", vector)
    write(folder / f"{drawn.name}.png", raster)
    return RenderedFigure(drawn.name, drawn.section, drawn.caption, drawn.alt, vector)


def _write_tables(folder: Path, means: pd.DataFrame, contents: Contents) -> None:
    """Numbers as CSV in full precision, and as LaTeX the text that the report shows."""
    base_means = at_base(means, contents.evidence.base)
    write(folder / "arms.csv", _csv(means))
    write(folder / "arms.tex", latex(layout.narrowed(contents.arms)))
    for metric, table in contents.grids.items():
        write(folder / f"{metric}.csv", _csv(tables.grid(base_means, metric)))
        write(folder / f"{metric}.tex", latex(table))
    if contents.objectives.rows:
        write(folder / "loss-by-loss.csv", _csv(objectives.at_beta(base_means)))
    of_claims = contents.comparisons.values()
    for table in (contents.objectives, contents.objectives_at_rate, contents.verdicts, *of_claims):
        if table.rows:
            write(folder / f"{table.name}.tex", latex(table))
    if contents.verdicts.rows:
        write(folder / "comparisons.csv", _csv(comparison_rows(contents.sections)))


def verdicts_json(evidence: Evidence) -> str:
    """The text of `verdicts.json`; its schema is in `reports.judging.verdict`."""
    content = document(
        evidence.verdicts,
        study=evidence.study,
        dataset=evidence.environment.dataset,
        claims_hash=evidence.claims_hash,
        notes=evidence.notes,
        alpha=next((verdict.alpha for verdict in evidence.verdicts), Verdict.alpha),
    )
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _csv(table: pd.DataFrame) -> str:
    return str(table.to_csv(index=False, lineterminator="\n"))

"""The composition: one `Evidence` in, a folder of report files out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from reports.judging.normality import Normality, of_verdicts
from reports.judging.verdict import Verdict, document
from reports.page import objectives, tables
from reports.page.base import at_base
from reports.page.claim_tables import comparison_rows
from reports.page.contents import contents_of
from reports.page.drawing import Helper
from reports.page.evidence import Evidence
from reports.page.files import csv, made, write
from reports.page.html import rendered_html, rendered_markdown
from reports.page.markup import latex
from reports.page.sensitivity import sensitivity_frame
from reports.page.standing import Standing, with_standing


@dataclass(frozen=True)
class ReportPaths:
    """The files of a report."""

    html: Path
    markdown: Path
    verdicts: Path
    results: Path
    tables: Path
    figures: Path


def build(evidence: Evidence, out: str | Path, helper: Helper | None = None) -> ReportPaths:
    """Write report.html, report.md, results.csv, verdicts.json, tables/ and figures/ into the folder `out`.

    The folder is made where it is missing; each file is written under another name and then renamed, so that a reader
    never opens an unfinished one. Raises UserError when the folder cannot be written to. helper: a second
    process that draws figures.
    """
    folder = Path(out)
    paths = ReportPaths(
        html=folder / "report.html",
        markdown=folder / "report.md",
        verdicts=folder / "verdicts.json",
        results=folder / "results.csv",
        tables=made(folder / "tables"),
        figures=made(folder / "figures"),
    )
    means = tables.arm_means(evidence.frame)
    standing, normality = Standing.of(evidence), of_verdicts(evidence.verdicts)
    contents = contents_of(evidence, means, standing, normality, helper)
    _write_figures(paths.figures, contents)
    write(paths.results, csv(tables.results(evidence.frame)))
    write(paths.verdicts, _verdicts_json(evidence, normality))
    write(paths.tables / "arms.csv", csv(with_standing(means, standing)))
    _write_tables(paths.tables, at_base(means, evidence.base), contents)
    write(paths.markdown, rendered_markdown("report.md.j2", contents))
    write(paths.html, rendered_html("report.html.j2", contents))
    return paths


def _write_figures(folder: Path, contents: Mapping[str, Any]) -> None:
    """Charts as SVG, grids of pictures as PNG."""
    for figure in contents["figures"]:
        write(folder / f"{figure.name}.svg", figure.svg)
    for kind, sheet in contents["sheets"].items():
        write(folder / f"{kind}.png", sheet)


def _write_tables(folder: Path, base_means: pd.DataFrame, contents: Mapping[str, Any]) -> None:
    """Numbers as CSV in full precision, and as LaTeX the text that the report shows."""
    for metric, table in contents["grids"].items():
        write(folder / f"{metric}.csv", csv(tables.grid(base_means, metric)))
        write(folder / f"{metric}.tex", latex(table))
    if contents["objectives"].rows:
        write(folder / "loss-by-loss.csv", csv(objectives.at_beta(base_means)))
    if contents["verdicts"].rows:
        write(folder / "comparisons.csv", csv(comparison_rows(contents["claims"])))
        write(folder / "sensitivity.csv", csv(sensitivity_frame(contents["claims"])))
    write(folder / "arms.tex", latex(contents["headline"]))
    names = ("objectives", "objectives_at_rate", "verdicts")
    for table in (*(contents[name] for name in names), *contents["comparisons"].values()):
        if table.rows:
            write(folder / f"{table.name}.tex", latex(table))


def _verdicts_json(evidence: Evidence, normality: Normality) -> str:
    """The text of `verdicts.json`; its schema is in `reports.judging.verdict`."""
    content = document(
        evidence.verdicts,
        study=evidence.study,
        dataset=evidence.environment.dataset,
        claims_hash=evidence.claims_hash,
        notes=evidence.notes,
        alpha=next((verdict.alpha for verdict in evidence.verdicts), Verdict.alpha),
        registered=evidence.registered,
        normality=normality.sentence,
    )
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

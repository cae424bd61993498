"""The composition: one `Evidence` in, a folder of report files out."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from reports.claims.model import RATES
from reports.judging.verdict import SCHEMA_VERSION
from reports.page import canvas, layout, objectives, tables
from reports.page import html as page
from reports.page.dossiers import Dossier, comparison_rows, comparison_table, dossiers, verdict_table
from reports.page.evidence import Evidence
from reports.page.files import made, write
from reports.page.gallery import Plate, grid_plate, matched_rates, plates
from reports.page.markup import latex
from reports.page.pictures import Strip, strips

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

    The folder is made where it is missing; each file is written beside its place and then moved there, so that a
    reader never meets half of one. Raises UserError when the folder cannot be written to.
    """
    begun = time.perf_counter()
    folder = Path(out)
    for name in ("tables", "figures"):
        made(folder / name)
    means = tables.arm_means(evidence.frame)
    found = dossiers(evidence.verdicts)
    contents = _contents(evidence, means, found, folder)
    write(folder / "results.csv", _csv(tables.results(evidence.frame)))
    write(folder / "verdicts.json", verdicts_json(evidence))
    _write_tables(folder / "tables", means, contents)
    write(folder / "report.md", page.text(contents))
    write(folder / "report.html", page.html(contents))
    return ReportPaths(
        html=folder / "report.html",
        markdown=folder / "report.md",
        verdicts=folder / "verdicts.json",
        results=folder / "results.csv",
        tables=folder / "tables",
        figures=folder / "figures",
        seconds=time.perf_counter() - begun,
    )


def _contents(evidence: Evidence, means: pd.DataFrame, found: tuple[Dossier, ...], folder: Path) -> page.Contents:
    metrics = tuple(dict.fromkeys(means["metric"]))
    rates = matched_rates(evidence) or RATES
    rows = {kind: strips(evidence.done, evidence.pictures, kind) for kind in ("reconstructions", "samples")}
    return page.Contents(
        evidence=evidence,
        dossiers=found,
        figures=_drawn(evidence, means, found, rows, folder / "figures"),
        arms=layout.arm_table(means, metrics),
        metrics=layout.catalogue_table(metrics),
        runtime=layout.runtime_table(evidence.frame),
        objectives=objectives.table_at_beta(means),
        objectives_at_rate=objectives.table_at_rates(objectives.at_rates(evidence.frame, rates)),
        failed=layout.failed_table(evidence.failed),
        grids={metric: layout.grid_table(means, metric) for metric in metrics},
        reconstructions=rows["reconstructions"][: MOST_STRIPS + 1],  # the originals come first
        samples=rows["samples"][:MOST_STRIPS],
        shared=tables.same_objective(means),
        verdicts=verdict_table(found),
        comparisons=tuple(comparison_table(dossier) for dossier in found if dossier.has_effects),
    )


def _drawn(
    evidence: Evidence,
    means: pd.DataFrame,
    found: Sequence[Dossier],
    rows: dict[str, tuple[Strip, ...]],
    folder: Path,
) -> tuple[page.Shown, ...]:
    """Draw every figure once, save it as SVG and PNG, and keep the SVG of those that the page shows."""
    grids = [grid_plate(kind, strips_[:MOST_STRIPS]) for kind, strips_ in rows.items() if strips_]
    return tuple(_save(plate, folder) for plate in (*plates(evidence, means, found), *grids))


def _save(plate: Plate, folder: Path) -> page.Shown:
    vector, raster = canvas.rendered(plate.figure)
    write(folder / f"{plate.name}.svg", vector)
    write(folder / f"{plate.name}.png", raster)
    return page.Shown(plate.name, plate.section, plate.caption, plate.alt, vector)


def _write_tables(folder: Path, means: pd.DataFrame, contents: page.Contents) -> None:
    """Numbers as CSV in full precision, and as LaTeX the text that the report shows."""
    write(folder / "arms.csv", _csv(means))
    write(folder / "arms.tex", latex(layout.narrowed(contents.arms)))
    for metric, table in contents.grids.items():
        write(folder / f"{metric}.csv", _csv(tables.grid(means, metric)))
        write(folder / f"{metric}.tex", latex(table))
    if contents.objectives.rows:
        write(folder / "loss-by-loss.csv", _csv(objectives.at_beta(means)))
    for table in (contents.objectives, contents.objectives_at_rate, contents.verdicts, *contents.comparisons):
        if table.rows:
            write(folder / f"{table.name}.tex", latex(table))
    if contents.verdicts.rows:
        write(folder / "comparisons.csv", _csv(comparison_rows(contents.dossiers)))


def verdicts_json(evidence: Evidence) -> str:
    """The text of `verdicts.json`; its schema stands in `reports.judging.verdict`."""
    content: dict[str, Any] = {
        "schema": SCHEMA_VERSION,
        "alpha": evidence.alpha,
        "study": evidence.study,
        "dataset": evidence.environment.dataset,
        "claims_hash": evidence.claims_hash,
        "notes": list(evidence.notes),
        "verdicts": list(evidence.verdicts),
    }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _csv(table: pd.DataFrame) -> str:
    return str(table.to_csv(index=False, lineterminator="\n"))

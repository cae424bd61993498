"""Two studies arm by arm: before and after a change, or one question on two data sets.

The difference is second minus first, seed by seed. Where the cells of a seed began from the same weights and saw the
same batches, pairing makes the intervals narrower; where only the number of the seed is the same (two data sets), the
intervals are still valid, but pairing gains nothing, and the report says so. Intervals are not adjusted for their
number, and no claim is judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pandas as pd

from reports.judging.judge import headlines
from reports.judging.verdict import Verdict
from reports.numbers import MISSING, counted, decimals, listed, number, plus_minus, sentence_case
from reports.page import prose
from reports.page.base import differences
from reports.page.claim_tables import verdict_entry
from reports.page.effects import differences_plot
from reports.page.evidence import Evidence
from reports.page.files import csv, made, write
from reports.page.html import rendered_html, rendered_markdown
from reports.page.layout import Column, Entry, Table, by_columns, described, shown_unit
from reports.page.report_figures import ReportFigure
from reports.page.tables import SUMMARY, metrics_in, summary
from tracking.schema import STATUS_DONE
from vae.metrics.catalogue import HEADLINE

KEYS: Final = ("arm", "loss", "seed")
HASHES: Final = ("init_hash", "order_hash")
PLOTTED: Final = ("ssim", "acutance_ratio", "rate", "neg_elbo")
DIFFERENCES: Final = ("arm", "loss", "metric", "n", "first", "second", *SUMMARY[1:], "same_start")


def compare(first: pd.DataFrame, second: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Paired differences, second minus first, of each arm that both frames have: one row per arm and metric.

    first, second: frames of cells. metrics: columns of both. Columns: `DIFFERENCES`; n counts the seeds done in both
    with that metric; first and second are means over these seeds; mean to high are as in `tables.arm_means`, of the
    differences; same_start says whether all their seeds began alike.
    """
    columns = [*KEYS, *(h for h in HASHES if h in first.columns and h in second.columns), *metrics]
    done = [frame.loc[frame["status"] == STATUS_DONE, columns] for frame in (first, second)]
    both = done[0].merge(done[1], on=list(KEYS), suffixes=("_1", "_2"))
    rows = [
        {"arm": arm, "loss": loss, "metric": metric, **_difference(part, metric), "same_start": _same_start(part)}
        for (arm, loss), part in both.groupby(["arm", "loss"], sort=False)
        for metric in metrics
    ]
    return pd.DataFrame(rows, columns=list(DIFFERENCES))


def _difference(part: pd.DataFrame, metric: str) -> dict[str, Any]:
    pairs = part[[f"{metric}_1", f"{metric}_2"]].dropna()
    before, after = pairs[f"{metric}_1"], pairs[f"{metric}_2"]
    return {"first": before.mean(), "second": after.mean(), **summary(after - before)}


def _same_start(part: pd.DataFrame) -> bool:
    known = [h for h in HASHES if f"{h}_1" in part.columns]
    return bool(known) and all((part[f"{h}_1"] == part[f"{h}_2"]).all() for h in known)


def write_comparison(first: Evidence, second: Evidence, out: str | Path) -> Path:
    """Write compare.html, compare.md and differences.csv into the folder `out`; returns the page.

    Raises UserError when the folder cannot be written to.
    """
    folder = made(Path(out))
    common = [metric for metric in metrics_in(first.frame) if metric in metrics_in(second.frame)]
    if _differ_in_size(first, second):
        common = [metric for metric in common if not described(metric).depends_on_size]
    rows = compare(first.frame, second.frame, common)
    context = _context(first, second, rows)
    write(folder / "differences.csv", csv(rows))
    write(folder / "compare.md", rendered_markdown("compare.md.j2", context))
    write(folder / "compare.html", rendered_html("compare.html.j2", context))
    return folder / "compare.html"


def _context(first: Evidence, second: Evidence, rows: pd.DataFrame) -> dict[str, Any]:
    return {
        "heading": f"{first.heading} against {second.heading}",
        "about": "",
        "notes": [
            *_data_notes(first, second),
            *differences(first.base, second.base),
            *(f"{evidence.heading}: {note}" for evidence in (first, second) for note in evidence.notes),
        ],
        "lead": _lead(first, second, rows),
        "reading": _reading(rows),
        "verdicts": verdict_table(first, second),
        "differences": difference_table(rows),
        "figures": _figures(rows),
        "unmatched": _unmatched(first, second),
        "studies": study_table(first, second),
    }


def _data_notes(first: Evidence, second: Evidence) -> list[str]:
    """What a reader must know where the images are not the same."""
    data = [evidence.environment for evidence in (first, second)]
    if data[0].data_digest == data[1].data_digest:
        return []
    names = " and ".join(f"{one.dataset or 'unnamed'} ({one.data_digest or 'no digest'})" for one in data)
    notes = [f"The studies use different images, {names}: a difference may come from the images."]
    if _differ_in_size(first, second):
        metrics = [described(metric) for metric in sorted(metrics_in(first.frame))]
        left_out = listed(metric.label for metric in metrics if metric.depends_on_size)
        notes.append(f"The images differ in size, so these have no common scale and are left out: {left_out}.")
    return notes


def _differ_in_size(first: Evidence, second: Evidence) -> bool:
    sizes = {_size(first), _size(second)} - {None}
    return len(sizes) == 2


def _size(evidence: Evidence) -> tuple[int, ...] | None:
    """The shape of the study's images, as its pictures have it; None where it kept none."""
    kept = (arrays["originals"].shape[1:] for arrays in evidence.pictures.values() if "originals" in arrays)
    return next(kept, None)


def _lead(first: Evidence, second: Evidence, rows: pd.DataFrame) -> str:
    arms = rows["arm"].nunique()
    before, after = _answers(first), _answers(second)
    shared = [claim for claim in before if claim in after]
    changed = [claim for claim in shared if before[claim].verdict != after[claim].verdict]
    common = f"{counted(arms, 'arm')} {'is' if arms == 1 else 'are'} in both studies."
    if not shared:
        return common
    same = f"Of {counted(len(shared), 'claim')} judged in both, {len(shared) - len(changed)} have the same verdict"
    return f"{common} {same}{f'; {listed(changed)} changed' if changed else ''}."


def _answers(evidence: Evidence) -> dict[str, Verdict]:
    """Claim -> the verdict that answers it."""
    return {verdict.claim.id: verdict for verdict in headlines(evidence.verdicts)}


def _reading(rows: pd.DataFrame) -> str:
    starts = rows.drop_duplicates("arm")["same_start"]
    if starts.empty:
        return "The studies have no arm in common, so there is nothing to compare."
    paired = (
        "Seeds are paired: they began from the same weights and saw the same batches."
        if starts.all()
        else "Only the numbers of the seeds are the same, not weights or batches: pairing them changes nothing."
    )
    return (
        f"Second study minus first, mean over seeds ± 95 % interval. {paired} The intervals are not adjusted for "
        "their number: where nothing differs, about 5 in 100 exclude zero by chance. No claim is judged here."
    )


def difference_table(rows: pd.DataFrame) -> Table:
    """Arms in rows, the headline metrics' differences in columns."""
    arms = rows.drop_duplicates("arm")
    names = arms["arm"].tolist()
    seeds = rows.groupby("arm")["n"].max()
    parts = [
        (Column("arm"), [Entry(arm, mark=loss) for arm, loss in zip(names, arms["loss"])]),
        (Column("n", numeric=True), [Entry(str(seeds[arm]), float(seeds[arm])) for arm in names]),
    ]
    for metric in (m for m in HEADLINE if m in set(rows["metric"])):
        of_metric = rows[rows["metric"] == metric].set_index("arm").reindex(names)
        places = decimals(of_metric["half"], of_metric["mean"])
        column = Column(described(metric).label, shown_unit(metric), True)
        parts.append((column, [_signed(m, h, places) for m, h in zip(of_metric["mean"], of_metric["half"])]))
    return by_columns("Second minus first: mean ± 95 % interval.", parts, "differences")


def _signed(mean: float, half: float, places: int) -> Entry:
    plus = "+" if number(mean, places, signed=True).startswith("+") else ""
    return Entry(plus + plus_minus(mean, half, places), float(mean))


def verdict_table(first: Evidence, second: Evidence) -> Table:
    """The claims of both studies and their verdicts."""
    sides = {"first": _answers(first), "second": _answers(second)}
    claims = [verdict.claim for verdict in headlines((*first.verdicts, *second.verdicts))]
    parts = [(Column("claim"), [Entry(f"“{claim.quote}”") for claim in claims])]
    for title, side in sides.items():
        entries = [verdict_entry(side[c.id].verdict) if c.id in side else Entry(MISSING) for c in claims]
        parts.append((Column(title), entries))
    return by_columns("Each claim in both studies.", parts, "verdicts")


def study_table(first: Evidence, second: Evidence) -> Table:
    """What both studies are, side by side."""
    sides = {"first": dict(prose.facts(first)), "second": dict(prose.facts(second))}
    labels = list(sides["first"] | sides["second"])
    parts = [(Column(""), [Entry(label) for label in labels])]
    for title, side in sides.items():
        parts.append((Column(title), [Entry(side.get(label, MISSING)) for label in labels]))
    return by_columns("Provenance of both.", parts, "studies")


def _unmatched(first: Evidence, second: Evidence) -> list[str]:
    """The arms that only one of the studies has, by name."""
    before, after = dict.fromkeys(first.done["arm"]), dict.fromkeys(second.done["arm"])
    only = {"first": [a for a in before if a not in after], "second": [a for a in after if a not in before]}
    return [f"Only in the {which}: {listed(arms)}." for which, arms in only.items() if arms]


def _figures(rows: pd.DataFrame) -> list[ReportFigure]:
    """The differences of a few metrics, arm by arm."""
    shown = []
    for metric in PLOTTED:
        of_metric = rows[(rows["metric"] == metric) & rows["low"].notna()]
        if not of_metric.empty:
            caption = f"{sentence_case(described(metric).label)}, second minus first, with 95 % intervals."
            figure = differences_plot(of_metric, metric)
            shown.append(ReportFigure(f"difference-{metric}", "difference", caption, caption, figure))
    return shown

"""Two studies arm by arm: before and after a change, or one question on two data sets.

The difference is second minus first, seed by seed. Where the cells of a seed began from the same weights and saw the
same batches the pairing is real; where only the number of the seed is shared (two data sets) the interval is as good,
but pairing gains nothing, and the report says so. Intervals are not adjusted for their number, and nothing is judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pandas as pd

from reports.claims.comparability import OWN_OBJECTIVE
from reports.numbers import MISSING, counted, decimals, listed, number, plus_minus, sentence_case
from reports.page import canvas, prose
from reports.page import html as page
from reports.page.dossiers import dossiers
from reports.page.effects import differences_plot
from reports.page.evidence import Evidence
from reports.page.files import made, write
from reports.page.layout import HEADLINE, Column, Entry, Table, by_columns, described, shown_unit
from reports.page.palette import sign
from reports.page.tables import metrics_in, summary

# Sums over pixels, and SSIM, whose window is of fixed size: of no common scale where images differ in size.
OF_ONE_SIZE: Final = frozenset(
    {*OWN_OBJECTIVE, "ssim", "ssim_inverted", "iwae_gap"} - {"psnr", "psnr_of_mean"},
)
KEYS: Final = ("arm", "loss", "seed")
HASHES: Final = ("init_hash", "order_hash")
PLOTTED: Final = ("ssim", "acutance_ratio", "rate", "neg_elbo")
DIFFERENCES: Final = (
    "arm",
    "loss",
    "metric",
    "n",
    "first",
    "second",
    "mean",
    "sd",
    "half",
    "low",
    "high",
    "same_start",
)


def compare(first: pd.DataFrame, second: pd.DataFrame, metrics: Sequence[str] | None = None) -> pd.DataFrame:
    """Paired differences, second minus first, of each arm that both frames have: one row per arm and metric.

    first, second: frames of cells. metrics: those that both have, by default. Columns: `DIFFERENCES`; n counts the
    seeds done in both with that metric; first and second are means over these seeds; mean to high are as in
    `tables.arm_means`, of the differences; same_start says whether all their seeds began alike.
    """
    wanted = [m for m in metrics_in(first) if m in metrics_in(second)] if metrics is None else list(metrics)
    columns = [*KEYS, *(h for h in HASHES if h in first.columns and h in second.columns), *wanted]
    done = [frame.loc[frame["status"] == "done", columns] for frame in (first, second)]
    both = done[0].merge(done[1], on=list(KEYS), suffixes=("_1", "_2"))
    rows = [
        {"arm": arm, "loss": loss, "metric": metric, **_difference(part, metric), "same_start": _same_start(part)}
        for (arm, loss), part in both.groupby(["arm", "loss"], sort=False)
        for metric in wanted
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
        common = [metric for metric in common if metric not in OF_ONE_SIZE]
    found = compare(first.frame, second.frame, common)
    context = _context(first, second, found)
    write(folder / "differences.csv", str(found.to_csv(index=False, lineterminator="\n")))
    write(folder / "compare.md", page.rendered_markdown("compare.md.j2", context))
    write(folder / "compare.html", page.rendered_html("compare.html.j2", context))
    return folder / "compare.html"


def _context(first: Evidence, second: Evidence, found: pd.DataFrame) -> dict[str, Any]:
    return {
        "heading": f"{first.heading} against {second.heading}",
        "about": "",
        "notes": [
            *_data_notes(first, second),
            *(f"{each.heading}: {note}" for each in (first, second) for note in each.notes),
        ],
        "lead": _lead(first, second, found),
        "reading": _reading(found),
        "verdicts": verdict_table(first, second),
        "differences": difference_table(found),
        "figures": _figures(found),
        "lonely": _lonely(first, second),
        "studies": study_table(first, second),
    }


def _data_notes(first: Evidence, second: Evidence) -> list[str]:
    """What a reader must know where the images are not the same."""
    data = [each.environment for each in (first, second)]
    if data[0].data_digest == data[1].data_digest:
        return []
    names = " and ".join(f"{each.dataset or 'unnamed'} ({each.data_digest or 'no digest'})" for each in data)
    notes = [f"The studies are of different images, {names}: a difference may be one of images."]
    if _differ_in_size(first, second):
        left = listed(described(metric).label for metric in sorted(OF_ONE_SIZE & set(metrics_in(first.frame))))
        notes.append(f"The images differ in size, so these have no common scale and are left out: {left}.")
    return notes


def _differ_in_size(first: Evidence, second: Evidence) -> bool:
    sizes = [_size(each) for each in (first, second)]
    return None not in sizes and sizes[0] != sizes[1]


def _size(evidence: Evidence) -> tuple[int, ...] | None:
    """The shape of the study's images, as its pictures have it; None where it kept none."""
    kept = (arrays["originals"].shape[1:] for arrays in evidence.pictures.values() if "originals" in arrays)
    return next(kept, None)


def _lead(first: Evidence, second: Evidence, found: pd.DataFrame) -> str:
    arms = found["arm"].nunique()
    words = [{d.id: d.verdict for d in dossiers(each.verdicts)} for each in (first, second)]
    shared = [claim for claim in words[0] if claim in words[1]]
    changed = [claim for claim in shared if words[0][claim] != words[1][claim]]
    said = f"{counted(arms, 'arm')} {'is' if arms == 1 else 'are'} in both studies."
    if not shared:
        return said
    same = f"Of {counted(len(shared), 'claim')} judged in both, {len(shared) - len(changed)} have the same verdict"
    return f"{said} {same}{f'; {listed(changed)} changed' if changed else ''}."


def _reading(found: pd.DataFrame) -> str:
    starts = found.drop_duplicates("arm")["same_start"]
    if starts.empty:
        return "The studies have no arm in common, so there is nothing to compare."
    paired = (
        "Seeds are paired: they began from the same weights and saw the same batches."
        if starts.all()
        else "Seeds share their number only, not their start: pairing them gains nothing, and costs nothing."
    )
    return (
        f"Second study minus first, mean over seeds ± 95 % interval. {paired} The intervals are not adjusted for "
        "their number: where nothing differs, about five of a hundred leave zero out by chance. Nothing is judged here."
    )


def difference_table(found: pd.DataFrame) -> Table:
    """Arms in rows, the headline metrics' differences in columns."""
    arms = found.drop_duplicates("arm")
    names = arms["arm"].tolist()
    seeds = found.groupby("arm")["n"].max()
    parts = [
        (Column("arm"), [Entry(arm, mark=loss) for arm, loss in zip(names, arms["loss"])]),
        (Column("n", numeric=True), [Entry(str(seeds[arm]), float(seeds[arm])) for arm in names]),
    ]
    for metric in (m for m in HEADLINE if m in set(found["metric"])):
        rows = found[found["metric"] == metric].set_index("arm").reindex(names)
        places = decimals(rows["half"], rows["mean"])
        column = Column(described(metric).label, shown_unit(metric), True)
        parts.append((column, [_signed(m, h, places) for m, h in zip(rows["mean"], rows["half"])]))
    return by_columns("Second minus first: mean ± 95 % interval.", parts, "differences")


def _signed(mean: float, half: float, places: int) -> Entry:
    return Entry(plus_minus(mean, half, places) if mean < 0 else _plus(mean, half, places), float(mean))


def _plus(mean: float, half: float, places: int) -> str:
    text = plus_minus(mean, half, places)
    return f"+{text}" if number(mean, places, signed=True).startswith("+") else text


def verdict_table(first: Evidence, second: Evidence) -> Table:
    """The claims of both studies and their verdicts."""
    sides = [{d.id: d for d in dossiers(each.verdicts)} for each in (first, second)]
    claims = list(dict.fromkeys([*sides[0], *sides[1]]))
    parts = [(Column("claim"), [Entry(f"“{(sides[0].get(c) or sides[1][c]).quote}”") for c in claims])]
    for title, side in zip(("first", "second"), sides):
        words = [side[c].verdict if c in side else MISSING for c in claims]
        parts.append((Column(title), [Entry(w, mark=f"verdict-{sign(w)[0]}" if w != MISSING else "") for w in words]))
    return by_columns("Each claim in both studies.", parts, "verdicts")


def study_table(first: Evidence, second: Evidence) -> Table:
    """What both studies are, side by side."""
    sides: list[Mapping[str, str]] = [dict(prose.facts(each)) for each in (first, second)]
    labels = list(dict.fromkeys([*sides[0], *sides[1]]))
    parts = [
        (Column(""), [Entry(label) for label in labels]),
        (Column("first"), [Entry(sides[0].get(label, MISSING)) for label in labels]),
        (Column("second"), [Entry(sides[1].get(label, MISSING)) for label in labels]),
    ]
    return by_columns("Provenance of both.", parts, "studies")


def _lonely(first: Evidence, second: Evidence) -> list[str]:
    """Arms of one study only: named, never dropped in silence."""
    arms = [list(dict.fromkeys(each.done["arm"])) for each in (first, second)]
    only = [
        [arm for arm in arms[0] if arm not in arms[1]],
        [arm for arm in arms[1] if arm not in arms[0]],
    ]
    return [f"Only in the {which}: {listed(names)}." for which, names in zip(("first", "second"), only) if names]


def _figures(found: pd.DataFrame) -> list[page.Shown]:
    """The differences of a few metrics, arm by arm."""
    shown = []
    for metric in (m for m in PLOTTED if m in set(found["metric"])):
        rows = found[(found["metric"] == metric) & found["low"].notna()]
        if not rows.empty:
            caption = f"{sentence_case(described(metric).label)}, second minus first, with 95 % intervals."
            vector, _ = canvas.rendered(differences_plot(rows, metric))
            shown.append(page.Shown(f"difference-{metric}", "difference", caption, caption, vector))
    return shown

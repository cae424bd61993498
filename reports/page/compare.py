"""Two studies arm by arm: before and after a change, or one question on two data sets.

The difference is second minus first, seed by seed. The more a seed has in common in both studies, by the logged hashes,
the narrower pairing makes the intervals; the page says how much that is. Intervals are not adjusted for their number,
and no claim is judged.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Final

import pandas as pd

from reports.judging.judge import headlines
from reports.judging.verdict import Verdict
from reports.numbers import MISSING, counted, decimals, listed, number, plus_minus, sentence_case
from reports.page import prose
from reports.page.captioned import PlannedFigure, ReportFigure, shown
from reports.page.claim_tables import verdict_entry
from reports.page.drawing import Drawing, pictures_of
from reports.page.effects import differences_plot
from reports.page.evidence import Evidence
from reports.page.files import csv, made, write
from reports.page.html import rendered_html, rendered_markdown
from reports.page.joined import Joined, without_common_value
from reports.page.layout import Column, Entry, Table, by_columns, described, shown_unit
from reports.page.tables import metrics_in
from vae.arms import NAMED
from vae.metrics.catalogue import HEADLINE

PLOTTED: Final = ("ssim", "acutance_ratio", "rate", "neg_elbo")


def write_comparison(first: Evidence, second: Evidence, out: str | Path) -> Path:
    """Write compare.html, compare.md and differences.csv into the folder `out`; returns the page.

    Raises UserError when the folder cannot be written to.
    """
    folder = made(Path(out))
    common = [metric for metric in metrics_in(first.frame) if metric in metrics_in(second.frame)]
    if _differ_in_size(first, second):
        common = [metric for metric in common if not described(metric).depends_on_size]
    joined = Joined.of(first, second)
    rows = joined.differences(common)
    context = _context(first, second, joined, rows)
    write(folder / "differences.csv", csv(rows))
    write(folder / "compare.md", rendered_markdown("compare.md.j2", context))
    write(folder / "compare.html", rendered_html("compare.html.j2", context))
    return folder / "compare.html"


def _context(first: Evidence, second: Evidence, joined: Joined, rows: pd.DataFrame) -> dict[str, Any]:
    return {
        "heading": f"{first.heading} against {second.heading}",
        "about": "",
        "notes": [
            *_data_notes(first, second),
            *_measuring_notes(first, second),
            *_base_notes(first, second),
            *(f"{evidence.heading}: {note}" for evidence in (first, second) for note in evidence.notes),
        ],
        "lead": f"{_what_differs(first, second)} {_lead(first, second, len(joined.arms))}",
        "reading": _reading(joined),
        "verdicts": verdict_table(first, second),
        "differences": difference_table(rows),
        "figures": _figures(rows),
        "unmatched": joined.unmatched,
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


def _measuring_notes(first: Evidence, second: Evidence) -> list[str]:
    """What a reader must know where the cells were not measured alike. With equal keys, every number was."""
    keys = [_measuring_key(evidence) for evidence in (first, second)]
    if keys[0] and keys[0] == keys[1]:
        return []
    settings = [tomllib.loads(evidence.study_file).get("evaluation", {}) for evidence in (first, second)]
    differing = [
        f"{name} ({settings[0][name]} in the first, {settings[1][name]} in the second)"
        for name in settings[0]
        if name in settings[1] and settings[0][name] != settings[1][name]
    ]
    if differing:
        return [f"The evaluation settings differ in {listed(differing)}: a difference may come from them."]
    if not all(keys):
        return []
    if not all(settings):
        meaning = "Which evaluation settings or versions of metrics differ is not known"
    elif first.environment.data_digest != second.environment.data_digest:
        meaning = (
            "The evaluation settings are the same; the keys depend on the images too, and may differ by them alone"
        )
    else:
        meaning = "The evaluation settings are the same, so versions of metrics differ: a difference may come from them"
    return [f"The measuring keys differ: {keys[0]} in the first, {keys[1]} in the second. {meaning}."]


def _measuring_key(evidence: Evidence) -> str:
    """What names how the study's cells are measured; empty where it was not recorded."""
    return ", ".join(dict.fromkeys(evidence.planned["measures"])) if "measures" in evidence.planned.columns else ""


def _base_notes(first: Evidence, second: Evidence) -> list[str]:
    """What arms and claims mean where the studies' bases differ: one label, or one claim, may be of two arms."""
    same_names = {name: first.base[name] for name in NAMED}  # every label and every claim gives these itself
    differing = without_common_value([first.base], [second.base.replace(same_names)])
    if not differing:
        return []
    return [
        f"The bases of the studies differ in {listed(differing)}. Arms are named as in the first study; where a claim "
        "leaves such a setting out, it has the value of each study’s own base."
    ]


def _differ_in_size(first: Evidence, second: Evidence) -> bool:
    sizes = {_size(first), _size(second)} - {None}
    return len(sizes) == 2


def _size(evidence: Evidence) -> tuple[int, ...] | None:
    """The shape of the study's images, as its pictures have it; None where it kept none."""
    kept = (arrays["originals"].shape[1:] for arrays in evidence.pictures.values() if "originals" in arrays)
    return next(kept, None)


def _what_differs(first: Evidence, second: Evidence) -> str:
    """Data, seeds and settings in which the studies differ, each with both values; what is in one alone is named so."""
    sides = [_settings(first), _settings(second)]
    differing = [
        f"{label} ({' against '.join(side.get(label, 'none') for side in sides)})"
        for label in sides[0] | sides[1]
        if sides[0].get(label) != sides[1].get(label)
    ]
    if not differing:
        return "Data, seeds and recorded settings are the same in both studies."
    return f"The studies differ in {listed(differing)}."


def _settings(evidence: Evidence) -> dict[str, str]:
    """What a study was asked for, as label and value; not when, where and how long it ran."""
    facts = dict(prose.facts(evidence))
    where = evidence.environment
    incidental = {"study", "commit", "device", "run begun", "time of the run", "time of the cells", "python"}
    return {label: text for label, text in facts.items() if label not in incidental and label not in where.versions}


def _lead(first: Evidence, second: Evidence, arms: int) -> str:
    before, after = _answers(first), _answers(second)
    shared = [claim for claim in before if claim in after]
    changed = [claim for claim in shared if before[claim].verdict != after[claim].verdict]
    common = f"{counted(arms, 'arm') if arms else 'No arm'} {'are' if arms > 1 else 'is'} in both studies."
    if not shared:
        return common
    same = len(shared) - len(changed)
    agreeing = (
        f"Of {counted(len(shared), 'claim')} judged in both, {same} {'has' if same == 1 else 'have'} the same verdict"
    )
    moving = [claim for claim in changed if before[claim].settled is False]
    warned = f" Of those that changed, the first report had said that arms still moved: {listed(moving)}."
    return f"{common} {agreeing}{f'; {listed(changed)} changed' if changed else ''}.{warned if moving else ''}"


def _answers(evidence: Evidence) -> dict[str, Verdict]:
    """Claim -> the verdict that answers it."""
    return {verdict.claim.id: verdict for verdict in headlines(evidence.verdicts)}


def _reading(joined: Joined) -> str:
    if not joined.arms:
        return f"There is nothing to compare: {joined.why_empty}."
    return (
        f"Second study minus first, mean over seeds ± 95 % interval. {joined.pairing} The intervals are not adjusted "
        "for how many there are: where nothing differs, about 5 in 100 exclude zero by chance. No claim is judged here."
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
    claims = {verdict.claim.id: verdict.claim for side in sides.values() for verdict in side.values()}.values()
    parts = [(Column("claim"), [Entry(f"“{claim.quote}”") for claim in claims])]
    for title, side in sides.items():
        entries = [verdict_entry(side[c.id]) if c.id in side else Entry(MISSING) for c in claims]
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


def _figures(rows: pd.DataFrame) -> list[ReportFigure]:
    """The differences of a few metrics, arm by arm."""
    plans = []
    for metric in PLOTTED:
        of_metric = rows[(rows["metric"] == metric) & rows["low"].notna()]
        if not of_metric.empty:
            caption = f"{sentence_case(described(metric).label)}, second minus first, with 95 % intervals."
            figure = Drawing(differences_plot, (of_metric, metric))
            plans.append(PlannedFigure(f"difference-{metric}", "difference", caption, caption, figure))
    return shown(plans, pictures_of([plan.drawing for plan in plans]))

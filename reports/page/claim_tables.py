"""The numbers of a claim as tables, and what the arms of its comparisons share."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import Final

import pandas as pd

from reports.claims.kinds import KINDS, Measure
from reports.claims.places import COMPUTED, MATCHED, NOMINAL, OVERALL
from reports.judging.pairing import SHARED
from reports.judging.verdict import Verdict
from reports.numbers import (
    MISSING,
    decimals,
    effect_decimals,
    listed,
    number,
    p_value,
    setting,
    with_unit,
)
from reports.page.claim_sections import ClaimSection, detail
from reports.page.layout import Column, Entry, Part, Table, by_columns, described
from reports.page.palette import VERDICT_SIGNS
from reports.page.standing import AT_FLOOR

_NUMBERS: Final = (
    *("reading", "place", "label", "verdict", "word", "direction", "counted", "kind", "metric", "unit", "effect"),
    *("ci_low", "ci_high", "narrow_low", "narrow_high", "images", "sd", "d_z", "margin", "reference", "floor"),
    *("ceiling", "won_by", "n", "p_in", "p_out", "p_in_adj", "p_out_adj", "p_exact_in", "p_exact_out", "p_rank_in"),
    *("p_rank_out", "alpha", "looks", "epochs", "settled", "moved", "arms_moved", "seeds_to_settle"),
)
_LUCK: Final = ("seeds", "images", "classifiers")
_MOST_NAMED: Final = 3  # comparisons in one sentence
_NOT_COUNTED: Final = "beside: "
PLACES: Final = {NOMINAL: "as named", MATCHED: "at equal rate", COMPUTED: "by computation", OVERALL: "overall"}


def verdict_table(sections: Sequence[ClaimSection]) -> Table:
    """One row per claim: its words, its verdict, and the verdict in plain words."""
    parts = [
        (Column("claim"), [Entry(section.quote) for section in sections]),
        (Column("verdict"), [Entry(section.answer.word + detail(section.answer)) for section in sections]),
        (Column("in plain words"), [Entry(section.answer.sentence) for section in sections]),
    ]
    return by_columns("The claims and their verdicts.", parts, name="verdicts")


def verdict_entry(verdict: Verdict) -> Entry:
    """A verdict's word in its colour, above what a refutation shows."""
    return Entry(verdict.word, mark=f"verdict-{VERDICT_SIGNS[verdict.verdict][0]}", note=detail(verdict)[2:])


def comparison_rows(sections: Sequence[ClaimSection]) -> pd.DataFrame:
    """Every single comparison with its numbers in full: the CSV file of all claims."""
    rows = [
        (
            section.id,
            *(getattr(single, name) for name in _NUMBERS),
            *(single.luck.get(kind) for kind in _LUCK),
            listed(single.at_floor) if single.at_floor else "",
        )
        for section in sections
        for single in section.comparisons
    ]
    return pd.DataFrame(rows, columns=["claim", *_NUMBERS, *(f"variance_{kind}" for kind in _LUCK), "at_floor"])


def comparison_table(section: ClaimSection) -> Table:
    """Each comparison: verdict, effect with both intervals, margin, d_z, n, p values; dashes for what has no effect."""
    singles = section.comparisons
    ranks = any(v.p_rank_in is not None for v in singles)
    parts = [
        (Column("comparison"), _named(singles)),
        (Column("verdict"), [verdict_entry(v) for v in singles]),
        (Column("effect", "95 % interval", True, about="first arm minus second"), [_effect(v) for v in singles]),
        *([_of_luck(singles)] if any(v.luck for v in singles) else []),
        _numbers("margin", "", [v.margin for v in singles], setting),
        _numbers("d_z", "effect / sd of the differences", [v.d_z for v in singles], _two_decimals),
        _numbers("n", "seeds", [v.n if v.metric else None for v in singles], str),  # no metric: computed, no seeds
        _numbers("p for", "adjusted; small supports", [v.p_in_adj for v in singles], p_value),
        _numbers("p against", "adjusted; small refutes", [v.p_out_adj for v in singles], p_value),
        _numbers("exact p", "sign flips, not adjusted", [v.p_exact for v in singles], p_value),
        *([_numbers("rank p", "signed ranks, not adjusted", map(_rank, singles), p_value)] if ranks else []),
    ]
    return by_columns(_caption(singles), parts, name=f"claim-{section.id}")


DECIDING: Final = ("comparison", "verdict", "effect", "margin", "n")  # columns that a reader meets first


def in_two(table: Table) -> tuple[Table, Table]:
    """A table of comparisons as the page shows it: what decides, and the tests behind it, which are folded."""
    return _with_columns(table, DECIDING), _with_columns(table, None)


def _with_columns(table: Table, titles: Collection[str] | None) -> Table:
    """The columns of these titles; where None, the comparison and all that `DECIDING` leaves out."""
    kept = [
        i
        for i, column in enumerate(table.columns)
        if (column.title in titles if titles is not None else i == 0 or column.title not in DECIDING)
    ]
    rows = tuple(tuple(row[i] for i in kept) for row in table.rows)
    return replace(table, columns=tuple(table.columns[i] for i in kept), rows=rows)


def _caption(singles: Sequence[Verdict]) -> str:
    caption = (
        "Paired differences over seeds. p for and p against are Holm-adjusted over all claims, readings and places."
    )
    if not all(single.counted for single in singles):
        caption += (
            " Comparisons marked “beside” do not decide the claim: their words come from tests that are not adjusted, "
            "so some of them may be wrong by chance."
        )
    if not any(single.luck for single in singles):
        return caption
    return (
        f"{caption} The first interval decides. It is over seeds, test images and, where classifiers read the images, "
        "classifiers too: for images like these. Below it, “seeds alone” is for these images. Variance: the share that "
        "images and classifiers have of the variance of the mean."
    )


def _rank(single: Verdict) -> float | None:
    known = [p for p in (single.p_rank_in, single.p_rank_out) if p is not None]
    return min(known, default=None)


def _of_luck(singles: Sequence[Verdict]) -> Part:
    """What images and classifiers have of the variance of each effect."""
    entries = []
    for single in singles:
        shares = {kind: single.luck[kind] for kind in _LUCK[1:] if single.luck.get(kind)}
        text = ", ".join(f"{kind} {100 * share:.0f} %" for kind, share in shares.items())
        entries.append(Entry(text or MISSING, sum(shares.values()) if shares else None))
    return Column("variance", "beside that of seeds", numeric=True), entries


def names(singles: Sequence[Verdict]) -> list[str]:
    """What each comparison is called in a list: its own words where no other has the same, else its arms too; with its
    place and its reading where these differ."""
    matched = any(single.place == MATCHED for single in singles)
    read = len({single.reading for single in singles}) > 1
    short = [(single.label.split(": ")[0], single.place, single.reading) for single in singles]
    labels = [single.label if short.count(key) > 1 else key[0] for single, key in zip(singles, short)]
    labels = [described(label).label for label in labels]
    labels = [f"{label}, {PLACES[single.place]}" if matched else label for label, single in zip(labels, singles)]
    return [f"{label} ({single.reading})" if read else label for label, single in zip(labels, singles)]


def margins(section: ClaimSection) -> list[str]:
    """The least differences that matter to a claim, each with its unit and its reason."""
    reasons: dict[tuple[str, str], str] = {}
    for single in section.comparisons:
        if single.margin is not None and single.metric:
            shown = with_unit(setting(single.margin), single.unit)
            in_logs = KINDS[single.kind].measure is Measure.CROSSING
            what = "ln β" if in_logs else described(single.metric).label
            reasons.setdefault((what, shown), single.margin_reason)
    return [f"{what} {shown}{f' ({reason})' if reason else ''}" for (what, shown), reason in reasons.items()]


def shared_by_arms(section: ClaimSection) -> list[str]:
    """What the arms of a seed share, by their logged hashes: one sentence, or one for each group of comparisons."""
    paired = [single for single in section.comparisons if single.effect is not None and len(single.arms) > 1]
    groups: dict[tuple[str, ...], list[str]] = {}
    for single, name in zip(paired, names(paired)):
        groups.setdefault(single.shared, []).append(name)
    sentences = []
    for shared, labels in groups.items():
        which = f"{len(labels)} of {len(paired)} comparisons"
        if len(labels) <= _MOST_NAMED:
            which = f"the comparison{'s' if len(labels) > 1 else ''} {listed(f'“{label}”' for label in labels)}"
        opening = f"In {which}, the" if len(groups) > 1 else "The"
        sentences.append(f"{opening} arms of a seed {_sharing(shared)}.")
    return sentences


def _sharing(shared: Sequence[str]) -> str:
    """ "share batch order, but not initial weights or noise". shared: words of `reports.judging.pairing.SHARED`."""
    others = " or ".join(word for word in SHARED.values() if word not in shared)
    if not shared:
        return f"share only their number, not {others}"
    return f"share {listed(shared)}{f', but not {others}' if others else ''}"


def _named(singles: Sequence[Verdict]) -> list[Entry]:
    """The names; those of comparisons that do not count begin with "beside". In the notes: what stands against them."""
    return [
        Entry(("" if single.counted else _NOT_COUNTED) + name.removeprefix(_NOT_COUNTED), name, note=_against(single))
        for name, single in zip(names(singles), singles)
    ]


def _against(single: Verdict) -> str:
    clauses = [f"{single.won_by} wins this by construction"] if single.won_by else []
    if single.at_floor:
        clauses.append(f"{listed(single.at_floor)}: {AT_FLOOR}")
    return "; ".join(clauses)


def _effect(single: Verdict) -> Entry:
    if single.effect is None:
        return Entry(MISSING)
    if single.ci_low is None or single.ci_high is None:
        return Entry(number(single.effect, decimals([], [single.effect]), signed=True), single.effect)
    places = effect_decimals((single.ci_high - single.ci_low) / 2, single.effect, single.margin)
    mean, low, high = (number(x, places, signed=True) for x in (single.effect, single.ci_low, single.ci_high))
    text = with_unit(f"{mean} [{low}, {high}]", single.unit)
    if not single.luck or single.narrow_low is None or single.narrow_high is None:
        return Entry(text, single.effect)
    narrow = [number(x, places, signed=True) for x in (single.narrow_low, single.narrow_high)]
    return Entry(text, single.effect, note=f"seeds alone [{narrow[0]}, {narrow[1]}]")


def _numbers(title: str, about: str, values: Iterable[float | None], written: Callable[[float], str]) -> Part:
    entries = [Entry(MISSING) if value is None else Entry(written(value), float(value)) for value in values]
    return Column(title, numeric=True, about=about), entries


def _two_decimals(value: float) -> str:
    return number(value, 2, signed=True)

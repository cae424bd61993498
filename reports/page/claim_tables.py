"""The numbers of a claim as tables: its comparisons, and whether its verdict depends on level, margin and seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import pandas as pd

from reports.claims.places import COMPUTED, MATCHED, NOMINAL, OVERALL
from reports.judging.pairing import SHARED
from reports.judging.verdict import INSUFFICIENT, Sensitivity, Verdict
from reports.numbers import (
    MISSING,
    counted,
    decimals,
    effect_decimals,
    listed,
    number,
    p_value,
    setting,
    spans,
    with_unit,
)
from reports.page.claim_sections import ClaimSection
from reports.page.layout import Column, Entry, Part, Table, by_columns, described
from reports.page.palette import VERDICT_SIGNS

_NUMBERS: Final = (
    *("place", "label", "verdict", "counted", "kind", "metric", "unit", "effect", "ci_low", "ci_high", "sd", "d_z"),
    *("margin", "reference", "n", "p_in", "p_out", "p_in_adj", "p_out_adj", "p_exact_in", "p_exact_out", "alpha"),
    "seeds_to_settle",
)
_EVERY_SETTING: Final = "at another level, at half or twice the margin, or when any one seed is left out"
_MOST_NAMED: Final = 3  # comparisons in one sentence
_NOT_COUNTED: Final = "beside: "
PLACES: Final = {NOMINAL: "as named", MATCHED: "at equal rate", COMPUTED: "by computation", OVERALL: "overall"}


def verdict_table(sections: Sequence[ClaimSection]) -> Table:
    """One row per claim: its words, its verdict, and the verdict in plain words."""
    parts = [
        (Column("claim"), [Entry(section.quote) for section in sections]),
        (Column("verdict"), [Entry(section.verdict) for section in sections]),
        (Column("in plain words"), [Entry(section.answer.sentence) for section in sections]),
    ]
    return by_columns("The claims and their verdicts.", parts, name="verdicts")


def verdict_entry(word: str) -> Entry:
    """A verdict's word in its colour."""
    return Entry(word, mark=f"verdict-{VERDICT_SIGNS[word][0]}")


def comparison_rows(sections: Sequence[ClaimSection]) -> pd.DataFrame:
    """Every single comparison with its numbers in full: the CSV file of all claims."""
    rows = [
        (section.id, *(getattr(single, name) for name in _NUMBERS))
        for section in sections
        for single in section.comparisons
    ]
    return pd.DataFrame(rows, columns=["claim", *_NUMBERS])


def comparison_table(section: ClaimSection) -> Table:
    """Each comparison: verdict, effect with interval, margin, d_z, n, p values; dashes for what has no effect."""
    singles = section.comparisons
    parts = [
        (Column("comparison"), _named(singles)),
        (Column("verdict"), [verdict_entry(v.verdict) for v in singles]),
        (Column("effect", "95 % interval", True, about="first arm minus second"), [_effect(v) for v in singles]),
        _numbers("margin", "", [v.margin for v in singles], setting),
        _numbers("d_z", "effect / sd of the differences", [v.d_z for v in singles], _two_decimals),
        _numbers("n", "seeds", [v.n if v.metric else None for v in singles], str),  # no metric: computed, no seeds
        _numbers("p for", "adjusted; small supports", [v.p_in_adj for v in singles], p_value),
        _numbers("p against", "adjusted; small refutes", [v.p_out_adj for v in singles], p_value),
        _numbers("exact p", "sign flips, not adjusted", [v.p_exact for v in singles], p_value),
    ]
    caption = "Paired differences over seeds. p for and p against are Holm-adjusted over all claims and places."
    return by_columns(caption, parts, name=f"claim-{section.id}")


def names(singles: Sequence[Verdict]) -> list[str]:
    """What each comparison is called in a list: its own words where no other has the same, else its arms too."""
    matched = any(single.place == MATCHED for single in singles)
    short = [(single.label.split(": ")[0], single.place) for single in singles]
    labels = [single.label if short.count(key) > 1 else key[0] for single, key in zip(singles, short)]
    labels = [described(label).label for label in labels]
    return [f"{label}, {PLACES[single.place]}" if matched else label for label, single in zip(labels, singles)]


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
    """The names; those of comparisons that do not count begin with "beside"."""
    return [
        Entry(("" if single.counted else _NOT_COUNTED) + name.removeprefix(_NOT_COUNTED), name)
        for name, single in zip(names(singles), singles)
    ]


def _effect(single: Verdict) -> Entry:
    if single.effect is None:
        return Entry(MISSING)
    if single.ci_low is None or single.ci_high is None:
        return Entry(number(single.effect, decimals([], [single.effect]), signed=True), single.effect)
    places = effect_decimals((single.ci_high - single.ci_low) / 2, single.effect, single.margin)
    mean, low, high = (number(x, places, signed=True) for x in (single.effect, single.ci_low, single.ci_high))
    return Entry(with_unit(f"{mean} [{low}, {high}]", single.unit), single.effect)


def _numbers(title: str, about: str, values: Iterable[float | None], written: Callable[[float], str]) -> Part:
    entries = [Entry(MISSING) if value is None else Entry(written(value), float(value)) for value in values]
    return Column(title, numeric=True, about=about), entries


def _two_decimals(value: float) -> str:
    return number(value, 2, signed=True)


def sensitivity_table(section: ClaimSection) -> Table | None:
    """Each comparison at other levels and margins, and with one seed left out; None where no verdict was reached."""
    decided, settings = _decided(section.comparisons)
    if not decided:
        return None
    parts = [
        (Column("comparison"), _named(decided)),
        (Column("level α"), [Entry(_by_word(one.alpha)) for one in settings]),
        (Column("margin times"), [Entry(_by_word(one.margin)) for one in settings]),
        (Column("seed left out"), [Entry(_by_word(one.leave_one_out)) for one in settings]),
    ]
    return by_columns("The verdict under other settings.", parts, name=f"sensitivity-{section.id}")


def _decided(singles: Iterable[Verdict]) -> tuple[list[Verdict], list[Sensitivity]]:
    """Those whose verdict other settings could change, and their words under these settings."""
    known = [(v, v.sensitivity) for v in singles if v.sensitivity is not None and v.verdict != INSUFFICIENT]
    return [single for single, _ in known], [sensitivity for _, sensitivity in known]


def _by_word(words: Mapping[str, str]) -> str:
    """ "supported at all: 0.01, 0.05, 0.1", or each word with its settings. words: setting -> word."""
    if not words:
        return MISSING
    settings: dict[str, list[str]] = {}
    for value, word in words.items():
        settings.setdefault(word, []).append(value)
    every = " all:" if len(settings) == 1 else ""
    return "; ".join(f"{word} at{every} {_run(values)}" for word, values in settings.items())


def _run(values: list[str]) -> str:
    return spans(int(v) for v in values) if len(values) > 3 and all(v.isdigit() for v in values) else ", ".join(values)


def firmness(section: ClaimSection) -> str:
    """One sentence on whether the verdict depends on its settings; empty for what is computed and not sampled."""
    singles, settings = _decided(single for single in section.comparisons if single.counted)
    stable = [one.stable for one in settings]
    if not stable:
        return ""
    if all(stable):
        untested = _untested(settings, fewest=min(single.n for single in singles))
        which = "under any setting that leaves enough seeds to decide" if untested else _EVERY_SETTING
        return f"No comparison changes its verdict {which}.{untested}"
    which = "" if len(stable) == 1 else f" of {stable.count(False)} of {len(stable)} comparisons"
    return f"The verdict{which} would be different under some of the settings below."


def _untested(settings: Sequence[Sensitivity], *, fewest: int) -> str:
    """The settings for which the seeds are too few, as a sentence; empty where they suffice for all."""
    levels = dict.fromkeys(level for one in settings for level, word in one.alpha.items() if word == INSUFFICIENT)
    lacking = [f"level {listed(levels)} cannot be tested"] if levels else []
    if any(INSUFFICIENT in one.leave_one_out.values() for one in settings):
        lacking.append("no seed can be left out")
    return f" With {counted(fewest, 'seed')}, {listed(lacking)}." if lacking else ""

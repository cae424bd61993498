"""One claim as a reader meets it: its verdict, its comparisons as a table, and how firmly it stands.

Everything here is read from the records of `verdicts.json` (`reports.judging.verdict.SCHEMA`); nothing is judged anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from reports.judging.verdict import COMPUTED, INSUFFICIENT, MATCHED, NOMINAL, OVERALL, WORDS
from reports.numbers import MISSING, counted, decimals, effect_decimals, listed, number, p_value, setting, spans
from reports.page.layout import Column, Entry, Table, by_columns, described
from reports.page.palette import sign

Record = Mapping[str, Any]

PICTURED: Final = 8  # comparisons in the picture of one claim
_NUMBERS: Final = (
    *("place", "label", "verdict", "counted", "kind", "metric", "unit", "effect", "ci_low", "ci_high", "sd", "d_z"),
    *("margin", "reference", "n", "p_in", "p_out", "p_in_adj", "p_out_adj", "p_exact_in", "p_exact_out", "alpha"),
    "seeds_to_settle",
)
_EVERY_SETTING: Final = "at another level, at half or twice the margin, or without any one seed"
PLACES: Final = {NOMINAL: "as named", MATCHED: "at equal rate", COMPUTED: "by computation", OVERALL: "overall"}


@dataclass(frozen=True)
class Dossier:
    """One claim. head: the record that answers it; records: all of its records, head included."""

    id: str
    quote: str
    head: Record
    records: tuple[Record, ...]

    @property
    def verdict(self) -> str:
        """The verdict's word, as in `verdicts.json`."""
        return str(self.head["verdict"])

    @property
    def tone(self) -> str:
        """The name of the verdict's colour."""
        return sign(self.verdict)[0]

    @property
    def sign(self) -> str:
        """The sign that stands beside the verdict's word."""
        return sign(self.verdict)[1]

    @property
    def leaves(self) -> tuple[Record, ...]:
        """The single comparisons behind the verdict, each once, whether or not they have an effect."""
        found: dict[tuple[Any, ...], Record] = {}
        for record in (self.head, *self.records):
            for leaf in _leaves(record):
                found.setdefault((leaf["label"], leaf["place"], leaf["metric"]), leaf)
        return tuple(found.values())

    @property
    def measured(self) -> tuple[Record, ...]:
        """The leaves that decide and have an effect with an interval: what can be drawn."""
        return tuple(leaf for leaf in self.leaves if leaf["counted"] and leaf["ci_low"] is not None)

    @property
    def has_effects(self) -> bool:
        """Whether any comparison has an effect: what a table of comparisons is for."""
        return any(leaf["effect"] is not None for leaf in self.leaves)

    @property
    def pictured(self) -> tuple[Record, ...]:
        """Those of `measured` that fit a picture: the ones nearest to another verdict, a metric's together."""
        shown = sorted(self.measured, key=_clarity)[:PICTURED]
        order = [leaf["metric"] for leaf in self.measured]
        return tuple(sorted((leaf for leaf in self.measured if leaf in shown), key=lambda r: order.index(r["metric"])))

    @property
    def unpictured(self) -> str:
        """What a reader must know of a picture that does not show all; empty where it does."""
        shown, count = len(self.pictured), len(self.measured)
        return f"{shown} of {count} comparisons: those nearest to another verdict." if shown < count else ""

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that the claim rests on, each once."""
        return tuple(dict.fromkeys(leaf["metric"] for leaf in self.leaves if leaf["metric"]))

    @property
    def notes(self) -> tuple[str, ...]:
        """What must be read beside the verdict, each sentence once."""
        gathered = [note for record in (self.head, *self.leaves) for note in record["evidence"]]
        return tuple(dict.fromkeys(gathered))

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why data do not suffice, or tests disagree, where that decides: each once."""
        deciding = (self.head, *(leaf for leaf in self.leaves if leaf["counted"]))
        return tuple(dict.fromkeys(record["reason"] for record in deciding if record["reason"]))


def _clarity(leaf: Record) -> tuple[bool, float]:
    """Orders comparisons from the least clear: those with another word than supported first, then by p."""
    p = leaf["p_in_adj"] if leaf["verdict"] == "supported" else leaf["p_out_adj"]
    return leaf["verdict"] == "supported", -(1.0 if p is None else p)


def _leaves(record: Record) -> Iterable[Record]:
    if not record["legs"]:
        yield record
    for leg in record["legs"]:
        yield from _leaves(leg)


def dossiers(verdicts: Sequence[Record]) -> tuple[Dossier, ...]:
    """The claims of these records, in their order. Of a claim with several, `overall` answers it, else the first."""
    claims: dict[str, list[Record]] = {}
    for record in verdicts:
        claims.setdefault(record["claim"]["id"], []).append(record)
    found = []
    for name, records in claims.items():
        head = next((r for r in records if r["place"] == OVERALL), records[0])
        found.append(Dossier(name, head["claim"]["quote"], head, tuple(records)))
    return tuple(found)


def tally(found: Sequence[Dossier]) -> dict[str, int]:
    """How many claims have each verdict; words that occur, in the order supported, refuted, inconclusive, the rest."""
    words = [dossier.verdict for dossier in found]
    return {word: words.count(word) for word in dict.fromkeys((*WORDS, *words)) if word in words}


def verdict_table(found: Sequence[Dossier]) -> Table:
    """One row per claim: its words, its verdict, and the verdict in plain words."""
    parts = [
        (Column("claim"), [Entry(dossier.quote) for dossier in found]),
        (Column("verdict"), [Entry(dossier.verdict) for dossier in found]),
        (Column("in plain words"), [Entry(str(dossier.head["sentence"])) for dossier in found]),
    ]
    return by_columns("The claims and their verdicts.", parts, name="verdicts")


def comparison_rows(found: Sequence[Dossier]) -> pd.DataFrame:
    """Every single comparison with its numbers in full: the CSV file of all claims."""
    rows = [{"claim": d.id, **{key: leaf[key] for key in _NUMBERS}} for d in found for leaf in d.leaves]
    return pd.DataFrame(rows, columns=["claim", *_NUMBERS])


def comparison_table(dossier: Dossier) -> Table:
    """Each comparison: verdict, effect with interval, margin, d_z, n, p values; dashes for what has no effect."""
    leaves = dossier.leaves
    parts = [
        (Column("comparison"), _named(leaves)),
        (Column("verdict"), [Entry(r["verdict"], mark=f"verdict-{sign(r['verdict'])[0]}") for r in leaves]),
        (Column("effect", "95 % interval", True, about="first arm minus second"), [_effect(r) for r in leaves]),
        (Column("margin", numeric=True), [_margin(r) for r in leaves]),
        (Column("d_z", numeric=True, about="effect / sd of the differences"), [_plain(r["d_z"], 2) for r in leaves]),
        (Column("n", numeric=True, about="seeds"), [_seeds(r) for r in leaves]),
        (Column("p for", numeric=True, about="adjusted; small supports"), [_p(r["p_in_adj"]) for r in leaves]),
        (Column("p against", numeric=True, about="adjusted; small refutes"), [_p(r["p_out_adj"]) for r in leaves]),
        (Column("exact p", numeric=True, about="sign flips, not adjusted"), [_p(r["p_exact"]) for r in leaves]),
    ]
    caption = "Paired differences over seeds. p for and p against are Holm-adjusted over all claims and places."
    return by_columns(caption, parts, name=f"claim-{dossier.id}")


def names(leaves: Sequence[Record]) -> list[str]:
    """What each comparison is called in a list: its own words where they single it out, else its arms too."""
    matched = any(leaf["place"] == MATCHED for leaf in leaves)
    short = [(leaf["label"].split(": ")[0], leaf["place"]) for leaf in leaves]
    labels = [leaf["label"] if short.count(key) > 1 else key[0] for leaf, key in zip(leaves, short)]
    labels = [described(label).label for label in labels]
    return [
        f"{label}, {PLACES.get(leaf['place'], leaf['place'])}" if matched else label
        for label, leaf in zip(labels, leaves)
    ]


def _named(leaves: Sequence[Record]) -> list[Entry]:
    """The names, those of comparisons that decide nothing marked as standing beside."""
    found = []
    for name, leaf in zip(names(leaves), leaves):
        words = name.removeprefix("beside: ")
        found.append(Entry(words if leaf["counted"] else f"beside: {words}", name))
    return found


def _effect(leaf: Record) -> Entry:
    if leaf["effect"] is None:
        return Entry(MISSING)
    if leaf["ci_low"] is None:
        return Entry(number(leaf["effect"], decimals([], [leaf["effect"]]), signed=True), leaf["effect"])
    places = effect_decimals((leaf["ci_high"] - leaf["ci_low"]) / 2, leaf["effect"], leaf["margin"])
    mean, low, high = (number(leaf[k], places, signed=True) for k in ("effect", "ci_low", "ci_high"))
    unit = f" {leaf['unit']}" if leaf["unit"] not in ("", "1") else ""
    return Entry(f"{mean} [{low}, {high}]{unit}", leaf["effect"])


def _plain(value: float | None, places: int) -> Entry:
    return Entry(MISSING) if value is None else Entry(number(value, places, signed=True), value)


def _seeds(leaf: Record) -> Entry:
    """What is computed rests on no seed."""
    return Entry(str(leaf["n"]), float(leaf["n"])) if leaf["metric"] else Entry(MISSING)


def _margin(leaf: Record) -> Entry:
    return Entry(MISSING) if leaf["margin"] is None else Entry(setting(leaf["margin"]), leaf["margin"])


def _p(value: float | None) -> Entry:
    return Entry(p_value(value), value)


def sensitivity_table(dossier: Dossier) -> Table | None:
    """Each comparison at other levels and margins, and with one seed left out; None where no verdict was reached."""
    leaves = [leaf for leaf in dossier.leaves if _sensitive(leaf)]
    if not leaves:
        return None
    parts = [(Column("comparison"), _named(leaves))]
    for title, key in (("level α", "alpha"), ("margin times", "margin"), ("seed left out", "leave_one_out")):
        parts.append((Column(title), [Entry(_settings(leaf["sensitivity"][key])) for leaf in leaves]))
    return by_columns("The verdict under other settings.", parts, name=f"sensitivity-{dossier.id}")


def _sensitive(leaf: Record) -> bool:
    """Whether there is a verdict that other settings could change."""
    return bool(leaf["sensitivity"]) and leaf["verdict"] != INSUFFICIENT


def _settings(words: Mapping[str, str]) -> str:
    """ "supported at all of 0.01, 0.05 and 0.1", or each word with its settings."""
    if not words:
        return MISSING
    groups: dict[str, list[str]] = {}
    for value, word in words.items():
        groups.setdefault(word, []).append(value)
    if len(groups) == 1:
        return f"{next(iter(groups))} at all: {_run(list(words))}"
    return "; ".join(f"{word} at {_run(values)}" for word, values in groups.items())


def _run(values: list[str]) -> str:
    return spans(int(v) for v in values) if len(values) > 3 and all(v.isdigit() for v in values) else ", ".join(values)


def _beyond_these_seeds(dossier: Dossier) -> str:
    """Which of the settings the seeds are too few for, as a sentence; empty where they suffice for all."""
    leaves = [leaf for leaf in dossier.leaves if _sensitive(leaf) and leaf["counted"]]
    found = [leaf["sensitivity"] for leaf in leaves]
    levels = dict.fromkeys(a for each in found for a, word in each["alpha"].items() if word == INSUFFICIENT)
    lacking = [f"the level cannot be {listed(levels)}"] if levels else []
    if any(INSUFFICIENT in each["leave_one_out"].values() for each in found):
        lacking.append("none can be left out")
    fewest = counted(min(leaf["n"] for leaf in leaves), "seed")
    return f" With {fewest}, {listed(lacking)}." if lacking else ""


def firmness(dossier: Dossier) -> str:
    """One sentence on whether the verdict hangs on its settings; empty for what is computed and not sampled."""
    stable = [leaf["sensitivity"]["stable"] for leaf in dossier.leaves if _sensitive(leaf) and leaf["counted"]]
    if not stable:
        return ""
    if all(stable):
        beyond = _beyond_these_seeds(dossier)
        which = "under any setting that leaves seeds enough to decide" if beyond else _EVERY_SETTING
        return f"No comparison changes its verdict {which}.{beyond}"
    which = "The verdict" if len(stable) == 1 else f"{stable.count(False)} of {len(stable)} comparisons"
    return f"{which} would come out differently under some of the settings below."

"""One claim as a reader meets it: its verdict, its comparisons as a table, and how firmly it stands.

Everything here is read from the records of `verdicts.json` (`reports.record.SCHEMA`); nothing is judged anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports.effects import comparisons
from reports.layout import Column, Entry, Table, by_columns, described
from reports.palette import sign
from reports.record import OVERALL, WORDS
from reports.rounding import MISSING, decimals, listed, number, p_value, sentence_case, setting, spans

Record = Mapping[str, Any]


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
        """The leaves that have an effect with an interval: what can be drawn."""
        return tuple(leaf for leaf in self.leaves if comparisons(leaf))

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
        """Why data do not suffice, or tests disagree, each once."""
        return tuple(dict.fromkeys(r["reason"] for r in (self.head, *self.leaves) if r["reason"]))

    @property
    def losses(self) -> tuple[str, ...]:
        """Sentences on conditions that lost cells: never dropped in silence."""
        return tuple(dict.fromkeys(_lost(c) for leaf in self.leaves for c in leaf["counts"] if _lost(c)))


def _leaves(record: Record) -> Iterable[Record]:
    if not record["legs"]:
        yield record
    for leg in record["legs"]:
        yield from _leaves(leg)


def _lost(count: Record) -> str:
    parts = [f"{count[kind]} {kind}" for kind in ("failed", "missing", "unmeasured") if count[kind]]
    if not parts:
        return ""
    why = f" ({listed(dict.fromkeys(count['reasons']))})" if count["reasons"] else ""
    return f"{count['arm']}: {count['done']} done, {listed(parts)}{why}."


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


def comparison_table(dossier: Dossier) -> Table:
    """Each comparison: effect with interval, d_z, n, margin, p values, verdict. Empty rows for what has no effect."""
    leaves = dossier.leaves
    metrics = [_metric(leaf) for leaf in leaves]
    parts = [
        (Column("comparison"), [Entry(_labelled(leaf)) for leaf in leaves]),
        (Column("verdict"), [Entry(r["verdict"], mark=f"verdict-{sign(r['verdict'])[0]}") for r in leaves]),
        *([(Column("metric"), [Entry(metric) for metric in metrics])] if len(set(metrics)) > 1 else []),
        (Column("effect", "95 % interval", True, about="first arm minus second"), [_effect(r) for r in leaves]),
        (Column("margin", numeric=True), [_margin(r) for r in leaves]),
        (Column("d_z", numeric=True, about="effect / sd of the differences"), [_plain(r["d_z"], 2) for r in leaves]),
        (Column("n", numeric=True, about="seeds"), [Entry(str(r["n"]), float(r["n"])) for r in leaves]),
        (Column("p for", numeric=True, about="adjusted; small supports"), [_p(r["p_in_adj"]) for r in leaves]),
        (Column("p against", numeric=True, about="adjusted; small refutes"), [_p(r["p_out_adj"]) for r in leaves]),
        (Column("exact p", numeric=True, about="sign flips, not adjusted"), [_p(r["p_exact"]) for r in leaves]),
    ]
    of = f"{sentence_case(metrics[0])}: paired" if len(set(metrics)) == 1 else "Paired"
    caption = f"{of} differences over seeds. p for and p against are Holm-adjusted over all claims and places."
    return by_columns(caption, parts, name=f"claim-{dossier.id}")


def _labelled(leaf: Record) -> str:
    place = "" if leaf["place"] in leaf["label"] or leaf["place"] == OVERALL else f", {leaf['place']}"
    beside = "" if leaf["counted"] else " (shown beside the claim, decides nothing)"
    return f"{leaf['label']}{place}{beside}"


def _metric(leaf: Record) -> str:
    if not leaf["metric"]:
        return MISSING
    unit = f", {leaf['unit']}" if leaf["unit"] not in ("", "1") else ""
    return f"{described(leaf['metric']).label}{unit}"


def _effect(leaf: Record) -> Entry:
    if leaf["effect"] is None:
        return Entry(MISSING)
    if leaf["ci_low"] is None:
        return Entry(number(leaf["effect"], decimals([], [leaf["effect"]]), signed=True), leaf["effect"])
    places = decimals([(leaf["ci_high"] - leaf["ci_low"]) / 2], [leaf["effect"]])
    mean, low, high = (number(leaf[k], places, signed=True) for k in ("effect", "ci_low", "ci_high"))
    return Entry(f"{mean} [{low}, {high}]", leaf["effect"])


def _plain(value: float | None, places: int) -> Entry:
    return Entry(MISSING) if value is None else Entry(number(value, places, signed=True), value)


def _margin(leaf: Record) -> Entry:
    return Entry(MISSING) if leaf["margin"] is None else Entry(setting(leaf["margin"]), leaf["margin"])


def _p(value: float | None) -> Entry:
    return Entry(p_value(value), value)


def sensitivity_table(dossier: Dossier) -> Table | None:
    """The verdict of each comparison at other levels, margins, and with one seed left out; None without such data."""
    leaves = [leaf for leaf in dossier.leaves if leaf["sensitivity"]]
    if not leaves:
        return None
    parts = [(Column("comparison"), [Entry(_labelled(leaf)) for leaf in leaves])]
    for title, key in (("level α", "alpha"), ("margin times", "margin"), ("seed left out", "leave_one_out")):
        parts.append((Column(title), [Entry(_settings(leaf["sensitivity"][key])) for leaf in leaves]))
    return by_columns("The verdict under other settings.", parts, name=f"sensitivity-{dossier.id}")


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


def firmness(dossier: Dossier) -> str:
    """One sentence on whether the verdict hangs on its settings; empty for what is computed and not sampled."""
    stable = [leaf["sensitivity"]["stable"] for leaf in dossier.leaves if leaf["sensitivity"] and leaf["counted"]]
    if not stable:
        return ""
    if all(stable):
        return (
            "No comparison changes its verdict at another level, at half or twice the margin, or without any one seed."
        )
    which = "The verdict" if len(stable) == 1 else f"{stable.count(False)} of {len(stable)} comparisons"
    return f"{which} would come out differently under some of the settings below."

"""A verdict in plain words: one sentence for a reader who skips statistics. Every number is a field of the verdict.

What a kind of claim is put in, `reports.claims.words` says; here the numbers become text and the clauses a sentence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from reports.claims.kinds import Kind
from reports.claims.model import Says
from reports.claims.places import MATCHED, NOMINAL
from reports.claims.words import EffectText, Opposite, Outcome
from reports.judging.names import Subjects
from reports.judging.verdict import INCONCLUSIVE, INSUFFICIENT, REFUTED, SUPPORTED, Verdict
from reports.numbers import counted, decimals, listed, number, setting, with_unit

_AT: Final[Mapping[str, str]] = {NOMINAL: "At the settings named", MATCHED: "At equal rate"}
_BE: Final[Mapping[str, tuple[str, str]]] = {
    SUPPORTED: ("is supported", "are supported"),
    REFUTED: ("is refuted", "are refuted"),
    INCONCLUSIVE: ("is left open", "are left open"),
    INSUFFICIENT: ("lacks data", "lack data"),
}


def compared(verdict: Verdict, kind: Kind, subjects: Subjects, *, label: str, caveats: Sequence[str] = ()) -> str:
    """What one comparison shows, and what follows. label: the metric in words. caveats: clauses that must follow."""
    effect = kind.words.effect(_effect(verdict, subjects, label))
    if verdict.verdict == INSUFFICIENT:
        return f"Not enough data: {verdict.reason}. So far: {_inner(effect)}."
    consequence = _open_end(verdict) if verdict.verdict == INCONCLUSIVE else kind.words.consequence(_outcome(verdict))
    return f"{'; '.join((effect + consequence, *caveats))}."


def not_compared(reason: str) -> str:
    """The sentence of a comparison that has no effect to show."""
    return f"Not enough data: {reason}."


def _effect(verdict: Verdict, subjects: Subjects, label: str) -> EffectText:
    """The effect and its neighbours as text, all to the same place."""
    effect, places, unit = float(verdict.effect or 0), _places(verdict), verdict.unit
    opening = f"{subjects.context}, the {label}" if subjects.context else f"The {label}"
    return EffectText(
        opening=f"{opening} of {subjects.first}",
        other=subjects.second,
        size=with_unit(number(abs(effect), places), unit),
        signed=with_unit(number(effect, places, signed=True), unit),
        interval=_interval(verdict, places),
        signed_interval=_interval(verdict, places, signed=True),
        negative=effect < 0,
        rounds_to_zero=not round(effect, places),
        level="" if verdict.reference is None else with_unit(number(verdict.reference + effect, places), unit),
        reference=setting(verdict.reference) if verdict.reference else "",
    )


def _places(verdict: Verdict) -> int:
    known = verdict.ci_low is not None and verdict.ci_high is not None
    half = (float(verdict.ci_high or 0) - float(verdict.ci_low or 0)) / 2 if known else math.nan
    sizes = [size for size in (verdict.effect, verdict.margin) if size]
    return decimals([half], sizes[:1])


def _interval(verdict: Verdict, places: int, *, signed: bool = False) -> str:
    """The interval as the words before it run: of how much lower, where they say lower; with signs where asked."""
    seeds = counted(verdict.n, "seed")
    if verdict.ci_low is None or verdict.ci_high is None:
        return seeds
    ends = (verdict.ci_low, verdict.ci_high)
    if not signed and float(verdict.effect or 0) < 0:
        ends = (-verdict.ci_high, -verdict.ci_low)
    low, high = (number(end, places, signed=signed) for end in ends)
    return f"95 % interval {low} to {high}, {seeds}"


def _margin(verdict: Verdict) -> str:
    return with_unit(setting(float(verdict.margin or 0)), verdict.unit)


def _open_end(verdict: Verdict) -> str:
    if verdict.reason:
        return f": nothing is decided, since {verdict.reason}"
    if verdict.seeds_to_settle is None:
        return f": too near the margin of {_margin(verdict)} for any reasonable number of seeds to tell"
    seeds = verdict.seeds_to_settle
    return f": not yet told apart from the margin of {_margin(verdict)}; about {seeds} seeds would settle it"


def _outcome(verdict: Verdict) -> Outcome:
    margin = _margin(verdict) if verdict.margin else ""
    return Outcome(verdict.verdict == SUPPORTED, margin, _opposite(verdict))


def _opposite(verdict: Verdict) -> Opposite:
    """How much of the interval lies opposite to a claim of a direction."""
    sign = 1 if (verdict.region or (None, None))[0] is not None else -1
    nearest = verdict.ci_high if sign > 0 else verdict.ci_low  # the end of the interval on the claim's side
    towards = (float(verdict.effect or 0) if nearest is None else nearest) * sign
    if towards < -float(verdict.margin or 0):
        return Opposite.BEYOND_MARGIN
    return Opposite.ALL if towards < 0 else Opposite.NOT_ALL


def with_clause(says: Says, word: str, sentence: str) -> str:
    """The sentence behind the clause that the claim gives for this word, if it gives one."""
    clause = getattr(says, word, "") if word != INSUFFICIENT else ""
    return f"{clause}. {sentence}" if clause else sentence


def of_many(word: str, comparisons: Sequence[Verdict], deciding: Verdict) -> str:
    """The sentence of a conjunction: how its comparisons came out, and the one that decides."""
    words = [comparison.verdict for comparison in comparisons if comparison.counted]
    if len(words) == 1 or set(words) == {INSUFFICIENT}:
        return deciding.sentence
    if set(words) == {word}:
        all_of_them = "Both" if len(words) == 2 else f"All {len(words)}"
        rank = "clearest" if word == REFUTED else "least clear"
        return f"{all_of_them} comparisons are {word}; the {rank}: {_inner(deciding.sentence)}"
    numbers = {known: words.count(known) for known in (word, *_BE) if known in words}
    clauses = [f"{count} {_BE[known][count > 1]}" for known, count in numbers.items()]
    return f"Of {len(words)} comparisons, {listed(clauses)}. {deciding.sentence}"


def of_places(places: Sequence[Verdict]) -> str:
    """The sentences of a claim that must hold at several places: one for each, since they may well differ."""
    if {verdict.verdict for verdict in places} == {INSUFFICIENT}:
        return places[0].sentence
    return " ".join(f"{_AT[verdict.place]}: {_inner(verdict.sentence)}" for verdict in places)


def _inner(sentence: str) -> str:
    """A sentence as it stands behind a colon; words in capitals stay so."""
    return sentence if sentence[1:2].isupper() else sentence[:1].lower() + sentence[1:]

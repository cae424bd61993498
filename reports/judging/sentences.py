"""A verdict in plain words: one sentence for a reader who skips statistics. Every number is a field of the verdict.

What a kind of claim is put in, `reports.claims.words` says; here the numbers become text and the clauses a sentence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from reports.claims.kinds import KINDS, Kind, Measure
from reports.claims.model import Says
from reports.claims.places import MATCHED, NOMINAL
from reports.claims.words import EffectText
from reports.judging.names import Subjects
from reports.judging.verdict import (
    DEPENDS,
    INCONCLUSIVE,
    INSUFFICIENT,
    NO_DIFFERENCE,
    OPPOSITE,
    REFUTED,
    SUPPORTED,
    Verdict,
)
from reports.numbers import counted, effect_decimals, listed, number, sentence_case, setting, with_unit

NOT_ENOUGH: Final = "Insufficient"
_AT: Final[Mapping[str, str]] = {NOMINAL: "At the settings named", MATCHED: "At equal rate"}
_BE: Final[Mapping[str, tuple[str, str]]] = {
    SUPPORTED: ("is supported", "are supported"),
    REFUTED: ("is refuted", "are refuted"),
    DEPENDS: ("depends on the reading", "depend on the reading"),
    INCONCLUSIVE: ("is left open", "are left open"),
    INSUFFICIENT: ("lacks data", "lack data"),
}


def compared(verdict: Verdict, kind: Kind, subjects: Subjects, *, label: str, caveats: Sequence[str] = ()) -> str:
    """What one comparison shows: the answer, the numbers, what limits them, and the interval, each a sentence.

    label: the metric in words. caveats: what must stand beside the numbers.
    """
    effect = _effect(verdict, kind, subjects, label)
    numbers = kind.effect(effect)
    if verdict.verdict == INSUFFICIENT:
        return f"{NOT_ENOUGH}: {verdict.reason}. So far: {_inner(numbers.effect)}. {numbers.interval}."
    if verdict.verdict == INCONCLUSIVE:
        answer = _open_answer(verdict, opposite=_on_the_wrong_side(verdict) and not effect.rounds_to_zero)
    else:
        answer = kind.consequence(effect, verdict.verdict == SUPPORTED)
    return " ".join(f"{sentence}." for sentence in (answer, numbers.effect, *map(_begun, caveats), numbers.interval))


def _begun(caveat: str) -> str:
    """A caveat as a sentence begins: with a capital, but for the name of an arm, which stays as it is."""
    first, _, _ = caveat.partition(" ")
    return caveat if "-" in first else sentence_case(caveat)


def _effect(verdict: Verdict, kind: Kind, subjects: Subjects, label: str) -> EffectText:
    """The effect and its neighbours as text, all to the same place."""
    effect, places, unit = verdict.effect or 0.0, _places(verdict), verdict.unit
    margin = verdict.margin or 0.0
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
        margin=_margin(verdict) if margin else "",
        shows_opposite=verdict.direction == OPPOSITE,
        shows_nothing=verdict.direction == NO_DIFFERENCE,
        opposite=_opposite(verdict),
        level="" if verdict.reference is None else with_unit(_level(verdict, kind, effect, places), unit),
        level_interval=_level_interval(verdict, kind, places),
        reference=with_unit(setting(verdict.reference), unit) if verdict.reference else "",
    )


def _opposite(verdict: Verdict) -> bool:
    """Whether the whole interval lies opposite to what a claim of a direction says."""
    above = _says_above(verdict)
    nearest = verdict.ci_high if above else verdict.ci_low
    return nearest is not None and nearest * (1 if above else -1) < 0


def _says_above(verdict: Verdict) -> bool:
    return verdict.region is not None and verdict.region[0] is not None


def _on_the_wrong_side(verdict: Verdict) -> bool:
    """Whether the effect of a claim of one direction points in the other."""
    if verdict.region is None or None not in verdict.region:
        return False
    return (verdict.effect or 0.0) * (1 if _says_above(verdict) else -1) < 0


def _level(verdict: Verdict, kind: Kind, effect: float, places: int) -> str:
    """Where an arm stands that is compared with a number, from its effect."""
    return number(kind.level(verdict.reference or 0.0, effect), places)


def _places(verdict: Verdict) -> int:
    """Decimals of the effect, by the rule of the tables, so that both show the same figures."""
    known = verdict.ci_low is not None and verdict.ci_high is not None
    half = ((verdict.ci_high or 0.0) - (verdict.ci_low or 0.0)) / 2 if known else math.nan
    return effect_decimals(half, verdict.effect or verdict.margin or 0.0, verdict.margin)


def _interval(verdict: Verdict, places: int, *, signed: bool = False) -> str:
    """The interval as the words before it run: of how much lower, where they say lower; with signs where asked."""
    if verdict.ci_low is None or verdict.ci_high is None:
        return _over(verdict)
    ends = (verdict.ci_low, verdict.ci_high)
    if not signed and (verdict.effect or 0.0) < 0:
        ends = (-verdict.ci_high, -verdict.ci_low)
    low, high = (number(end, places, signed=signed) for end in ends)
    return f"The 95 % interval is {low} to {high}, {_inner(_over(verdict))}"


def _level_interval(verdict: Verdict, kind: Kind, places: int) -> str:
    """The interval of where an arm stands."""
    if verdict.ci_low is None or verdict.ci_high is None:
        return _over(verdict)
    low, high = (_level(verdict, kind, end, places) for end in (verdict.ci_low, verdict.ci_high))
    return f"The 95 % interval is {low} to {high}, {_inner(_over(verdict))}"


def _over(verdict: Verdict) -> str:
    images = f" and {counted(verdict.images, 'image')}" if verdict.images else ""
    return f"Over {counted(verdict.n, 'seed')}{images}"


def _margin(verdict: Verdict) -> str:
    return with_unit(setting(verdict.margin or 0.0), verdict.unit)


def _open_answer(verdict: Verdict, *, opposite: bool) -> str:
    """Why nothing is decided. opposite: whether the effect points in the direction that the claim does not name."""
    start, margin = "It is open: ", f"the margin of {_margin(verdict)}"
    start += "in the opposite direction, but " if opposite else ""
    if verdict.reason:
        return f"{start}nothing is decided, since {verdict.reason}"
    if verdict.seeds_to_settle is None:
        return f"{start}too near {margin} for any reasonable number of seeds to tell"
    seeds = verdict.seeds_to_settle
    return f"{start}not yet told apart from {margin}; about {seeds} seeds would be needed to decide"


def with_clause(says: Says, word: str, sentence: str) -> str:
    """The sentence behind the clause that the claim gives for this word, if it gives one."""
    clause = getattr(says, word, "") if word != INSUFFICIENT else ""
    return f"{clause}. {sentence}" if clause else sentence


def of_many(word: str, comparisons: Sequence[Verdict], deciding: Verdict) -> str:
    """The sentence of a conjunction: how its comparisons came out, and the one that decides."""
    words = [comparison.verdict for comparison in comparisons]
    if len(words) == 1 or set(words) == {INSUFFICIENT}:
        return deciding.sentence
    if set(words) == {word}:
        all_of_them = "Both" if len(words) == 2 else f"All {len(words)}"
        which = "the clearest one" if word == REFUTED else "the one nearest to its margin"
        return f"{all_of_them} comparisons are {word}. In {which}: {_inner(deciding.sentence)}"
    numbers = {known: words.count(known) for known in (word, *_BE) if known in words}
    clauses = [f"{count} {_BE[known][count > 1]}" for known, count in numbers.items()]
    return f"Of {len(words)} comparisons, {listed(clauses)}. {deciding.sentence}"


def of_readings(readings: Sequence[Verdict]) -> str:
    """The sentences of a claim's readings: on what the answer depends, then each with its word."""
    words = {verdict.verdict for verdict in readings}
    parts = [f"Read as ‘{verdict.reading}’, {verdict.word}. {verdict.sentence}" for verdict in readings]
    opening = "It depends on what is meant. " if {SUPPORTED, REFUTED} <= words else ""
    return opening + " ".join(parts)


def of_training(verdict: Verdict) -> str:
    """Whether a comparison has settled, in one sentence; empty where it was not measured during training."""
    clause = movement(verdict)
    return f"{'Settled' if verdict.settled else 'Still moving'}: {clause}." if clause else ""


def movement(verdict: Verdict) -> str:
    """How far a comparison moved over the last step of training, beside what it may move; empty where not measured.

    Of two arms, their difference and the arm that moved most may each be more or less than the margin.
    """
    if verdict.settled is None or verdict.moved is None or not verdict.by_epochs:
        return ""
    places = _places(verdict)
    moved = f"moved by {with_unit(number(verdict.moved, places, signed=True), verdict.unit)}"
    limit = f"the margin of {_margin(verdict)}" if verdict.margin else "half its interval"
    since = f"since {_earlier(verdict)} "
    arms_moved = abs(verdict.arms_moved or 0.0)
    if KINDS[verdict.kind].measure is not Measure.ARMS or verdict.reference is not None:
        return f"{since}the {_moving_part(verdict)} {moved}, {_beside(verdict, limit)}"
    arm = with_unit(number(arms_moved, places), verdict.unit)
    if verdict.margin and arms_moved > verdict.margin >= abs(verdict.moved):
        return f"{since}an arm moved by {arm}, more than {limit}; the difference {moved}, less"
    if verdict.margin and abs(verdict.moved) > verdict.margin >= arms_moved:
        return f"{since}the difference {moved}, more than {limit}; no arm by more than {arm}"
    if verdict.settled:
        return f"{since}the difference {moved} and an arm by {arm}, neither by more than {limit}"
    both = "both " if verdict.margin else ""
    return f"{since}the difference {moved} and an arm by {arm}, {both}{_beside(verdict, limit)}"


def _moving_part(verdict: Verdict) -> str:
    return "slope" if KINDS[verdict.kind].measure is Measure.SLOPE else "value"


def _beside(verdict: Verdict, limit: str) -> str:
    """How what moved stands beside the most that may."""
    if verdict.settled:
        return f"not more than {limit}"
    if verdict.margin and max(abs(verdict.moved or 0.0), abs(verdict.arms_moved or 0.0)) <= verdict.margin:
        return f"less than {limit}, but as much again would take it across the margin"
    return f"more than {limit}"


def _earlier(verdict: Verdict) -> str:
    """The last but one point of training."""
    point = verdict.by_epochs[-2]
    return f"epoch {point.epochs}" if point.epochs else f"{point.share:.0%} of training"


def of_places(places: Sequence[Verdict]) -> str:
    """The sentences of a claim that must hold at several places: one for each, since they may well differ."""
    return " ".join(by_place(places))


def by_place(places: Sequence[Verdict]) -> list[str]:
    """The same, one after the other; one for all where none has the data to be judged."""
    if {verdict.verdict for verdict in places} == {INSUFFICIENT}:
        return [places[0].sentence]
    return [f"{_AT[verdict.place]}: {_inner(verdict.sentence)}" for verdict in places]


def _inner(sentence: str) -> str:
    """A sentence as it stands behind a colon; words in capitals stay so."""
    return sentence if sentence[1:2].isupper() else sentence[:1].lower() + sentence[1:]

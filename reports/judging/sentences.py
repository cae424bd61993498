"""A verdict in plain words: one sentence for a reader who skips statistics. Every number is a field of the verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from reports.claims.model import Says
from reports.claims.selectors import USUAL_POSTERIOR, Arm
from reports.judging.verdict import INCONCLUSIVE, INSUFFICIENT, MATCHED, NOMINAL, REFUTED, SUPPORTED, Verdict
from reports.numbers import counted, decimals, listed, number, setting

_ASPECTS: Final = ("loss", "posterior", "weight")
_LINKS: Final[Mapping[str, str]] = {"loss": "for", "posterior": "with", "weight": "with"}
_POSTERIORS: Final[Mapping[str, str]] = {
    USUAL_POSTERIOR: "std = exp(s/2)",
    "full-logvar": "std = exp(s) with the KL term unchanged",
    "log-std": "std = exp(s) with the KL term to match",
}
_AT: Final[Mapping[str, str]] = {NOMINAL: "At the settings named", MATCHED: "At equal rate"}
_BE: Final[Mapping[str, tuple[str, str]]] = {
    SUPPORTED: ("is supported", "are supported"),
    REFUTED: ("is refuted", "are refuted"),
    INCONCLUSIVE: ("is left open", "are left open"),
    INSUFFICIENT: ("lacks data", "lack data"),
}
_REVERSED: Final = ": the other way round"
_PURE: Final = ("", "1", "ratio", "fraction", "none", "dimensionless")  # units that are not said


def compared(found: Verdict, pair: Sequence[Arm], *, label: str, caveats: Sequence[str] = ()) -> str:
    """What one comparison shows, and what follows. label: the metric in words. caveats: clauses that must follow."""
    if found.effect is None:
        return f"Not enough data: {found.reason}."
    said = _effect(found, pair, label)
    if found.verdict == INSUFFICIENT:
        return f"Not enough data: {found.reason}. So far: {_inner(said)}."
    return f"{'; '.join((said + _consequence(found), *caveats))}."


def _effect(found: Verdict, pair: Sequence[Arm], label: str) -> str:
    """The difference with its interval, as a clause."""
    effect = float(found.effect or 0)
    places = _places(found)
    context, first, second = _subjects(found, pair)
    size = _with_unit(number(abs(effect), places), found.unit)
    opening = f"{context}, the {label}" if context else f"The {label}"
    if found.kind == "trend":
        way = "falls" if effect < 0 else "rises"
        return f"{opening} of {first} {way} by {size} each time beta grows e-fold ({_interval(found, places)})"
    if found.reference is not None:
        level = _with_unit(number(found.reference + effect, places), found.unit)
        away = f", {size} {'below' if effect < 0 else 'above'} {setting(found.reference)}" if found.reference else ""
        return f"{opening} of {first} is {level}{away} ({_interval(found, places)})"
    if found.kind == "equivalent" or not round(effect, places):
        moved = _with_unit(number(effect, places, signed=True), found.unit)
        return (
            f"{opening} of {first} differs from that of {second} by {moved} ({_interval(found, places, signed=True)})"
        )
    way = "lower" if effect < 0 else "higher"
    return f"{opening} of {first} is {size} {way} than that of {second} ({_interval(found, places)})"


def _places(found: Verdict) -> int:
    half = (found.ci_high - found.ci_low) / 2 if found.ci_low is not None and found.ci_high is not None else math.nan
    sizes = [size for size in (found.effect, found.margin) if size]
    return decimals([half], sizes[:1])


def _interval(found: Verdict, places: int, *, signed: bool = False) -> str:
    """The interval as the words before it run: of how much lower, where they say lower; with signs where asked."""
    seeds = counted(found.n, "seed")
    if found.ci_low is None or found.ci_high is None:
        return seeds
    ends = (found.ci_low, found.ci_high)
    if not signed and float(found.effect or 0) < 0:
        ends = (-found.ci_high, -found.ci_low)
    low, high = (number(end, places, signed=signed) for end in ends)
    return f"95 % interval {low} to {high}, {seeds}"


def _with_unit(text: str, unit: str) -> str:
    return text if unit in _PURE else f"{text} {unit}"


def _consequence(found: Verdict) -> str:
    """What the margin makes of the effect, as the tail of a sentence."""
    margin = _with_unit(setting(float(found.margin or 0)), found.unit)
    if found.verdict == INCONCLUSIVE:
        return _open_end(found, margin)
    if found.kind in ("equivalent", "anchor"):
        if found.verdict == SUPPORTED:
            return f": within ±{margin}, no difference that matters"
        return f": more than the ±{margin} that would pass as equal"
    if found.verdict == SUPPORTED:
        return f": more than the {margin} that matters" if found.margin else ""
    return _short_of_it(found, margin)


def _open_end(found: Verdict, margin: str) -> str:
    if found.reason:
        return f": nothing is decided, since {found.reason}"
    if found.seeds_to_settle is None:
        return f": too near the margin of {margin} for any reasonable number of seeds to tell"
    return f": not yet told apart from the margin of {margin}; about {found.seeds_to_settle} seeds would settle it"


def _short_of_it(found: Verdict, margin: str) -> str:
    """What a refuted difference is, and no more than its interval shows: the reverse only where all of it is."""
    rises = (found.region or (None, None))[0] is not None
    nearest = found.ci_high if rises else found.ci_low  # the end of the interval on the claim's side of the effect
    towards = (float(found.effect or 0) if nearest is None else nearest) * (1 if rises else -1)
    if towards < -float(found.margin or 0):
        return f": the other way round, by more than the {margin} that matters" if found.margin else _REVERSED
    if towards < 0:
        return _REVERSED
    return f": not more than the {margin} that would matter" if found.margin else ": no such difference"


def _subjects(found: Verdict, pair: Sequence[Arm]) -> tuple[str, str, str]:
    """Context, first and second subject: what the arms share goes before, what tells them apart names them."""
    tuned = math.isnan(pair[0].beta) != math.isnan(pair[-1].beta)
    sides = [_aspects(arm, at_rate=found.place == MATCHED, tuned=tuned) for arm in (pair[0], pair[-1])]
    told = [aspect for aspect in _ASPECTS if sides[0][aspect] != sides[1][aspect]] or ["loss"]
    names = [", ".join(side[aspect] for aspect in told if side[aspect]) for side in sides]
    usual = _POSTERIORS[USUAL_POSTERIOR]  # goes without saying, unless it tells the arms apart
    shared = {aspect: word for aspect, word in sides[0].items() if aspect not in told and word not in ("", usual)}
    opening = [f"at equal rates of {listed([setting(rate) for rate in found.rates])} nats"] if found.rates else []
    opening += [f"{_LINKS[aspect]} {word}" for aspect, word in shared.items()]
    context = " ".join(opening)
    return context[:1].upper() + context[1:], names[0], names[1]


def _aspects(arm: Arm, *, at_rate: bool, tuned: bool) -> dict[str, str]:
    """What can tell arms apart, in words; empty where it goes without saying."""
    any_beta = " at the beta of equal rate" if tuned else ""
    weight = f"‘{arm.reduction}’" + (any_beta if math.isnan(arm.beta) else f" at beta {setting(arm.beta)}")
    posterior = _POSTERIORS.get(arm.posterior, arm.posterior)
    loss = arm.loss.upper() if arm.loss in ("bce", "mse", "mae") else arm.loss
    return {"loss": loss, "posterior": posterior, "weight": "" if at_rate else weight}


def with_clause(says: Says, word: str, sentence: str) -> str:
    """The sentence behind the clause that the claim gives for this word, if it gives one."""
    clause = getattr(says, word, "") if word != INSUFFICIENT else ""
    return f"{clause}. {sentence}" if clause else sentence


def of_many(word: str, parts: Sequence[Verdict], deciding: Verdict) -> str:
    """The sentence of a conjunction: how its comparisons came out, and the one that decides."""
    words = [part.verdict for part in parts if part.counted]
    if len(words) == 1 or set(words) == {INSUFFICIENT}:
        return deciding.sentence
    if set(words) == {word}:
        all_of_them = "Both" if len(words) == 2 else f"All {len(words)}"
        rank = "clearest" if word == REFUTED else "least clear"
        return f"{all_of_them} comparisons are {word}; the {rank}: {_inner(deciding.sentence)}"
    numbers = {each: words.count(each) for each in (word, *_BE) if each in words}
    said = [f"{count} {_BE[each][count > 1]}" for each, count in numbers.items()]
    return f"Of {len(words)} comparisons, {listed(said)}. {deciding.sentence}"


def of_places(places: Sequence[Verdict]) -> str:
    """The sentences of a claim that must hold at several places: one for each, since they may well differ."""
    if {part.verdict for part in places} == {INSUFFICIENT}:
        return places[0].sentence
    return " ".join(f"{_AT[part.place]}: {_inner(part.sentence)}" for part in places)


def _inner(sentence: str) -> str:
    """A sentence as it stands behind a colon; words in capitals stay so."""
    return sentence if sentence[1:2].isupper() else sentence[:1].lower() + sentence[1:]

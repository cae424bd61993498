"""The claims of a report, one line each: its sign, its words, the answer in plain words, and one number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reports.claims.kinds import KINDS
from reports.claims.places import MATCHED
from reports.judging.verdict import Verdict
from reports.numbers import effect_decimals, number, sentence_case, with_unit
from reports.page.claim_sections import ClaimSection
from reports.page.claim_tables import names


@dataclass(frozen=True)
class Answer:
    """One line. verdict: the one that answers the claim. number: with its unit, empty where nothing was measured;
    of: what it is the number of."""

    id: str
    quote: str
    verdict: Verdict
    text: str
    number: str = ""
    of: str = ""


def answers(sections: Sequence[ClaimSection]) -> tuple[Answer, ...]:
    """The lines, in the order of the claims."""
    return tuple(map(_answer, sections))


def _answer(section: ClaimSection) -> Answer:
    deciding = _deciding(section)
    if section.readings:
        text = "; ".join(f"read as ‘{reading.reading}’, {reading.verdict}" for reading in section.readings)
        text = f"{sentence_case(text)}."
    else:
        text = _first_sentence((deciding or section.answer).sentence)
    if deciding is None or deciding.effect is None:
        return Answer(section.id, section.quote, section.answer, text)
    of = names(section.comparisons)[section.comparisons.index(deciding)]
    return Answer(section.id, section.quote, section.answer, text, _number(deciding), of)


def _deciding(section: ClaimSection) -> Verdict | None:
    """The comparison whose sentence stands in the answer; at equal rate where there is one. None without any."""
    told = [
        single
        for single in section.comparisons
        if single.counted and single.effect is not None and single.sentence[1:] in section.answer.sentence
    ]
    return next((single for single in told if single.place == MATCHED), told[0] if told else None)


def _number(single: Verdict) -> str:
    """The effect with its sign; of an arm that is compared with a number, where it stands."""
    effect = single.effect or 0.0
    half = ((single.ci_high or 0.0) - (single.ci_low or 0.0)) / 2
    places = effect_decimals(half, effect or single.margin or 0.0, single.margin)
    if single.reference is None:
        return with_unit(number(effect, places, signed=True), single.unit)
    return with_unit(number(KINDS[single.kind].level(single.reference, effect), places), single.unit)


def _first_sentence(text: str) -> str:
    """Up to the first full stop that ends a sentence.

    >>> _first_sentence("It holds, by more than the 0.02 that matters. The SSIM of MAE is higher.")
    'It holds, by more than the 0.02 that matters.'
    """
    first, stop, _ = text.partition(". ")
    return first + stop.strip()

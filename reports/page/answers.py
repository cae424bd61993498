"""The claims of a report, one line each: its sign, its words, the answer in plain words, and one number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reports.judging.singles import deciding, written
from reports.judging.verdict import Verdict
from reports.numbers import sentence_case, with_unit
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
    single = deciding(section.answer)
    if section.readings:
        text = "; ".join(f"read as ‘{reading.reading}’, {reading.verdict}" for reading in section.readings)
        text = f"{sentence_case(text)}."
    else:
        text = _first_sentence((single or section.answer).sentence)
    if single is None or single.effect is None:
        return Answer(section.id, section.quote, section.answer, text)
    of = names(section.comparisons)[section.comparisons.index(single)]
    stands = with_unit(written(single, single.effect), single.unit)
    return Answer(section.id, section.quote, section.answer, text, stands, of)


def _first_sentence(text: str) -> str:
    """Up to the first full stop that ends a sentence.

    >>> _first_sentence("It holds, by more than the 0.02 that matters. The SSIM of MAE is higher.")
    'It holds, by more than the 0.02 that matters.'
    """
    first, stop, _ = text.partition(". ")
    return first + stop.strip()

"""Verdicts for a terminal: one line for each claim, its sign, its word, its name and the number that decides it.

The whole sentence stands in the report.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from rich.cells import cell_len
from rich.markup import escape

from reports.judging.singles import deciding, singles, written
from reports.judging.verdict import DEPENDS, INCONCLUSIVE, INSUFFICIENT, REFUTED, SUPPORTED, Verdict
from reports.numbers import setting, with_unit
from vae.metrics.catalogue import CATALOGUE

SIGNS: Final[Mapping[str, str]] = {SUPPORTED: "+", REFUTED: "-", DEPENDS: "±", INCONCLUSIVE: "?", INSUFFICIENT: "0"}
WORDS: Final[Mapping[str, str]] = {DEPENDS: "depends"}  # shorter here; the answer says on what
COLOURS: Final[Mapping[str, str]] = {SUPPORTED: "green", REFUTED: "red", DEPENDS: "yellow"}
NARROWEST: Final = 80  # columns that a line may always take


def lines(verdicts: Sequence[Verdict], width: int = NARROWEST) -> Iterator[str]:
    """A line of markup for each verdict, none wider than ``width`` columns (at least 80). As wide as what it says."""
    words = [_word(verdict) for verdict in verdicts]
    word, name = max(map(len, words), default=0), max((len(one.claim.id) for one in verdicts), default=0)
    for shown, verdict in zip(words, verdicts):
        colour = COLOURS.get(verdict.verdict, "default")
        start = f"{SIGNS[verdict.verdict]} {shown:<{word}}  {verdict.claim.id:<{name}}  "
        room = max(width, NARROWEST) - cell_len(start)
        rest = next((text for text in _answers(verdict) if cell_len(text) <= room), "")
        yield f"[{colour}]{escape(start[: word + 2])}[/]{escape(f'{start[word + 2 :]}{rest}'.rstrip())}"


def answer(verdict: Verdict) -> str:
    """What decides a verdict, in a few words: the number with its interval, or what it lacks."""
    return next(_answers(verdict))


def _word(verdict: Verdict) -> str:
    return WORDS.get(verdict.verdict, verdict.verdict)


def _answers(verdict: Verdict) -> Iterator[str]:
    """From the longest to the shortest."""
    if verdict.verdict == DEPENDS:
        words = {leg.reading: leg.verdict for leg in verdict.legs if leg.reading}
        yield "; ".join(f"{reading}: {word}" for reading, word in words.items())
        numbers = {word: list(words.values()).count(word) for word in dict.fromkeys(words.values())}
        yield f"read in {len(words)} ways: " + ", ".join(f"{word} in {count}" for word, count in numbers.items())
        yield "see the report"
        return
    if verdict.verdict == INSUFFICIENT:
        reason = next((one.reason for one in singles([verdict]) if one.reason), verdict.reason)
        yield reason
        yield f"{reason.partition(',')[0].partition(':')[0]}"
        yield "too little data"
        return
    single = deciding(verdict)
    if single is None:
        yield verdict.sentence
        yield f"{verdict.sentence.partition('. ')[0].rstrip('.')}."
        yield "as computed; see the report"
        return
    yield from _numbers(single, verdict.qualifier)


def _numbers(one: Verdict, qualifier: str) -> Iterator[str]:
    """The effect, or where an arm stands that is compared with a number; its interval and its margin."""
    metric = CATALOGUE[one.metric].label if one.metric in CATALOGUE else one.metric
    size = f"{metric} {with_unit(written(one, one.effect or 0.0), one.unit)}"
    known = one.ci_low is not None and one.ci_high is not None
    ends = f" ({written(one, one.ci_low or 0.0)} to {written(one, one.ci_high or 0.0)})" if known else ""
    margin = f", margin {setting(one.margin)}" if one.margin else ""
    for text in (f"{size}{ends}{margin}{qualifier}", f"{size}{ends}{qualifier}", f"{size}{ends}", size):
        yield text.replace("  ", " ")

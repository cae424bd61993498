"""One claim as the page shows it: the verdict that answers it, its comparisons, and the notes beside them.

Everything here is read from verdicts (`reports.judging.verdict.Verdict`); nothing is judged again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from reports.claims.places import OVERALL
from reports.judging.sentences import by_place
from reports.judging.singles import singles
from reports.judging.verdict import DEPENDS, INCONCLUSIVE, LEFT_OUT, REFUTED, SUPPORTED, WORDS, Verdict
from reports.numbers import counted

MOST_DRAWN: Final = 8  # comparisons in the figure of one claim
_NUMBER_OF_SEEDS: Final = re.compile(r"about [\d,]+ seeds", re.IGNORECASE)


@dataclass(frozen=True)
class ClaimSection:
    """One claim. answer: the verdict that answers it; verdicts: one for each reading and place, `answer` included."""

    id: str
    quote: str
    answer: Verdict
    verdicts: tuple[Verdict, ...]

    @property
    def verdict(self) -> str:
        """The verdict's word, as in `verdicts.json`."""
        return self.answer.verdict

    @property
    def readings(self) -> tuple[Verdict, ...]:
        """The verdicts of the claim's readings; none where it has one reading."""
        return () if self.answer.reading else tuple(leg for leg in self.answer.legs if leg.reading)

    @property
    def opening(self) -> str:
        """What stands before the list of readings; the sentence of the verdict where there is none."""
        if not self.readings:
            return self.answer.sentence
        if self.verdict == DEPENDS:
            return "It depends on what is meant:"
        same = len({reading.verdict for reading in self.readings}) == 1
        return f"The words can be read in {counted(len(self.readings), 'way')}{', with one result' if same else ''}:"

    @cached_property
    def comparisons(self) -> tuple[Verdict, ...]:
        """The single comparisons behind the verdict, each once, with or without an effect."""
        first: dict[tuple[str, str, str, str], Verdict] = {}
        for single in singles(self.verdicts):
            first.setdefault((single.reading, single.label, single.place, single.metric), single)
        return tuple(first.values())

    @property
    def measured(self) -> tuple[Verdict, ...]:
        """The comparisons that count and have an effect with an interval: what can be drawn."""
        return tuple(single for single in self.comparisons if single.counted and single.ci_low is not None)

    @property
    def has_effects(self) -> bool:
        """Whether any comparison has an effect, so that a table of comparisons has something to show."""
        return any(single.effect is not None for single in self.comparisons)

    @property
    def drawn(self) -> tuple[Verdict, ...]:
        """The measured comparisons that fit in a figure: those closest to a different verdict, grouped by metric."""
        chosen = sorted(self.measured, key=_clarity)[:MOST_DRAWN]
        order = [single.metric for single in self.measured]
        return tuple(sorted((s for s in self.measured if s in chosen), key=lambda s: order.index(s.metric)))

    @property
    def drawn_note(self) -> str:
        """What a reader must know of a figure that does not show all comparisons; empty where it does."""
        shown, count = len(self.drawn), len(self.measured)
        return f"{shown} of {count} comparisons: those closest to a different verdict." if shown < count else ""

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that the claim depends on, each once."""
        return tuple(dict.fromkeys(single.metric for single in self.comparisons if single.metric))

    @property
    def notes(self) -> tuple[str, ...]:
        """What must be read with the verdict, each sentence once."""
        return tuple(dict.fromkeys(note for v in (self.answer, *self.comparisons) for note in v.evidence))

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the data do not suffice, or the tests disagree, where that decides: each once."""
        deciding = (self.answer, *(single for single in self.comparisons if single.counted))
        return tuple(dict.fromkeys(verdict.reason for verdict in deciding if verdict.reason))

    @property
    def seeds_needed(self) -> str:
        """How many seeds would decide an inconclusive claim; empty where its sentence gives the number."""
        seeds = self.answer.seeds_to_settle
        if self.verdict != INCONCLUSIVE or not seeds or _NUMBER_OF_SEEDS.search(self.answer.sentence):
            return ""
        known = self.answer.sensitivity
        if known is not None and known.failed.get(LEFT_OUT, self.verdict) != self.verdict:
            return ""  # failed cells keep it open, whatever the number of seeds
        return f"About {seeds} seeds would decide with 80 % power, if the effect and its spread stay as measured."


def paragraphs(verdict: Verdict) -> list[str]:
    """The sentence of a verdict: one paragraph for each place at which it is judged, where these make up the whole."""
    if verdict.place == OVERALL and {leg.reading for leg in verdict.legs} == {verdict.reading}:
        parts = by_place(verdict.legs)
        if " ".join(parts) == verdict.sentence:
            return parts
    return [verdict.sentence]


def detail(verdict: Verdict) -> str:
    """What a refutation shows, as it stands behind the word: ": the opposite". Empty for other verdicts, and where
    comparisons that refute show different things.

    Of several comparisons that must all hold, one is enough to refute: so in how many it is so stands behind it.
    """
    counting = [single for single in singles((verdict,)) if single.counted]
    refuting = [single for single in counting if single.verdict == REFUTED]
    directions = {single.direction for single in refuting}
    if verdict.verdict != REFUTED or len(directions) != 1 or "" in directions:
        return ""
    some, every = len(refuting), len(counting)
    which = f"{some} of {every}" if some < every else "both" if every == 2 else f"all {every}"
    return f": {directions.pop()}{f' in {which} comparisons' if every > 1 else ''}"


def _clarity(single: Verdict) -> tuple[bool, float]:
    """Orders comparisons from the least clear: those with another word than supported first, then by p."""
    supported = single.verdict == SUPPORTED
    p = single.p_in_adj if supported else single.p_out_adj
    return supported, -1.0 if p is None else -p


def claim_sections(verdicts: Sequence[Verdict]) -> tuple[ClaimSection, ...]:
    """The claims of these verdicts, in their order. A claim's first verdict answers it."""
    by_claim: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        by_claim.setdefault(verdict.claim.id, []).append(verdict)
    return tuple(
        ClaimSection(claim, places[0].claim.quote, places[0], tuple(places)) for claim, places in by_claim.items()
    )


def tally(sections: Sequence[ClaimSection]) -> dict[str, int]:
    """How many claims have each verdict: the words that occur, in the order of `reports.judging.verdict.WORDS`."""
    words = [section.verdict for section in sections]
    return {word: words.count(word) for word in WORDS if word in words}

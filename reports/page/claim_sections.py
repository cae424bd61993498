"""One claim as the page shows it: the verdict that answers it, its comparisons, and the notes beside them.

Everything here is read from verdicts (`reports.judging.verdict.Verdict`); nothing is judged again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from reports.judging.verdict import INCONCLUSIVE, SUPPORTED, WORDS, Verdict

MOST_DRAWN: Final = 8  # comparisons in the figure of one claim
_NUMBER_OF_SEEDS: Final = re.compile(r"about [\d,]+ seeds", re.IGNORECASE)


@dataclass(frozen=True)
class ClaimSection:
    """One claim. answer: the verdict that answers it; verdicts: one for each place, `answer` included."""

    id: str
    quote: str
    answer: Verdict
    verdicts: tuple[Verdict, ...]

    @property
    def verdict(self) -> str:
        """The verdict's word, as in `verdicts.json`."""
        return self.answer.verdict

    @cached_property
    def comparisons(self) -> tuple[Verdict, ...]:
        """The single comparisons behind the verdict, each once, with or without an effect."""
        first: dict[tuple[str, str, str], Verdict] = {}
        for single in _singles(self.verdicts):
            first.setdefault((single.label, single.place, single.metric), single)
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
        return f"About {seeds} seeds would be enough to decide, if the effect and its spread stay as measured."


def _clarity(single: Verdict) -> tuple[bool, float]:
    """Orders comparisons from the least clear: those with another word than supported first, then by p."""
    supported = single.verdict == SUPPORTED
    p = single.p_in_adj if supported else single.p_out_adj
    return supported, -1.0 if p is None else -p


def _singles(verdicts: Iterable[Verdict]) -> Iterator[Verdict]:
    for verdict in verdicts:
        yield from _singles(verdict.legs) if verdict.legs else (verdict,)


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

"""The single comparisons behind verdicts: the leaves of a verdict that has others as its legs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from reports.judging.verdict import Verdict


def singles(verdicts: Iterable[Verdict]) -> Iterator[Verdict]:
    """The comparisons of these verdicts in their order. One that two verdicts share comes twice; a verdict without legs
    is a comparison itself."""
    for verdict in verdicts:
        yield from singles(verdict.legs) if verdict.legs else (verdict,)

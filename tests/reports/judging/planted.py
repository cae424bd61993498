"""Planted studies: how often `judge` says what is false of studies whose truth is known.

    python -m tests.reports.judging.planted --studies 2000 [--rows null-greater looks ...]

prints the table of all rows (`tests.reports.judging.planted_rows`) as Markdown. Each study has a seed of its own, from
its row's name and its number: the table is the same whatever the number of processes.
"""

from __future__ import annotations

import argparse
import sys
import time
import tomllib
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import astuple, dataclass
from functools import cache

import numpy as np

from reports.claims.load import parse_claims
from reports.claims.model import Claim
from reports.judging.judge import headlines, judge
from reports.judging.verdict import DEPENDS, INCONCLUSIVE, INSUFFICIENT, REFUTED, SUPPORTED, Verdict
from tests.reports.judging.planted_rows import ROWS, Row
from vae.metrics.catalogue import CATALOGUE

_CHUNK = 50  # studies that a process judges before it tells
BY_NAME = {row.name: row for row in ROWS}


@dataclass(frozen=True)
class Tally:
    """Sums over studies. false_support, false_refutation: studies with any such word, of any claim at any look; right,
    insufficient, inconclusive: shares of the claims of each study, at the last look."""

    studies: int = 0
    false_support: int = 0
    false_refutation: int = 0
    right: float = 0.0
    insufficient: float = 0.0
    inconclusive: float = 0.0

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(one + two for one, two in zip(astuple(self), astuple(other))))


def tally(row: Row, numbers: range) -> Tally:
    """The studies of a row with these numbers, judged."""
    return sum((_of_study(row, judged(row, number)) for number in numbers), Tally())


def judged(row: Row, number: int) -> list[list[Verdict]]:
    """The verdicts on one study of a row: one for each claim, at each look."""
    rng = np.random.default_rng([zlib.crc32(row.name.encode()), number])
    return [headlines(judge(_claims(row.claims), **study)) for study in row.draw(rng)]


@cache
def _claims(text: str) -> tuple[Claim, ...]:
    metrics = [*CATALOGUE, *(f"m{i}" for i in range(40))]
    return parse_claims(tomllib.loads(text), file="planted.toml", metrics=metrics)


def _of_study(row: Row, looks: Sequence[Sequence[Verdict]]) -> Tally:
    every = [(verdict, row.true[min(i, len(row.true) - 1)]) for look in looks for i, verdict in enumerate(look)]
    wrong = {verdict.verdict for verdict, true in every if verdict.verdict not in true or not row.sound(verdict)}
    last = every[-len(looks[-1]) :]
    right = [verdict.verdict in true and row.sound(verdict) and row.right(verdict) for verdict, true in last]
    words = [verdict.verdict for verdict, _ in last]
    return Tally(
        1,
        bool(wrong & {SUPPORTED, DEPENDS}),
        bool(wrong & {REFUTED, DEPENDS}),
        sum(right) / len(last),
        words.count(INSUFFICIENT) / len(last),
        words.count(INCONCLUSIVE) / len(last),
    )


def _part(name: str, start: int, stop: int) -> tuple[str, Tally]:
    return name, tally(BY_NAME[name], range(start, stop))


def tallies(rows: Sequence[Row], studies: int, processes: int) -> Iterator[tuple[Row, Tally]]:
    """The tally of each row, in order, told on stderr as it is found."""
    started = time.monotonic()
    starts = range(0, studies, _CHUNK)
    with ProcessPoolExecutor(processes) as pool:
        parts = {
            row.name: [pool.submit(_part, row.name, start, min(start + _CHUNK, studies)) for start in starts]
            for row in rows
        }
        for row in rows:
            whole = sum((part.result()[1] for part in parts[row.name]), Tally())
            print(f"{time.monotonic() - started:6.0f} s  {row.name}", file=sys.stderr, flush=True)
            yield row, whole


HEAD = """| row | truth | false support % | false refutation % | right word % | insufficient % | inconclusive % | n | |
|---|---|--:|--:|--:|--:|--:|--:|---|"""


def line(row: Row, whole: Tally) -> str:
    """One row of the table. The last column says whether it keeps to its limit, or why it has none."""
    n, *sums = astuple(whole)
    shares = [100 * value / n for value in sums]
    kept = row.note or ("kept" if max(shares[:2]) <= 100 * (row.limit or 1) else f"above {row.limit:.0%}")
    return f"| {row.name} | {row.truth} | {' | '.join(f'{share:.1f}' for share in shares)} | {n} | {kept} |"


def main() -> None:
    parser = argparse.ArgumentParser(description="Judges studies whose truth is known, and counts false words.")
    parser.add_argument("--studies", type=int, default=2000, help="studies of each row")
    parser.add_argument("--rows", nargs="+", choices=list(BY_NAME), default=list(BY_NAME), metavar="ROW")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    print(HEAD)
    for row, whole in tallies([BY_NAME[name] for name in options.rows], options.studies, options.processes):
        print(line(row, whole), flush=True)


if __name__ == "__main__":
    main()

"""Two studies joined by their arms: what both have, what a seed has in common in both, and the paired differences.

An arm is in both studies where all its settings are the same, whatever its label in each: a label leaves out what is
the base's in its study. A setting of the model or of training that neither study varies may differ between the two:
that is what such studies are compared for, as one of 30 epochs with one of 150.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import pandas as pd

from reports.judging.cells import Cells
from reports.judging.pairing import SHARED
from reports.numbers import counted, listed
from reports.page.base import in_text
from reports.page.evidence import Evidence
from reports.page.tables import SUMMARY, summary
from vae.arms import Arm, find
from vae.factors import Factor, Scope, Value, factors, same_value

SAME, OTHER, NOT_LOGGED = "same", "other", "not logged"
DIFFERENCES: Final = ("arm", "loss", "metric", "n", "first", "second", *SUMMARY[1:], *SHARED)


@dataclass(frozen=True)
class ArmInBoth:
    """An arm as each study has it (their numbers may differ by rounding), and the seeds done in both, at least one."""

    first: Arm
    second: Arm
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Joined:
    """The done cells of two studies, joined by arm and seed."""

    first: Cells
    second: Cells

    @classmethod
    def of(cls, first: Evidence, second: Evidence) -> Joined:
        return cls(Cells(first.done, base=first.base), Cells(second.done, base=second.base))

    @cached_property
    def _of_second(self) -> dict[Arm, Arm]:
        """The second study's arms as the first would have them -> as they are: what neither varies is the first's."""
        fixed = {
            name: value
            for name, value in self.first.base.items
            if factors()[name].scope is not Scope.OBJECTIVE
            and self.second.base.get(name) is not None
            and all(same_value(arm.get(name), value) for arm in self.first.rows)
            and all(same_value(arm.get(name), self.second.base.get(name)) for arm in self.second.rows)
        }
        return {arm.replace(fixed): arm for arm in self.second.rows}

    def _twin(self, arm: Arm) -> Arm | None:
        """The arm of the second study that corresponds to one of the first."""
        alike = find(arm, self._of_second)
        return None if alike is None else self._of_second[alike]

    @cached_property
    def arms(self) -> tuple[ArmInBoth, ...]:
        """The arms of both studies, in the first's order."""
        twins = ((arm, self._twin(arm)) for arm in self.first.rows)
        pairs = [(arm, twin, self.second.rows[twin]) for arm, twin in twins if twin is not None]
        joined = [
            ArmInBoth(arm, twin, tuple(s for s in self.first.rows[arm] if s in rows)) for arm, twin, rows in pairs
        ]
        return tuple(arm for arm in joined if arm.seeds)

    def differences(self, metrics: Sequence[str]) -> pd.DataFrame:
        """Second minus first, seed by seed: one row per arm and metric.

        metrics: columns of both frames. Columns: `DIFFERENCES`. arm is the label in the first study; n counts the seeds
        done in both with that metric; first and second are means over these seeds; mean to high are as in
        `tables.arm_means`, of the differences; for each hash of `reports.judging.pairing.SHARED`, whether the cells of
        a seed logged the same in both studies: `SAME`, `OTHER` or `NOT_LOGGED`.
        """
        rows = []
        for arm in self.arms:
            named = {"arm": self.first.label(arm.first), "loss": arm.first.loss}
            hashes = {column: self._agreement(arm, column) for column in SHARED}
            for metric in metrics:
                values = self.first.values(arm.first, metric), self.second.values(arm.second, metric)
                rows.append({**named, "metric": metric, **_difference(*values), **hashes})
        return pd.DataFrame(rows, columns=list(DIFFERENCES))

    def _agreement(self, arm: ArmInBoth, column: str) -> str:
        logged = [
            self.first.hashes([arm.first], seed, column) | self.second.hashes([arm.second], seed, column)
            for seed in arm.seeds
        ]
        if any(len(hashes - {""}) > 1 for hashes in logged):
            return OTHER
        return NOT_LOGGED if any("" in hashes for hashes in logged) else SAME

    @property
    def pairing(self) -> str:
        """What a seed has in common in both studies, as a sentence. At least one arm is in both."""
        shared: list[str] = []
        other: list[str] = []
        unknown: list[str] = []
        for column, word in SHARED.items():
            agreements = [self._agreement(arm, column) for arm in self.arms]
            count, every = agreements.count(SAME), len(agreements)
            if count:
                shared.append(word if count == every else f"{word} in {count} of {counted(every, 'arm')}")
            else:
                (other if OTHER in agreements else unknown).append(word)
        clauses = []
        if shared:
            but = f", but other {listed(other)}" if other else ""
            clauses.append(f"a seed has the same {listed(shared)} in both studies{but}")
        elif other:
            clauses.append(f"a seed has other {listed(other)} in each study, so pairing gains nothing")
        if unknown:
            clauses.append(f"whether a seed has the same {listed(unknown)} was not logged")
        return f"Differences are paired by the number of the seed: {'; '.join(clauses)}."

    @property
    def why_empty(self) -> str:
        """Of studies without an arm in both: why, as a clause."""
        if not self.first.rows or not self.second.rows:
            return f"the {'second' if self.first.rows else 'first'} study has no cell that is done"
        if any(self._twin(arm) for arm in self.first.rows):
            return "no arm has a seed that is done in both studies"
        differing = without_common_value(self.first.rows, self.second.rows)
        if differing:
            return f"all arms of the first study differ from those of the second in {listed(differing)}"
        return "no arm has the same value of every setting in both studies"

    @property
    def unmatched(self) -> list[str]:
        """Sentences that name the arms that are not compared, by their labels in the first study."""
        compared = [arm.first for arm in self.arms]
        twins = {self._twin(arm) for arm in self.first.rows}
        alone = [arm for arm in self.first.rows if self._twin(arm) is None]
        others = [arm for arm, own in self._of_second.items() if own not in twins]
        labels = {
            "Only in the first": [self.first.label(arm) for arm in alone],
            "Only in the second": [arm.label(self.first.base) for arm in others],
            "Without a seed in common": [self.first.label(a) for a in self.first.rows if a not in (*compared, *alone)],
        }
        return [f"{opening}: {listed(names)}." for opening, names in labels.items() if names]


def _difference(first: Mapping[int, float], second: Mapping[int, float]) -> dict[str, float]:
    """The difference of one metric, summarised. first, second: seed -> value."""
    pairs = pd.DataFrame({"first": pd.Series(first), "second": pd.Series(second)}, dtype=float).dropna()
    before, after = pairs["first"], pairs["second"]
    return {"first": float(before.mean()), "second": float(after.mean()), **summary(after - before)}


def without_common_value(first: Iterable[Arm], second: Iterable[Arm]) -> list[str]:
    """The factors of which no value is on both sides; an option that only one side has is left out.

    >>> without_common_value([Arm(latents=2)], [Arm(latents=5), Arm(latents=10)])
    ['latents (2 in the first, 5 and 10 in the second)']
    """
    arms = list(first), list(second)
    clauses = []
    for factor in factors().values():
        before, after = (_values(factor, side) for side in arms)
        if before and after and not any(same_value(one, other) for one in before for other in after):
            values = f"{in_text(factor, before)} in the first, {in_text(factor, after)} in the second"
            clauses.append(f"{factor.title} ({values})")
    return clauses


def _values(factor: Factor, arms: Iterable[Arm]) -> list[Value]:
    """The factor's values in the arms that have it, each once."""
    return list(dict.fromkeys(arm[factor.name] for arm in arms if factor.name in arm.settings))

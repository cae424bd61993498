"""The frame as cells: indexed by arm and seed, each value read only where it was really measured."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from reports.claims.selectors import Selector
from reports.judging.luck import Array, total_of
from reports.judging.statistics import mean
from reports.judging.verdict import Count
from tracking import schema
from vae.arms import Arm, find
from vae.errors import UserError
from vae.factors import factors
from vae.metrics.latents import COLLAPSED

_REQUIRED: Final = ("loss", "reduction", "beta", "seed", "status")

Row = Mapping[Hashable, Any]
PerImage = Mapping[str, Mapping[str, Array]]


class Cells:
    """The frame, indexed by arm and seed.

    base: the arm whose values hold where the frame has no column of a factor, or no value in it. planned: one row per
    cell asked for, columns arm, seed, and, of arms that the frame may not have, factors, beta_eff and origin; without
    it every arm is taken to be asked for at every seed of the frame. per_image: key of a cell -> metric -> the values
    behind it, as `tracking.reader.read_per_image`.
    Raises UserError for missing columns and for a cell that is there twice.
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        planned: pd.DataFrame | None = None,
        base: Arm | None = None,
        per_image: PerImage | None = None,
    ) -> None:
        missing = [name for name in _REQUIRED if name not in frame.columns]
        if missing:
            raise UserError(f"frame lacks the columns {missing}; it has {list(frame.columns)}")
        self.base = base or Arm()
        self._per_image = per_image or {}
        self.columns = frozenset(frame.columns)
        self.rows: dict[Arm, dict[int, Row]] = {}
        self._arms: dict[tuple[tuple[str, Any], ...], Arm] = {}  # settings of a row -> its arm
        self._labels: dict[Arm, str] = {}
        for row in frame.to_dict("records"):
            self._add(row)
        self.seeds = tuple(sorted({seed for rows in self.rows.values() for seed in rows}))
        self._planned: dict[str, set[int]] = {}
        self._asked: dict[Arm, Row] = {}  # what the plan says of an arm; the frame may not have it yet
        for row in () if planned is None else planned.to_dict("records"):
            self._plan(row)

    def _add(self, row: Row) -> None:
        arm, seed = self._arm(row), int(row["seed"])
        if _text(row.get("arm")):
            self._labels.setdefault(arm, row["arm"])
        if seed in self.rows.setdefault(arm, {}):
            raise UserError(f"frame holds two cells for arm {self.label(arm)}, seed {seed}: they cannot both be paired")
        self.rows[arm][seed] = row

    def _plan(self, row: Row) -> None:
        self._planned.setdefault(str(row["arm"]), set()).add(int(row["seed"]))
        if "loss" in row:
            arm = self._arm(row)
            known = find(arm, self.rows) or arm
            self.rows.setdefault(known, {})
            self._asked.setdefault(known, row)
            self._labels.setdefault(known, str(row["arm"]))

    def _arm(self, row: Row) -> Arm:
        """The arm of a row. Numbers that pandas made floats, since others are missing, are made what they were."""
        given = tuple(
            (name, None if _absent(row[name]) else factor.canonical(row[name]))
            for name, factor in factors().items()
            if not _absent(row.get(name)) or (name in row and factor.may_be_none)
        )
        if given not in self._arms:
            self._arms[given] = self.base.replace(dict(given))
        return self._arms[given]

    def label(self, arm: Arm) -> str:
        """The name of an arm, as the frame has it."""
        return self._labels.get(arm) or arm.label(self.base)

    def matching(self, selector: Selector) -> list[Arm]:
        """The arms that a selector fits, in the frame's order."""
        return [arm for arm in self.rows if selector.matches(arm, self.base, self.beta_eff(arm))]

    def beta_eff(self, arm: Arm) -> float | None:
        """The arm's effective beta as logged; None where it was not."""
        value: Any = self._facts(arm)[0].get("beta_eff")
        return float(value) if _finite(value) else None

    def _facts(self, arm: Arm) -> list[Row]:
        """The arm's cells, or what the plan says of it where it has none."""
        return list(self.rows[arm].values()) or [self._asked[arm]]

    def of_grid(self, arm: Arm) -> bool:
        """Whether the study's grid asked for the arm; where no origin was logged, it did."""
        return any(row.get("origin") != "claims" for row in self._facts(arm))

    def mean(self, arm: Arm, metric: str) -> float:
        """The arm's mean over its seeds; NaN where it has no value."""
        return mean(self.values(arm, metric).values())

    def rate(self, arm: Arm) -> float:
        """The arm's mean rate, nats per image."""
        return self.mean(arm, "rate")

    def collapsed(self, arm: Arm) -> bool:
        """Whether the arm's mean rate is so low that its latents carry next to nothing."""
        return self.rate(arm) < COLLAPSED

    def values(self, arm: Arm, metric: str) -> dict[int, float]:
        """seed -> value, of the cells that are done and hold a finite value."""
        rows = self.rows[arm].items()
        return {seed: float(row[metric]) for seed, row in rows if _done(row) and _finite(row.get(metric))}

    def failed(self, arm: Arm, metric: str) -> frozenset[int]:
        """The seeds at which the arm's cell failed, or came out without the metric."""
        return frozenset(seed for seed, row in self.rows[arm].items() if not _done(row) or not _finite(row.get(metric)))

    def behind(self, arm: Arm, metric: str) -> dict[int, Array]:
        """seed -> the values that the metric is the mean of: (k,) by image, (K, k) by classifier and image, or (K, 1).

        Seeds of which none were kept are left out.
        """
        values = {seed: self._kept(row).get(metric) for seed, row in self.rows[arm].items() if _done(row)}
        by_image = self.images(arm, metric) is not None
        return {
            seed: np.asarray(array, dtype=float) if by_image else np.asarray(array, dtype=float).reshape(-1, 1)
            for seed, array in values.items()
            if array is not None
        }

    def images(self, arm: Arm, metric: str) -> int | None:
        """Over how many images the metric is the mean; None where it is no such mean, or it is not known."""
        counts = (total_of(self._kept(row), metric) for row in self.rows[arm].values())
        return next((count for count in counts if count is not None), None)

    def _kept(self, row: Row) -> Mapping[str, Array]:
        return self._per_image.get(str(row.get("key")), {})

    def epochs(self, arm: Arm) -> int:
        return int(arm["training.epochs"])

    def count(self, arm: Arm, metric: str) -> Count:
        """How many seeds of this arm are done, failed, missing, or done without the metric."""
        rows, label = self.rows[arm], self.label(arm)
        done = [row for row in rows.values() if _done(row)]
        reasons = [_text(row.get("reason")) or "no reason logged" for row in rows.values() if not _done(row)]
        return Count(
            arm=label,
            done=len(done),
            failed=len(reasons),
            missing=len(self._planned.get(label, set(self.seeds)) - rows.keys()),
            unmeasured=sum(not _finite(row.get(metric)) for row in done),
            reasons=tuple(dict.fromkeys(reasons)),
        )

    def hashes(self, arms: Iterable[Arm], seed: int, column: str) -> set[str]:
        """What the done cells of these arms logged at a seed; empty text where nothing was."""
        rows = [self.rows[arm][seed] for arm in arms if seed in self.rows[arm]]
        return {_text(row.get(column)) for row in rows if _done(row)}


def _done(row: Row) -> bool:
    return bool(row["status"] == schema.STATUS_DONE)


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _absent(value: object) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""

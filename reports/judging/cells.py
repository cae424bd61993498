"""The frame as cells: indexed by arm and seed, each value read only where it was really measured."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

import pandas as pd

from reports.claims.selectors import Arm, Selector, find
from reports.judging.verdict import Count
from tracking import schema
from vae.errors import UserError

COLLAPSED: Final = 0.1  # nats per image: below this rate the latents say nothing
_REQUIRED: Final = ("loss", "reduction", "beta", "seed", "status")
_HASHES: Final = ("init_hash", "order_hash")

Row = Mapping[str, Any]


class Cells:
    """The frame, indexed by arm and seed.

    planned: one row per cell asked for, columns arm, seed, and of an arm of which the frame may have no cell at all
    loss, reduction, beta, beta_eff, origin; without it every arm is taken to be asked for at every seed of the frame.
    Raises UserError for missing columns and for a cell that is there twice.
    """

    def __init__(self, frame: pd.DataFrame, planned: pd.DataFrame | None = None) -> None:
        missing = [name for name in _REQUIRED if name not in frame.columns]
        if missing:
            raise UserError(f"frame lacks the columns {missing}; it has {list(frame.columns)}")
        self.columns = frozenset(str(name) for name in frame.columns)
        self.rows: dict[Arm, dict[int, Row]] = {}
        for record in frame.to_dict("records"):
            row = {str(name): value for name, value in record.items()}
            arm, seed = Arm.of(row), int(row["seed"])
            if seed in self.rows.setdefault(arm, {}):
                raise UserError(f"frame holds two cells for arm {arm.label}, seed {seed}: they cannot both be paired")
            self.rows[arm][seed] = row
        self.seeds = tuple(sorted({seed for rows in self.rows.values() for seed in rows}))
        self.planned: dict[str, set[int]] = {}
        self._asked: dict[Arm, Row] = {}  # what the plan says of an arm; the frame may not have it yet
        for record in () if planned is None else planned.to_dict("records"):
            self._plan({str(name): value for name, value in record.items()})

    def _plan(self, row: Row) -> None:
        self.planned.setdefault(str(row["arm"]), set()).add(int(row["seed"]))
        if "loss" in row:
            arm = Arm.of(row)
            known = find(arm, self.rows) or arm
            self.rows.setdefault(known, {})
            self._asked.setdefault(known, row)

    def matching(self, selector: Selector) -> list[Arm]:
        """The arms that a selector fits, in the frame's order."""
        return [arm for arm in self.rows if selector.matches(arm, self.beta_eff(arm))]

    def beta_eff(self, arm: Arm) -> float | None:
        """The arm's effective beta as logged; None where it was not."""
        value: Any = self._facts(arm)[0].get("beta_eff")
        return float(value) if _finite(value) else None

    def _facts(self, arm: Arm) -> list[Row]:
        """The arm's cells, or what the plan says of it where it has none."""
        return list(self.rows[arm].values()) or [self._asked[arm]]

    def of_grid(self, arm: Arm) -> bool:
        """Whether the study's grid asked for the arm; where no origin was logged, it did."""
        return any(_text(row.get("origin")) != "claims" for row in self._facts(arm))

    def rate(self, arm: Arm) -> float | None:
        """The arm's mean rate over its seeds, nats per image; None where there is none."""
        rates = self.values(arm, "rate").values()
        return math.fsum(rates) / len(rates) if rates else None

    def collapsed(self, arm: Arm) -> bool:
        """Whether the arm's mean rate is below `COLLAPSED`."""
        rate = self.rate(arm)
        return rate is not None and rate < COLLAPSED

    def values(self, arm: Arm, metric: str) -> dict[int, float]:
        """seed -> value, of the cells that are done and hold a finite value."""
        rows = self.rows.get(arm, {}).items()
        return {seed: float(row[metric]) for seed, row in rows if _done(row) and _finite(row.get(metric))}

    def count(self, arm: Arm, metric: str) -> Count:
        """How many seeds of this arm are done, failed, missing, or done without the metric."""
        rows = self.rows.get(arm, {})
        done = [row for row in rows.values() if _done(row)]
        failed = [row for row in rows.values() if not _done(row)]
        reasons = dict.fromkeys(_text(row.get("reason")) or "no reason logged" for row in failed)
        return Count(
            arm=arm.label,
            done=len(done),
            failed=len(failed),
            missing=len(self.planned.get(arm.label, set(self.seeds)) - rows.keys()),
            unmeasured=sum(not _finite(row.get(metric)) for row in done),
            reasons=tuple(reasons),
        )

    def hashes(self, arms: Iterable[Arm], seed: int) -> list[tuple[str, ...]]:
        """(init_hash, order_hash) of the done cells of these arms at a seed; empty text where not logged."""
        rows = [self.rows[arm][seed] for arm in arms if seed in self.rows.get(arm, {})]
        return [tuple(_text(row.get(name)) for name in _HASHES) for row in rows if _done(row)]


def _done(row: Row) -> bool:
    return bool(row["status"] == schema.STATUS_DONE)


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""

"""From a study to cells, keys and stacks. Pure: no file, no clock, no randomness.

A cell's name is its content: its key is a hash of everything that determines its numbers and of nothing else, so
that a second run finds what is already done, on whatever machine, under whatever name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ablations.study import Study
from vae.losses import source_digest
from vae.objectives import Objective

# Bumped by every change after which the same cell gives other numbers; see CHANGELOG.md.
RESULTS_VERSION = 2


@dataclass(frozen=True)
class Cell:
    """One model to train: an arm and a seed. origin says who asked for it, the grid or a claim."""

    objective: Objective
    seed: int
    origin: str = "grid"

    @property
    def label(self) -> str:
        return f"{self.objective.label}-s{self.seed}"


def expand(study: Study, extra: Iterable[Objective] = ()) -> tuple[Cell, ...]:
    """All cells of a study, seed by seed; ``extra`` are arms that claims need and the grid lacks.

    >>> from ablations.sections import Grid
    >>> [cell.label for cell in expand(Study(name="x", seeds="0-1", grid=Grid(loss="mae")))]
    ['mae-sum-b1-s0', 'mae-sum-b1-s1']
    """
    wanted = study.objectives()
    added = tuple(dict.fromkeys(each for each in extra if each not in wanted))
    return tuple(
        Cell(objective, seed, origin)
        for seed in study.seeds
        for objectives, origin in ((wanted, "grid"), (added, "claims"))
        for objective in objectives
    )


def identity(study: Study, cell: Cell, *, dataset: str, data_digest: str) -> dict[str, Any]:
    """Everything that determines a cell's numbers. dataset: the name that the random streams carry."""
    return {
        "results_version": RESULTS_VERSION,
        "dataset": dataset,
        "data_digest": data_digest,
        "held_out": study.images.held_out,
        "model": study.model.model_dump(mode="json"),
        "training": _plain(asdict(study.training)),
        "evaluation": study.evaluation.model_dump(mode="json"),
        "objective": _plain(asdict(cell.objective)),
        "loss_source": source_digest(cell.objective.loss),
        "seed": cell.seed,
    }


def key(study: Study, cell: Cell, *, dataset: str, data_digest: str) -> str:
    """16 hexadecimal digits that name a cell by its content.

    >>> study, one = Study(name="x"), Cell(Objective(beta=1), 0)
    >>> other = Cell(Objective(beta=1.0), 0, origin="claims")
    >>> key(study, one, dataset="d", data_digest="0") == key(study, other, dataset="d", data_digest="0")
    True
    """
    content = identity(study, cell, dataset=dataset, data_digest=data_digest)
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers as floats where a file may say 1 or 1.0; whole-number fields are the same either way."""
    return {
        name: float(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
        for name, value in fields.items()
    }


def stacks(cells: Sequence[Cell], limit: int) -> list[tuple[Cell, ...]]:
    """Cells of one seed side by side, at most ``limit`` in a stack, as even as they can be cut.

    >>> cells = [Cell(Objective(beta=b), 0) for b in range(5)]
    >>> [len(stack) for stack in stacks(cells, 4)]
    [3, 2]
    """
    result: list[tuple[Cell, ...]] = []
    for seed in dict.fromkeys(cell.seed for cell in cells):
        mine = [cell for cell in cells if cell.seed == seed]
        count = -(-len(mine) // max(limit, 1))
        size, longer = divmod(len(mine), count)
        start = 0
        for i in range(count):
            end = start + size + (i < longer)
            result.append(tuple(mine[start:end]))
            start = end
    return result


def same_objective(
    objectives: Sequence[Objective], *, batch: int, pixels: int, latents: int
) -> list[tuple[Objective, ...]]:
    """Groups of arms that differ in name only: equal loss, posterior and beta_eff.

    >>> arms = [Objective(reduction="sum", beta=2), Objective(reduction="batch-mean", beta=2), Objective()]
    >>> [[each.label for each in group] for group in same_objective(arms, batch=4, pixels=9, latents=2)]
    [['bce-sum-b2', 'bce-batch-mean-b2']]
    """
    groups: dict[tuple[str, str, float], list[Objective]] = {}
    for each in objectives:
        effective = each.effective_beta(batch=batch, pixels=pixels, latents=latents)
        groups.setdefault((each.loss, each.posterior, round(effective, 12)), []).append(each)
    return [tuple(group) for group in groups.values() if len(group) > 1]

"""From a study to cells, keys and stacks. Pure: no file, no clock, no randomness.

A cell's name is its content. Its key is a hash of everything that determines its weights and of nothing else, so that a
second run finds what is already trained, on whatever machine, under whatever name. What determines its numbers besides,
how it is measured, is a second hash: when that changes, kept weights are measured again and nothing is trained.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

from ablations.evaluation import CALIBRATION, LOGISTIC_IMAGES
from ablations.sections import Evaluation
from ablations.study import Study
from vae.arms import Arm
from vae.losses import source_digest
from vae.metrics.catalogue import versions
from vae.metrics.classifier import Recipe

# Bumped by every change after which the same cell gets other weights; see CHANGELOG.md.
RESULTS_VERSION = 2


@dataclass(frozen=True)
class Cell:
    """One model to train. origin: what asks for it, "grid" or "claims". arm_label: relative to the study's base."""

    arm: Arm
    seed: int
    origin: str = "grid"
    arm_label: str = field(default="", compare=False)

    @property
    def label(self) -> str:
        return f"{self.arm_label or self.arm.label()}-s{self.seed}"


def expand(study: Study, extra: Iterable[Arm] = ()) -> tuple[Cell, ...]:
    """All cells of a study, seed by seed; ``extra`` are arms that claims need and the grid lacks.

    >>> [cell.label for cell in expand(Study(name="x", seeds="0-1", grid={"loss": "mae"}))]
    ['mae-sum-b1-s0', 'mae-sum-b1-s1']
    """
    added = tuple(dict.fromkeys(arm for arm in extra if arm not in study.arms))
    return tuple(
        Cell(arm, seed, origin, arm.label(study.base))
        for seed in study.seeds
        for arms, origin in ((study.arms, "grid"), (added, "claims"))
        for arm in arms
    )


def identity(cell: Cell, *, dataset: str, data_digest: str) -> dict[str, Any]:
    """Everything that determines a cell's weights. dataset: the name that the random streams carry. data_digest: of the
    training images. How often losses are logged changes no weight."""
    return {
        "results_version": RESULTS_VERSION,
        "dataset": dataset,
        "data_digest": data_digest,
        "arm": {name: value for name, value in cell.arm.items if name != "training.log_every"},
        "loss_source": source_digest(cell.arm.loss),
        "seed": cell.seed,
    }


def key(cell: Cell, *, dataset: str, data_digest: str) -> str:
    """16 hexadecimal digits that name a cell by its content.

    >>> one, other = Cell(Arm(beta=1), 0), Cell(Arm(beta=1.0), 0, origin="claims")
    >>> key(one, dataset="d", data_digest="0") == key(other, dataset="d", data_digest="0")
    True
    """
    return hashed(identity(cell, dataset=dataset, data_digest=data_digest))


def measures_key(study: Study, *, data_digest: str = "") -> str:
    """16 hexadecimal digits that name how cells are measured: the evaluation settings, the version of each metric, the
    fixed numbers of the evaluation, and all images (data_digest).

    What is measured in training, after each epoch and at some points, is not among them: it belongs to the record of
    the training.
    """
    return hashed(measures(study.evaluation, data_digest=data_digest))


def measures(evaluation: Evaluation, *, data_digest: str) -> dict[str, Any]:
    """Everything that determines the numbers of a trained cell besides its weights."""
    settings = evaluation.model_dump(mode="json", exclude={"per_epoch_images", "points", "point_images"})
    fixed = {"calibration": CALIBRATION, "logistic": LOGISTIC_IMAGES, "classifier": asdict(Recipe())}
    return {"evaluation": settings, "metrics": versions(), "fixed": fixed, "data_digest": data_digest}


def hashed(content: Mapping[str, Any]) -> str:
    """16 hexadecimal digits of a content of plain values."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def shapes(cells: Iterable[Cell]) -> list[tuple[Cell, ...]]:
    """Cells that can train in one stack, group by group: of one seed, and of arms that share their shape.

    >>> cells = [Cell(Arm(beta=b, latents=n), seed) for seed in (0, 1) for b in (1, 2) for n in (2, 5)]
    >>> [[cell.arm.label() for cell in group] for group in shapes(cells)][0]
    ['bce-sum-b1-latents2', 'bce-sum-b2-latents2']
    """
    groups: dict[tuple[Any, ...], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.seed, cell.arm.shape), []).append(cell)
    return [tuple(group) for group in groups.values()]


def evenly(cells: Sequence[Cell], limit: int) -> list[tuple[Cell, ...]]:
    """Cells in parts of at most ``limit``, as even as they can be cut.

    >>> [len(part) for part in evenly([Cell(Arm(beta=b), 0) for b in range(5)], 4)]
    [3, 2]
    """
    count = -(-len(cells) // max(limit, 1))
    edges = [-(-len(cells) * i // count) for i in range(count + 1)]
    return [tuple(cells[start:end]) for start, end in pairwise(edges)]

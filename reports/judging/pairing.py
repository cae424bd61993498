"""What the arms of one seed have in common, by their logged hashes: whether the number of the seed pairs them.

All arms of a seed see the same batches in the same order. Arms whose models are alike also start from the same weights:
where they ought to and do not, or where the order differs, the cells cannot be paired. Arms of different models are
paired by seed and batch order, and the sentence of the comparison says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from reports.judging.cells import Cells
from tracking import schema
from vae.arms import Arm

INIT, ORDER, NOISE = schema.INIT_HASH, schema.ORDER_HASH, schema.NOISE_HASH
SHARED: Final[Mapping[str, str]] = {INIT: "initial weights", ORDER: "batch order", NOISE: "noise"}
_BATCHES: Final = ("training.batch_size", "training.last_batch")


@dataclass(frozen=True)
class Pairing:
    """shared: what the arms have in common at every seed, in words. broken: the seeds at which they cannot be paired.

    checked: whether all hashes that ought to agree were logged. weights_differ: whether the arms' models differ.
    """

    shared: tuple[str, ...]
    broken: tuple[int, ...]
    checked: bool
    weights_differ: bool


def pairing(arms: Sequence[Arm], seeds: Iterable[int], cells: Cells) -> Pairing:
    """How the done cells of these arms are paired at these seeds. arms: two or more."""
    alike: dict[Any, list[Arm]] = {}
    for arm in arms:
        alike.setdefault(arm.model, []).append(arm)
    broken, checked = [], True
    shared = dict.fromkeys(SHARED, True)
    for seed in seeds:
        ought = [cells.hashes(arms, seed, ORDER)]
        ought += [cells.hashes(group, seed, INIT) for group in alike.values() if len(group) > 1]
        if any(len(hashes) > 1 for hashes in ought):
            broken.append(seed)
        checked = checked and not any("" in hashes for hashes in ought)
        for column in SHARED:
            logged = cells.hashes(arms, seed, column)
            shared[column] = shared[column] and len(logged) == 1 and "" not in logged
    words = tuple(_in_words(column, arms) for column, everywhere in shared.items() if everywhere)
    return Pairing(words, tuple(broken), checked, len(alike) > 1)


def _in_words(column: str, arms: Sequence[Arm]) -> str:
    """Arms that cut one order of images into other batches share the order of the images alone."""
    if column == ORDER and len({tuple(arm.get(name) for name in _BATCHES) for arm in arms}) > 1:
        return "order of the images"
    return SHARED[column]

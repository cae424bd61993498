"""Trained arms, out of the store and ready to use: one call from the name of a study to its model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from ablations.records import read_results, state_of
from ablations.whole import needed, plan_table
from tracking import reader, schema
from tracking.opening import open_store
from tracking.store import Store
from tracking.weights import KeptCell, kept, read_weights
from vae.arms import Arm
from vae.building import rebuilt
from vae.errors import UserError, not_one_of
from vae.factors import factors
from vae.losses import loss

if TYPE_CHECKING:
    from vae.models import Reconstructor

CRITERION = "neg_elbo"  # the common measure of all losses; lower is better


def load_arm(study: str, arm: str, *, seed: int | None = None, tracking_uri: str | None = None) -> Reconstructor:
    """The trained model of an arm: ``model(x)``, ``model.reconstruct(x)``, ``model.sample(n)``. On the CPU.

    study: as it was last run. arm: its label in the report, such as "mae-sum-b1". seed: of the cell; if left out, the
    seed with the lowest −ELBO of those whose weights are kept. tracking_uri: as of ``ablate --tracking-uri``.
    No data set is read. Raises UserError or TrackingError for a study, arm or seed that the store does not hold.
    """
    return find_arm(open_store(tracking_uri, create=False), study, arm, seed=seed).model()


@dataclass(frozen=True)
class TrainedArm:
    """A trained cell of an arm. cell: its name. texts: factor -> value as text. classes: 0 where it takes no labels."""

    cell: str
    texts: Mapping[str, str]
    image_shape: tuple[int, ...]
    classes: int
    weights: bytes

    @property
    def settings(self) -> Arm:
        """The arm, as a value of every factor."""
        return _arm(self.texts)

    def model(self) -> Reconstructor:
        """Ready to use, on the CPU."""
        from vae.models import Reconstructor

        settings = self.settings
        model = rebuilt(settings, self.image_shape, self.classes, state_of(self.weights))
        return Reconstructor(model, loss(settings.loss).mean, settings.posterior).eval()


def find_arm(store: Store, study: str, arm: str, *, seed: int | None = None) -> TrainedArm:
    """The trained cell of an arm, as `load_arm` chooses it. Raises what that does."""
    info = reader.study_info(store, study, (schema.PLAN_FILE,))
    rows = _of_arm(needed(info, schema.PLAN_FILE, plan_table), arm)
    cell = _cell(store, study, rows, arm, seed)
    texts = {name: text for name, text in cell.params.items() if name in factors()}
    classes = int(info.params.get("classes", 0)) if _arm(texts)["model.conditional"] else 0
    return TrainedArm(cell.name, texts, _image_shape(store, cell), classes, read_weights(store, cell))


def _of_arm(planned: pd.DataFrame, arm: str) -> pd.DataFrame:
    """The cells of an arm in the plan of a study."""
    labels = list(dict.fromkeys(planned["arm"]))
    if arm not in labels:
        raise not_one_of("arm", arm, labels)
    return planned[planned["arm"] == arm]


def _cell(store: Store, study: str, rows: pd.DataFrame, arm: str, seed: int | None) -> KeptCell:
    """The cell of that seed, or of the best seed. rows: the arm's cells in the plan."""
    held = kept(store, rows["key"], study)
    keys = {int(number): key for number, key in zip(rows["seed"], rows["key"]) if key in held}
    if not keys:
        raise UserError(
            f'arm={arm!r}: study {study!r} holds no weights of it; [storage] weights = "all" or "best" keeps them, '
            f"and ablate run {study} trains what is missing"
        )
    if seed is None:
        return held[keys[_best_seed(store, study, rows, list(keys))]]
    if seed not in keys:
        raise not_one_of("seed", seed, sorted(keys))
    return held[keys[seed]]


def _best_seed(store: Store, study: str, rows: pd.DataFrame, seeds: list[int]) -> int:
    """Of these seeds, the one with the lowest −ELBO; the first where none has one."""
    _, frame = read_results(store, rows[rows["seed"].isin(seeds)], study)
    values = frame[CRITERION] if CRITERION in frame else pd.Series(dtype=float)
    measured = [(float(value), int(number)) for value, number in zip(values, frame["seed"]) if not math.isnan(value)]
    return min(measured)[1] if measured else seeds[0]


def _arm(params: Mapping[str, str]) -> Arm:
    known = factors()
    return Arm.of({name: known[name].parse(text) for name, text in params.items() if name in known}, recorded=True)


def _image_shape(store: Store, cell: KeptCell) -> tuple[int, ...]:
    """The shape of the images that a cell was trained on, as its pictures show them."""
    pictures = reader.read_pictures(store, [cell.key]).get(cell.key, {})
    if "originals" not in pictures:
        raise UserError(
            f"cell {cell.name} has no pictures, so the shape of its images is not known; run the study again"
        )
    return tuple(pictures["originals"].shape[1:])

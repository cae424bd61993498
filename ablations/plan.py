"""What a run would do: cells, their keys, which are done, and which have kept weights. Trains nothing."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

import torch

from ablations import grid
from ablations.checks import naming
from ablations.grid import Cell
from ablations.study import Study
from reports.claims.families import with_options
from reports.claims.load import load_claims, load_registration
from reports.claims.model import Claim
from reports.claims.needs import needed_arms
from reports.claims.references import References
from reports.claims.registration import Registration
from reports.claims.resolve import at_least_one_image, needs_references, resolve
from tracking.search import Gathered
from tracking.sums import Damage
from tracking.weights import KeptCell
from vae.arms import Arm, same_objective, varied
from vae.building import build
from vae.datasets.load import ImageData, load
from vae.errors import UserError
from vae.metrics.catalogue import CATALOGUE
from vae.training.blocks import TENSORS_PER_WEIGHT, weights_of
from vae.training.fit import batches
from vae.training.memory import free_bytes
from vae.training.stack import check_stackable


@dataclass(frozen=True)
class Plan:
    """A study with its data and its claims.

    cells: all that the study and its claims ask for. registrations: where the claims' files say that they are
    registered. done: those with results already. kept: of cells that are not done but trained, where their weights are
    kept. stored: the runs of all that, as they were read. damage: by key, of cells that are therefore not done.
    """

    study: Study
    images: ImageData
    claims: tuple[Claim, ...]
    cells: tuple[Cell, ...]
    registrations: tuple[Registration, ...] = ()
    done: frozenset[Cell] = frozenset()
    kept: Mapping[Cell, KeptCell] = field(default_factory=dict)
    stored: Gathered | None = None
    damage: Mapping[str, Sequence[Damage]] = field(default_factory=dict)

    @cached_property
    def keys(self) -> dict[Cell, str]:
        """The content key of every cell."""
        return {cell: self.key_of(cell) for cell in self.cells}

    def key_of(self, cell: Cell) -> str:
        """The content key of any cell on these images."""
        return grid.key(cell, dataset=self.images.name, data_digest=self.images.training_digest)

    @cached_property
    def measures(self) -> str:
        """The key of how the cells are measured."""
        return grid.measures_key(self.study, data_digest=self.images.digest)

    @cached_property
    def wanted(self) -> dict[str, str]:
        """key -> measures of every cell: what the store is searched for."""
        return dict.fromkeys(self.keys.values(), self.measures)

    @property
    def pending(self) -> tuple[Cell, ...]:
        """All that is not done."""
        return tuple(cell for cell in self.cells if cell not in self.done)

    @property
    def to_measure(self) -> tuple[Cell, ...]:
        """Trained cells that are to be measured again, from kept weights."""
        return tuple(cell for cell in self.pending if cell in self.kept)

    @property
    def to_train(self) -> tuple[Cell, ...]:
        return tuple(cell for cell in self.pending if cell not in self.kept)

    @cached_property
    def arms(self) -> tuple[Arm, ...]:
        return tuple(dict.fromkeys(cell.arm for cell in self.cells))

    @cached_property
    def varied(self) -> tuple[str, ...]:
        """The factors in which the arms differ."""
        return varied(self.arms)

    def beta_eff(self, arm: Arm) -> float:
        """The weight of KL of an arm when both terms are summed, for this study's images."""
        return arm.effective_beta(self.images.pixels)

    def same_objective(self) -> list[tuple[Arm, ...]]:
        """Arms that differ in name only."""
        return same_objective({arm: self.beta_eff(arm) for arm in self.arms})

    def weights_bytes(self) -> int:
        """Bytes of the weights that a run will keep, of the cells that are to be trained."""
        arms = [cell.arm for cell in self.to_train]
        kept = {"all": arms, "best": list(dict.fromkeys(arms)), "none": []}[self.study.storage.weights]
        sizes = {shape: _weights_bytes(arm, self.images) for shape, arm in _one_of_each_shape(kept).items()}
        return sum(sizes[arm.shape] for arm in kept)

    @property
    def set_aside(self) -> list[tuple[str, str]]:
        """The runs of damaged cells, each with what is damaged of it: their cells are made again."""
        pending = {self.keys[cell] for cell in self.pending}
        cells = [parts for key, parts in self.damage.items() if key in pending]
        return [(parts[0].run_id, " ".join(part.sentence for part in parts)) for parts in cells]

    def with_stored(
        self,
        done: Collection[str],
        kept: Mapping[str, KeptCell],
        stored: Gathered | None = None,
        damage: Mapping[str, Sequence[Damage]] = MappingProxyType({}),
    ) -> Plan:
        """The same plan, knowing which keys have results, and of which the weights are kept."""
        return replace(
            self,
            done=frozenset(cell for cell in self.cells if self.keys[cell] in done),
            kept={cell: kept[key] for cell, key in self.keys.items() if key in kept and key not in done},
            stored=stored,
            damage=damage,
        )


def _one_of_each_shape(arms: Iterable[Arm]) -> dict[object, Arm]:
    return {arm.shape: arm for arm in arms}


def prepare(study: Study, *, data_dir: Path | None = None, cache: Path | None = None) -> Plan:
    """Read the data and the claims, check them against the study, and list the cells.

    Claims whose margins are shares, or whose numbers are predicted, are resolved on the images. What is computed of the
    images for that, on the CPU, is kept in `cache`, where given, as the classifiers are.
    Raises UserError for anything that would stop a run later: images, labels, batch size, claims.
    """
    claims = with_options(load_claims(*study.claims, metrics=CATALOGUE), arms=study.arms, base=study.base)
    registrations = tuple(filter(None, map(load_registration, study.claims)))
    with naming(study):
        images = load(study.dataset, data_dir, **study.images.model_dump())
    plan = Plan(study, images, claims, grid.expand(study), registrations)
    shapes = _one_of_each_shape(plan.arms)
    with naming(study):  # before anything is computed of the images, which may take minutes
        for arm in shapes.values():
            _check(arm, images)
    if needs_references(claims):
        claims = resolve(claims, _references(plan, cache), base=study.base)
    claims = at_least_one_image(claims, len(images.test))
    extra = needed_arms(claims, study.arms, base=study.base, effective_beta=plan.beta_eff)
    plan = replace(plan, claims=claims, cells=grid.expand(study, extra))
    with naming(study):
        _check_labels(plan)
        for shape, arm in _one_of_each_shape(plan.arms).items():
            if shape not in shapes:
                _check(arm, images)
    return plan


def _references(plan: Plan, cache: Path | None) -> References:
    from ablations.references import references_of  # with the classifiers, which most plans do not need

    return references_of(plan.images, plan.study.evaluation, cache=cache, device=torch.device("cpu"))


def _check_labels(plan: Plan) -> None:
    """An arm goes by its label in tables and in MLflow, and a label shows six digits of a number."""
    by_label: dict[str, Arm] = {}
    for arm in plan.arms:
        label = arm.label(plan.study.base)
        if label in by_label:
            name = varied([arm, by_label[label]])[0]
            values = f"{arm[name]!r} and {by_label[label][name]!r}"
            raise UserError(f"two arms would both be called {label}: {name} is {values}; name values further apart")
        by_label[label] = arm
    if len(set(plan.keys.values())) < len(plan.cells):
        raise UserError("arms that differ in training.log_every alone get the same weights: name one value of it")


def _check(arm: Arm, images: ImageData) -> None:
    training = arm.training
    if not batches(len(images.train), training.batch_size, training.last_batch):
        raise UserError(
            f"training.batch_size={training.batch_size} is larger than the {len(images.train)} training "
            f"images of {images.name!r}; lower it, or set training.last_batch='keep'"
        )
    # A model that no memory holds is refused before a single weight is made.
    needed = TENSORS_PER_WEIGHT * _weights_bytes(arm, images)
    if needed > (free := free_bytes()):
        raise UserError(
            f"model: {_weights(arm, images):,} weights need {needed / 2**30:,.0f} GiB to train, and "
            f"{free / 2**30:,.0f} are free: name fewer latents, or smaller layers"
        )
    check_stackable(build(arm, images.image_shape, images.n_classes))


def _weights_bytes(arm: Arm, images: ImageData) -> int:
    return arm.training.dtype.itemsize * _weights(arm, images)


def _weights(arm: Arm, images: ImageData) -> int:
    """How many numbers the model of an arm learns."""
    try:
        with torch.device("meta"):
            return weights_of(build(arm, images.image_shape, images.n_classes))
    except (RuntimeError, OverflowError, TypeError):  # so many that their number overflows
        return sys.maxsize

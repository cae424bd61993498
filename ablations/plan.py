"""What a run would do: cells, their keys, which are done, and how long the rest takes. Trains nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from time import perf_counter

import torch

from ablations import grid
from ablations.evaluation import Evaluator, epoch_scores, measuring_bytes
from ablations.executors.local import Workshop
from ablations.grid import Cell
from ablations.study import Study
from reports.claims.load import load_claims, needed_arms
from reports.claims.model import Claim
from vae.datasets import load as data
from vae.datasets.load import ImageData
from vae.errors import UserError
from vae.metrics.catalogue import CATALOGUE
from vae.objectives import Objective, effective_beta
from vae.training.blocks import TENSORS_PER_WEIGHT, weights_of
from vae.training.fit import batches, fit
from vae.training.memory import arms_that_fit, free_bytes

# A stack this wide keeps the processor busy; wider ones only take memory and delay the first results.
WIDEST = 48
IMAGES = ("train=", "test=", "held_out=", "size=")  # how a mistake of the section [images] begins


@dataclass(frozen=True)
class Plan:
    """A study met its data and its claims.

    cells: all that the study and its claims ask for. done: those with results already.
    """

    study: Study
    images: ImageData
    claims: tuple[Claim, ...]
    cells: tuple[Cell, ...]
    done: frozenset[Cell] = frozenset()

    @cached_property
    def keys(self) -> dict[Cell, str]:
        """The content key of every cell."""
        return {cell: self._key(cell) for cell in self.cells}

    def _key(self, cell: Cell) -> str:
        return grid.key(self.study, cell, dataset=self.images.name, data_digest=self.images.digest)

    @property
    def pending(self) -> tuple[Cell, ...]:
        return tuple(cell for cell in self.cells if cell not in self.done)

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """The arms, in order."""
        return tuple(dict.fromkeys(cell.objective for cell in self.cells))

    def beta_eff(self, reduction: str, beta: float) -> float:
        """The weight of KL at this study's batch size, image size and latents."""
        return effective_beta(
            reduction,
            beta,
            batch=self.study.training.batch_size,
            pixels=self.images.pixels,
            latents=self.study.model.latents,
        )

    def same_objective(self) -> list[tuple[Objective, ...]]:
        """Arms that differ in name only."""
        return grid.same_objective(
            self.objectives,
            batch=self.study.training.batch_size,
            pixels=self.images.pixels,
            latents=self.study.model.latents,
        )

    def with_done(self, keys: Collection[str]) -> Plan:
        """The same plan, knowing which keys have results."""
        return replace(self, done=frozenset(cell for cell in self.cells if self.keys[cell] in keys))


def prepare(study: Study, *, data_dir: Path | None = None) -> Plan:
    """Read the data and the claims, check them against the study, and list the cells.

    Raises UserError for anything that would stop a run later: images, labels, batch size, claims.
    """
    claims = load_claims(*study.claims, metrics=CATALOGUE)
    with _told_of(study):
        images = data.load(
            study.dataset,
            data_dir,
            train=study.images.train,
            test=study.images.test,
            held_out=study.images.held_out,
            size=study.images.size,
            colour=study.images.colour,
        )
        _check(study, images)
    plan = Plan(study, images, claims, grid.expand(study))
    needed = needed_arms(claims, [vars(each) for each in study.objectives()], effective_beta=plan.beta_eff)
    extra = [Objective(arm["loss"], arm["reduction"], arm["beta"], arm["posterior"]) for arm in needed]
    return replace(plan, cells=grid.expand(study, extra))


@contextmanager
def _told_of(study: Study) -> Iterator[None]:
    """A mistake that shows only beside the data is told with the study and the section that it stands in."""
    try:
        yield
    except UserError as error:
        section = "[images] " if str(error).startswith(IMAGES) else ""
        raise UserError(f"study {study.name!r}: {section}{error}") from error


def _check(study: Study, images: ImageData) -> None:
    if not batches(len(images.train), study.training.batch_size, study.training.last_batch):
        raise UserError(
            f"training.batch_size={study.training.batch_size} is larger than the {len(images.train)} training "
            f"images of {images.name!r}; lower it, or set training.last_batch='keep'"
        )
    _check_size(study, images)
    study.model.build(images.image_shape, images.n_classes)


def _check_size(study: Study, images: ImageData) -> None:
    """Refuse a model that no memory holds before a single weight is made."""
    try:
        with torch.device("meta"):
            weights = weights_of(study.model.build(images.image_shape, images.n_classes))
    except RuntimeError:  # so many that their number overflows
        weights = sys.maxsize
    needed = TENSORS_PER_WEIGHT * study.training.dtype.itemsize * weights
    if needed > (free := free_bytes()):
        raise UserError(
            f"model: {weights:,} weights need {needed / 2**30:,.0f} GiB to train, and {free / 2**30:,.0f} are free: "
            "name fewer latents, or smaller layers"
        )


def device_named(name: str) -> torch.device:
    """``auto``, ``cpu`` or ``cuda`` as a device that is there.

    >>> device_named("cpu")
    device(type='cpu')
    """
    if name not in ("auto", "cpu", "cuda"):
        raise UserError(f"--device {name} is not one of ['auto', 'cpu', 'cuda']")
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: torch sees no CUDA device here; use --device cpu, or auto")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def workshop(plan: Plan, device: torch.device, cache: Path) -> Workshop:
    """The rulers and the device of a study, ready for its stacks."""
    conditional = plan.study.model.conditional
    evaluator = Evaluator(plan.images, plan.study.evaluation, conditional=conditional, cache=cache, device=device)
    return Workshop(plan.study, plan.images, evaluator, device)


def cut(plan: Plan, shop: Workshop) -> list[tuple[Cell, ...]]:
    """The pending cells as stacks that fit the machine's memory."""
    template = plan.study.model.build(plan.images.image_shape, plan.images.n_classes)
    measuring = measuring_bytes(template, plan.images, plan.study.evaluation, shop.device)
    room = arms_that_fit(template, plan.images, plan.study.training, device=shop.device, measuring=measuring)
    return grid.stacks(plan.pending, min(room, WIDEST))


def estimate(plan: Plan, shop: Workshop, *, batches_timed: int = 20) -> float:
    """Seconds that the pending cells will take, from a short measured probe: a few batches of the first stack, its
    scores after an epoch, and one cell measured.

    What all cells share is set up first and counted nowhere: the classifier, where it is trained at all, is kept, so
    that the run finds it, and the rest is seconds for the whole study.
    """
    if not plan.pending:
        return 0.0
    cells = cut(plan, shop)[0]
    training = plan.study.training
    count = min(len(plan.images.train), training.batch_size * batches_timed)
    few = replace(plan.images, train=plan.images.train[:count], train_labels=_head(plan.images.train_labels, count))
    short = replace(training, epochs=2)
    stack = shop.new_stack(cells)
    shop.evaluator.prepare()
    first, second = (record.seconds for record in fit(stack, few, short))
    score = _timed(lambda: epoch_scores(stack, plan.images, plan.study.evaluation.per_epoch_images))
    measure = _timed(lambda: shop.evaluator.measure(stack.module(0), cells[0].objective, cells[0].seed))
    epoch = (min(first, second) * len(plan.images.train) / count + score) / len(cells)
    return (epoch * training.epochs + measure) * len(plan.pending)


def _head(labels: torch.Tensor | None, count: int) -> torch.Tensor | None:
    return None if labels is None else labels[:count]


def _timed(work: Callable[[], object]) -> float:
    started = perf_counter()
    work()
    return perf_counter() - started

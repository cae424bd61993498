"""How long a run takes: a short measured probe of each shape, and the rest by counting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from time import perf_counter

from ablations.evaluation import Evaluator, epoch_scores
from ablations.executors.local import Local
from ablations.executors.measuring import Measurer, at_once, measured_side_by_side
from ablations.grid import Cell
from ablations.plan import Plan
from ablations.setup import Setup
from vae.training.fit import fit

BATCHES = 20  # timed of the training of a stack
TRACKING_CELL, TRACKING_ARM = 0.04, 0.1  # seconds to write a cell, and the run of an arm, to a local SQLite file
SHAPES = 3  # probed of the shapes of a study; the others are taken to be like these


def seconds_left(plan: Plan, setup: Setup) -> float:
    """Seconds that the pending cells will take. Of each shape (the first few of many) are timed: a few batches of a
    stack, its scores after an epoch, and the measuring of one cell, at a point of training and at the end. Tracking is
    counted as it was measured once, on a local SQLite file; a server takes longer.

    What all cells share is set up first and not counted: classifiers that are trained here are kept for the run.
    """
    if not plan.pending:
        return 0.0
    setup.evaluator.prepare()
    costs: dict[object, tuple[float, float]] = {}  # shape -> seconds to train and to measure a cell
    for stack in Local(setup).stacks(plan.to_train or plan.pending):
        shape = stack[0].arm.shape
        if shape not in costs and len(costs) < SHAPES:
            costs[shape] = _probe(plan, setup, stack)
    usual = [sum(column) / len(costs) for column in zip(*costs.values())]
    to_train = sum(costs.get(cell.arm.shape, usual)[0] for cell in plan.to_train)
    to_measure = sum(costs.get(cell.arm.shape, usual)[1] for cell in plan.pending)
    tracking = TRACKING_CELL * len(plan.pending) + TRACKING_ARM * len(plan.arms)
    return float(to_train + to_measure + tracking)


def _probe(plan: Plan, setup: Setup, cells: tuple[Cell, ...]) -> tuple[float, float]:
    """(seconds to train a cell, its points included; seconds to measure it)."""
    images, training = plan.images, cells[0].arm.training
    count = min(len(images.train), training.batch_size * BATCHES)
    labels = None if images.train_labels is None else images.train_labels[:count]
    few = replace(images, train=images.train[:count], train_labels=labels)
    stack = setup.new_stack([replace(cell, arm=cell.arm.replace(epochs=2)) for cell in cells])
    fastest = min(record.seconds for record in fit(stack, few))
    score = _timed(lambda: epoch_scores(stack, images, plan.study.evaluation.per_epoch_images))
    arm, seed = cells[0].arm, cells[0].seed
    state = {name: value.clone() for name, value in stack.state(0).items()}
    points = len(Measurer(setup).points(training.epochs))

    def measured(evaluator: Evaluator) -> float:
        models = [setup.loaded(arm, state) for _ in range(at_once(setup.device))]
        tasks = [partial(evaluator.measure, model, arm, seed) for model in models]
        return _timed(lambda: measured_side_by_side(tasks)) / len(tasks)

    at_points = points * measured(setup.evaluator.at_points) if points else 0.0
    epoch = (fastest * len(images.train) / count + score) / len(cells)
    return epoch * training.epochs + at_points, measured(setup.evaluator)


def _timed(work: Callable[[], object]) -> float:
    started = perf_counter()
    work()
    return perf_counter() - started

"""Where a stack runs: failures are data, and the results of the other cells are as without them."""

from __future__ import annotations

import math
import weakref
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from ablations import estimate, generation
from ablations import plan as planning
from ablations.executors import local
from ablations.executors.events import CellResult, EpochDone, KeptWeights
from ablations.executors.local import Local
from ablations.grid import Cell
from ablations.plan import Plan
from ablations.sections import Evaluation
from ablations.setup import Setup
from ablations.study import checked
from tests.study_samples import TABLE
from tracking.schema import POINT
from vae.arms import Arm
from vae.metrics.classifier import Recipe
from vae.training.stack import Stack

OWN = """
import torch

def broken(recon, target):
    raise RuntimeError("no such luck")

def exploding(recon, target):
    return torch.log(recon - 2)

def calm(recon, target):
    return (recon - target).square()
"""


@pytest.fixture(scope="module")
def plan() -> Plan:
    return planning.prepare(checked(TABLE, "small"))


@pytest.fixture
def setup(plan, cache) -> Setup:
    return setup_of(plan, cache)


def setup_of(plan: Plan, cache: Path) -> Setup:
    return Setup.of(plan.study, plan.images, torch.device("cpu"), cache=cache)


@pytest.fixture
def results(setup, tmp_path, monkeypatch):
    """Runs arms of the study's model and training in one stack of seed 0 and returns results by label."""
    (tmp_path / "own_losses.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))

    def run(*arms: Arm) -> dict[str, CellResult]:
        events = Local(setup).train(cells_of(setup, *arms))
        return {event.cell.label: event for event in events if isinstance(event, CellResult)}

    return run


def cells_of(setup: Setup, *arms: Arm) -> list[Cell]:
    """Cells of seed 0, with the objectives of these arms."""
    base = setup.study.base
    objectives = ({name: arm[name] for name in ("loss", "reduction", "beta", "posterior")} for arm in arms)
    placed = [base.replace(objective) for objective in objectives]
    return [Cell(arm, 0, arm_label=arm.label(base)) for arm in placed]


def test_events_come_epoch_by_epoch_and_one_result_for_every_cell(plan, setup):
    events = list(Local(setup).train(plan.cells))
    assert [(e.seed, e.epoch) for e in events if isinstance(e, EpochDone)] == [(0, 1), (0, 2), (1, 1), (1, 2)]
    results = [event for event in events if isinstance(event, CellResult)]
    assert [result.cell for result in results] == list(plan.cells)
    assert all(len(result.trained.history) == 2 and not result.failed for result in results)


def test_a_loss_that_raises_fails_alone(results):
    good = [Arm("bce"), Arm("mae", beta=2), Arm("mse")]
    undisturbed = results(*good)
    outcome = results(good[0], Arm("own_losses:broken"), *good[1:])
    assert outcome["own_losses:broken-sum-b1-s0"].failure == "RuntimeError: no such luck"
    for label, result in undisturbed.items():
        assert not outcome[label].failed
        assert outcome[label].metrics["neg_elbo"] == pytest.approx(result.metrics["neg_elbo"], rel=1e-4)


def test_a_failed_stack_is_dead_before_its_halves_are_tried(setup, results, monkeypatch):
    """Its own weights and those of its blocks: else a stack that ran out of memory would be retried without any."""
    made, alive, cut_off = [], [], Stack.select

    def watched(stack: Stack) -> Stack:
        made.extend(weakref.ref(thing) for thing in (stack, *stack.parameters.values()))
        return stack

    class Watching(Setup):
        def new_stack(self, cells):
            alive.append(sum(reference() is not None for reference in made))
            return watched(super().new_stack(cells))

    monkeypatch.setattr(Stack, "select", lambda stack, arms: watched(cut_off(stack, arms)))
    watching = Watching(setup.study, setup.images, setup.evaluator, setup.device)
    arms = [Arm("bce"), Arm("mae"), Arm("own_losses:broken"), Arm("mse")]
    events = [event for event in Local(watching).train(cells_of(setup, *arms)) if isinstance(event, CellResult)]
    assert [event.failed for event in events] == [False, False, True, False]
    assert len(alive) == 5  # all four, two, two, and the latter one by one
    assert alive == [0] * 5


def points_of(result: CellResult) -> dict[int, dict[str, float]]:
    """epoch -> what was measured then."""
    rows = {row["epoch"]: {k: v for k, v in row.items() if k.startswith(POINT)} for row in result.trained.history}
    return {epoch: values for epoch, values in rows.items() if values}


def test_points_are_measured_as_the_end_is_and_the_last_is_the_end(setup, results):
    (result,) = results(Arm("bce")).values()
    assert setup.study.evaluation.point_epochs(2) == (1, 2)
    points = points_of(result)
    assert list(points) == [1, 2]
    lacking = {POINT + name for name in ("neg_iwae", "iwae_error", "iwae_gap", "iwae_log_ess")}
    assert all(values.keys() == {POINT + name for name in result.metrics} - lacking for values in points.values())
    model = setup.loaded(result.cell.arm, result.state)
    end = setup.evaluator.at_points.measure(model, result.cell.arm, 0)
    again = {POINT + name: value for name, value in end.metrics.items()}
    assert points[2] == pytest.approx(again, rel=0, abs=0, nan_ok=True)
    assert (end.pictures, end.per_image) == ({}, {})
    for name in ("ssim", "neg_elbo", "acutance"):  # of the same images as the values that are kept of all
        assert points[2][POINT + name] == pytest.approx(result.per_image[name][:20].mean(), rel=1e-6)
        assert points[1][POINT + name] != points[2][POINT + name]


def test_points_change_no_weight_and_no_metric(plan, cache, setup, results, monkeypatch):
    with_points = results(Arm("bce"), Arm("mae"))
    none = setup.study.evaluation.model_copy(update={"points": ()})
    without = setup_of(replace(plan, study=setup.study.model_copy(update={"evaluation": none})), cache)
    events = Local(without).train(cells_of(without, Arm("bce"), Arm("mae")))
    for result in (event for event in events if isinstance(event, CellResult)):
        other = with_points[result.cell.label]
        assert points_of(result) == {}
        assert all(torch.equal(value, other.state[name]) for name, value in result.state.items())
        assert result.metrics == pytest.approx(other.metrics, rel=0, abs=0, nan_ok=True)
        assert result.trained.hashes == other.trained.hashes


def test_where_points_see_all_test_images_the_last_is_the_final_measurement_and_kept_weights_keep_theirs(plan, cache):
    wide = plan.study.evaluation.model_copy(update={"point_images": len(plan.images.test)})
    setup = setup_of(replace(plan, study=plan.study.model_copy(update={"evaluation": wide})), cache)
    assert setup.evaluator.ends_as_measured
    events = Local(setup).train(cells_of(setup, Arm("bce")))
    (result,) = [event for event in events if isinstance(event, CellResult)]
    points = points_of(result)
    assert list(points) == [1, 2]
    lacking = {"neg_iwae", "iwae_error", "iwae_gap", "iwae_log_ess"}
    final = {POINT + name: value for name, value in result.metrics.items() if name not in lacking}
    assert points[2] == pytest.approx(final, rel=0, abs=0, nan_ok=True)
    other = tuple({**row, POINT + "ssim": 0.5} if POINT + "ssim" in row else row for row in result.trained.history)
    kept = KeptWeights(result.cell, lambda: result.state, replace(result.trained, history=other))
    (again,) = [event for event in Local(setup).measure([kept]) if isinstance(event, CellResult)]
    assert again.trained.history == other  # its points may be of other versions of the metrics
    assert again.metrics == pytest.approx(result.metrics, rel=0, abs=0, nan_ok=True)


def test_a_point_that_cannot_be_measured_is_left_out_and_the_cell_is_whole(setup, results, monkeypatch):
    measured = type(setup.evaluator).measure

    def broken(self, model, arm, seed):
        if self.whole is not None:
            raise MemoryError("too little for one more")
        return measured(self, model, arm, seed)

    monkeypatch.setattr(type(setup.evaluator), "measure", broken)
    (result,) = results(Arm("bce")).values()
    assert not result.failed
    assert points_of(result) == {}


@pytest.mark.parametrize(
    ("points", "epochs", "expected"),
    [
        ((0.25, 0.5, 1.0), 30, (8, 15, 30)),
        ((0.25, 0.5, 1.0), 3, (1, 2, 3)),
        ((0.25, 0.5, 1.0), 1, (1,)),
        ((0.1, 0.3, 1.0), 30, (3, 9, 30)),
        ((), 9, ()),
    ],
)
def test_points_are_whole_epochs_each_once(points, epochs, expected):
    assert Evaluation(points=points).point_epochs(epochs) == expected


def test_a_diverged_arms_history_says_nothing_of_the_test_images(results):
    outcome = results(Arm("bce"), Arm("own_losses:exploding"))
    for row in outcome["own_losses:exploding-sum-b1-s0"].trained.history:
        assert all(math.isnan(value) for name, value in row.items() if name.startswith(("train_", "test_")))
        assert not any(name.startswith("point/") for name in row)
    for row in outcome["bce-sum-b1-s0"].trained.history:
        assert all(math.isfinite(value) for name, value in row.items() if name.startswith(("train_", "test_")))


@pytest.mark.parametrize(("generated", "missing"), [(5, {"coverage"}), (1, {"coverage", "kid", "frechet"})])
def test_a_few_labelled_pictures_are_measured_by_what_a_few_can_tell(tmp_path, cache, generated, missing, monkeypatch):
    monkeypatch.setattr(generation, "Recipe", partial(Recipe, passes=1, least_steps=3))
    source = np.random.default_rng(0)
    arrays = {name: source.random((count, 9, 8)) for name, count in (("train", 40), ("test", 2))}
    labels = {f"{name}_labels": np.arange(len(array)) % 2 for name, array in arrays.items()}
    np.savez(tmp_path / "few.npz", **arrays, **labels)
    table = TABLE | {"dataset": str(tmp_path / "few.npz"), "images": {}, "seeds": "0"}
    few = planning.prepare(checked(table | {"evaluation": {"generated": generated, "iwae_samples": 2}}, "few"))
    for result in (event for event in Local(setup_of(few, cache)).train(few.cells) if isinstance(event, CellResult)):
        assert result.failure == ""
        compared = {name: result.metrics[name] for name in ("kid", "frechet", "coverage", "class_entropy")}
        assert {name for name, value in compared.items() if math.isnan(value)} == missing


def test_an_arm_that_diverges_says_when_and_leaves_the_others_bit_identical(results):
    sound = [Arm("bce"), Arm("mae")]
    undisturbed = results(*sound, Arm("own_losses:calm"))
    outcome = results(*sound, Arm("own_losses:exploding"))
    assert outcome["own_losses:exploding-sum-b1-s0"].failure.startswith("diverged in epoch 1 at step ")
    for label in (f"{arm.label()}-s0" for arm in sound):
        for name, value in undisturbed[label].state.items():
            assert torch.equal(value, outcome[label].state[name])


def test_the_same_seed_twice_is_the_same_to_the_last_bit(results):
    one, two = (results(Arm("bce"), Arm("mse", beta=0.5)) for _ in range(2))
    for label, result in one.items():
        assert result.metrics == pytest.approx(two[label].metrics, rel=0, abs=0, nan_ok=True)
        assert result.trained.hashes == two[label].trained.hashes
        assert all(torch.equal(value, two[label].state[name]) for name, value in result.state.items())


def test_arms_of_a_seed_share_their_streams_and_seeds_do_not(plan, setup):
    results = [event for event in Local(setup).train(plan.cells) if isinstance(event, CellResult)]
    hashes = {(result.cell.seed, *result.trained.hashes.values()) for result in results}
    assert len(hashes) == 2
    assert len({value for _, *values in hashes for value in values}) == 6


def test_arms_of_other_shapes_share_the_batch_order_of_their_seed(setup):
    base = setup.study.base
    arms = [base, base.replace(latents=2), base.replace(hidden=(7,)), base.replace(learning_rate=3e-4)]
    events = Local(setup).train([Cell(arm, 0) for arm in arms])
    hashes = {event.cell.arm: event.trained.hashes for event in events if isinstance(event, CellResult)}
    assert len({hashes[arm]["order_hash"] for arm in arms}) == 1
    assert len({hashes[arm]["init_hash"] for arm in arms}) == 3  # one of each model
    assert len({hashes[arm]["noise_hash"] for arm in arms}) == 2  # one of each number of latents


def test_stacks_are_of_one_shape_and_cut_to_what_fits(plan, setup, monkeypatch):
    cells = [replace(cell, arm=cell.arm.replace(latents=n)) for cell in plan.cells for n in (2, 5)]
    stacks = Local(setup).stacks(cells)
    assert [len(stack) for stack in stacks] == [2, 2, 2, 2]
    assert all(len({cell.arm.shape for cell in stack}) == 1 for stack in stacks)
    assert {cell for stack in stacks for cell in stack} == set(cells)
    monkeypatch.setattr(local, "WIDEST", 1)
    assert [len(stack) for stack in Local(setup).stacks(plan.cells)] == [1, 1, 1, 1]


def test_an_estimate_is_a_time_and_nothing_left_takes_none(plan, setup, monkeypatch):
    monkeypatch.setattr(estimate, "BATCHES", 2)
    seconds = estimate.seconds_left(plan, setup)
    assert seconds > 0
    half = replace(plan, done=frozenset(plan.cells[:2]))
    assert estimate.seconds_left(half, setup) > 0
    assert estimate.seconds_left(replace(plan, done=frozenset(plan.cells)), setup) == 0
    monkeypatch.setattr(estimate, "_probe", lambda plan, setup, cells: (10.0, 1.0))
    tracking = 4 * estimate.TRACKING_CELL + 2 * estimate.TRACKING_ARM
    assert estimate.seconds_left(plan, setup) == pytest.approx(44 + tracking)
    kept = dict.fromkeys(plan.cells[:3])
    assert estimate.seconds_left(replace(plan, kept=kept), setup) == pytest.approx(
        10 + 4 + tracking
    )  # kept weights are only measured

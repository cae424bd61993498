"""Where a stack runs: failures are data, and the cells beside them come out as if nothing had happened."""

from __future__ import annotations

import math
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ablations import plan as planning
from ablations.executors.local import CellResult, EpochDone, Workshop, run_stack, run_stacks
from ablations.grid import Cell
from ablations.plan import Plan
from ablations.study import checked
from vae.objectives import Objective
from vae.training.stack import Stack

TABLE = {
    "name": "small",
    "dataset": "digits",
    "seeds": "0-1",
    "claims": [],
    "images": {"train": 200, "test": 40, "held_out": 20},
    "model": {"hidden": [12], "latents": 3},
    "training": {"epochs": 2, "batch_size": 32},
    "grid": {"loss": ["bce", "mae"]},
    "evaluation": {"per_epoch_images": 16, "iwae_images": 3, "iwae_samples": 2, "generated": 30},
}
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


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    """Where the classifier is kept, so that it is trained once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def results(plan, cache, tmp_path, monkeypatch):
    """Runs the objectives as one stack of seed 0 and returns results by label."""
    (tmp_path / "own_losses.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    shop = planning.workshop(plan, torch.device("cpu"), cache)

    def run(*objectives: Objective) -> dict[str, CellResult]:
        events = run_stack(shop, [Cell(each, 0) for each in objectives])
        return {event.cell.label: event for event in events if isinstance(event, CellResult)}

    return run


def test_events_come_epoch_by_epoch_and_one_result_for_every_cell(plan, cache):
    shop = planning.workshop(plan, torch.device("cpu"), cache)
    events = list(run_stacks(shop, planning.cut(plan, shop)))
    assert [(e.seed, e.epoch) for e in events if isinstance(e, EpochDone)] == [(0, 1), (0, 2), (1, 1), (1, 2)]
    found = [e for e in events if isinstance(e, CellResult)]
    assert [result.cell for result in found] == list(plan.cells)
    assert all(len(result.history) == 2 and not result.failed for result in found)


def test_a_loss_that_raises_fails_alone(results):
    good = [Objective("bce"), Objective("mae", beta=2), Objective("mse")]
    undisturbed = results(*good)
    found = results(good[0], Objective("own_losses:broken"), *good[1:])
    assert found["own_losses:broken-sum-b1-s0"].failure == "RuntimeError: no such luck"
    for label, result in undisturbed.items():
        assert not found[label].failed
        assert found[label].metrics["neg_elbo"] == pytest.approx(result.metrics["neg_elbo"], rel=1e-4)


def test_a_failed_stack_is_dead_before_its_halves_are_tried(results, plan, cache, monkeypatch):
    """Its own weights and those of its blocks: else a stack that ran out of memory would be retried without any."""
    made, alive, cut_off = [], [], Stack.select

    def watched(stack: Stack) -> Stack:
        made.extend(weakref.ref(each) for each in (stack, *stack.parameters.values()))
        return stack

    class Watching(Workshop):
        def new_stack(self, cells):
            alive.append(sum(each() is not None for each in made))
            return watched(super().new_stack(cells))

    monkeypatch.setattr(Stack, "select", lambda stack, arms: watched(cut_off(stack, arms)))
    shop = planning.workshop(plan, torch.device("cpu"), cache)
    shop = Watching(shop.study, shop.images, shop.evaluator, shop.device)
    arms = [Objective("bce"), Objective("mae"), Objective("own_losses:broken"), Objective("mse")]
    found = [each for each in run_stack(shop, [Cell(each, 0) for each in arms]) if isinstance(each, CellResult)]
    assert [each.failed for each in found] == [False, False, True, False]
    assert len(alive) == 5  # all four, two, two, and the latter one by one
    assert alive == [0] * 5


def test_a_diverged_arms_history_says_nothing_of_the_test_images(results):
    found = results(Objective("bce"), Objective("own_losses:exploding"))
    for row in found["own_losses:exploding-sum-b1-s0"].history:
        assert all(math.isnan(value) for name, value in row.items() if name.startswith(("train_", "test_")))
    assert all(math.isfinite(value) for row in found["bce-sum-b1-s0"].history for value in row.values())


@pytest.mark.parametrize(("generated", "missing"), [(5, {"coverage"}), (1, {"coverage", "kid", "frechet"})])
def test_a_few_labelled_pictures_are_measured_by_what_a_few_can_tell(tmp_path, cache, generated, missing):
    source = np.random.default_rng(0)
    arrays = {name: source.random((count, 9, 8)) for name, count in (("train", 40), ("test", 2))}
    labels = {f"{name}_labels": np.arange(len(each)) % 2 for name, each in arrays.items()}
    np.savez(tmp_path / "few.npz", **arrays, **labels)
    table = TABLE | {"dataset": str(tmp_path / "few.npz"), "images": {}, "seeds": "0"}
    few = planning.prepare(checked(table | {"evaluation": {"generated": generated, "iwae_samples": 2}}, "few"))
    found = list(run_stacks(planning.workshop(few, torch.device("cpu"), cache), [few.cells]))
    for result in (each for each in found if isinstance(each, CellResult)):
        assert result.failure == ""
        compared = {name: result.metrics[name] for name in ("kid", "frechet", "coverage", "class_entropy")}
        assert {name for name, value in compared.items() if math.isnan(value)} == missing


def test_an_arm_that_diverges_says_when_and_leaves_the_others_bit_identical(results):
    sound = [Objective("bce"), Objective("mae")]
    undisturbed = results(*sound, Objective("own_losses:calm"))
    found = results(*sound, Objective("own_losses:exploding"))
    assert found["own_losses:exploding-sum-b1-s0"].failure.startswith("diverged in epoch 1 at step ")
    for label in (f"{each.label}-s0" for each in sound):
        for name, value in undisturbed[label].state.items():
            assert torch.equal(value, found[label].state[name])


def test_the_same_seed_twice_is_the_same_to_the_last_bit(results):
    one, two = (results(Objective("bce"), Objective("mse", beta=0.5)) for _ in range(2))
    for label, result in one.items():
        assert result.metrics == pytest.approx(two[label].metrics, rel=0, abs=0, nan_ok=True)
        assert result.init_hash == two[label].init_hash
        assert all(torch.equal(value, two[label].state[name]) for name, value in result.state.items())


def test_arms_of_a_seed_share_their_streams_and_seeds_do_not(plan, cache):
    shop = planning.workshop(plan, torch.device("cpu"), cache)
    found = [e for e in run_stacks(shop, [plan.cells[:2], plan.cells[2:]]) if isinstance(e, CellResult)]
    hashes = {(result.cell.seed, result.init_hash, result.order_hash) for result in found}
    assert len(hashes) == 2


def test_stacks_are_cut_to_what_fits(plan, cache, monkeypatch):
    shop = planning.workshop(plan, torch.device("cpu"), cache)
    monkeypatch.setattr(planning, "WIDEST", 1)
    assert [len(stack) for stack in planning.cut(plan, shop)] == [1, 1, 1, 1]


def test_an_estimate_is_a_time_and_nothing_left_takes_none(plan, cache):
    shop = planning.workshop(plan, torch.device("cpu"), cache)
    assert 0 < planning.estimate(plan, shop, batches_timed=2) < 600
    assert planning.estimate(replace(plan, done=frozenset(plan.cells)), shop) == 0

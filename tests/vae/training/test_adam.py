"""Adam over stacks: each arm is stepped as torch's own class would step it alone."""

from __future__ import annotations

import pytest
import torch

from vae.training.adam import Adam
from vae.training.settings import Training


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


SHAPES = [(3, 2, 5), (3, 7)]
USUAL, OTHER = Training(), Training(learning_rate=0.1, weight_decay=0.3, adam_eps=1e-3)


@pytest.mark.parametrize("training", [[USUAL] * 3, [OTHER] * 3, [USUAL, OTHER, OTHER], [OTHER, USUAL, OTHER]])
def test_every_arm_steps_as_torch_steps_it_with_its_own_settings(training: list[Training]) -> None:
    leaves = [torch.randn(shape, dtype=torch.float64) for shape in SHAPES]
    alone = [[leaf[arm].clone() for leaf in leaves] for arm in range(3)]
    reference = [
        torch.optim.Adam(arm, lr=own.learning_rate, weight_decay=own.weight_decay, eps=own.adam_eps, foreach=False)
        for arm, own in zip(alone, training)
    ]
    optimiser = Adam(leaves, training)
    for _ in range(4):
        gradients = [torch.randn_like(leaf) for leaf in leaves]
        for leaf, gradient in zip(leaves, gradients):
            leaf.grad = gradient
        optimiser.step()
        for arm, (its_leaves, its_optimiser) in enumerate(zip(alone, reference)):
            for its_leaf, gradient in zip(its_leaves, gradients):
                its_leaf.grad = gradient[arm]
            its_optimiser.step()
            for leaf, its_leaf in zip(leaves, its_leaves):
                torch.testing.assert_close(leaf[arm], its_leaf, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("other", [USUAL, OTHER])
def test_a_frozen_arm_stays_at_zero_and_the_others_go_on(other: Training) -> None:
    leaves = [torch.randn(shape) for shape in SHAPES]
    optimiser = Adam(leaves, [OTHER, OTHER, other])
    for round_ in range(3):
        for leaf in leaves:
            leaf.grad = torch.ones_like(leaf)
            if round_:
                leaf.grad[1] = 0
        before = leaves[0].clone()
        optimiser.step()
        if not round_:
            optimiser.freeze(1)
        assert not torch.equal(leaves[0][[0, 2]], before[[0, 2]])
    assert not any(bool(leaf[1].any()) for leaf in leaves)


def test_a_leaf_without_a_gradient_stays() -> None:
    leaves = [torch.randn(shape) for shape in SHAPES]
    before = leaves[1].clone()
    leaves[0].grad = torch.ones_like(leaves[0])
    Adam(leaves, [USUAL, OTHER, USUAL]).step()
    assert torch.equal(leaves[1], before)

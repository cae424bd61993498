"""Stacks: one start for all arms, and the way in and out for a single model."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vae import VAE, Arm, Stack, UserError
from vae.families import FAMILIES
from vae.streams import fingerprint
from vae.training.stack import check_stackable

ARMS = [
    Arm("bce"),
    Arm("mae", reduction="mean", beta=0.5, posterior="full-logvar"),
    Arm("mse", posterior="log-std", learning_rate=0.1),
]


def small(arms: list[Arm] = ARMS, seed: int = 0, dataset: str = "digits", family: str = "mlp") -> Stack:
    return Stack.create(lambda: FAMILIES[family]((8, 7), 3), arms, dataset=dataset, seed=seed)


@pytest.mark.parametrize("family", FAMILIES)
def test_all_arms_start_alike_and_as_one_model_would(family: str) -> None:
    stack, alone = small(family=family), small([Arm("mae")], family=family)
    for name, value in stack.parameters.items():
        assert len(value) == 3
        assert all(torch.equal(value[arm], alone.parameters[name][0]) for arm in range(3))
    assert stack.init_hash == alone.init_hash == fingerprint(dict(stack.template.named_parameters()))


def test_the_start_belongs_to_dataset_and_seed() -> None:
    hashes = [small().init_hash, small(seed=1).init_hash, small(dataset="mnist").init_hash]
    assert len(set(hashes)) == 3
    torch.manual_seed(99)
    assert small().init_hash == hashes[0]


def test_the_start_is_hashed_before_it_is_rounded() -> None:
    doubled = small([arm.replace(precision="float64") for arm in ARMS])
    assert doubled.init_hash == small().init_hash
    assert doubled.dtype == torch.float64
    assert small([arm.replace(precision="bfloat16") for arm in ARMS]).dtype == small().dtype == torch.float32


def test_a_module_is_one_arm_on_its_own_memory() -> None:
    stack = small()
    stack.parameters["mean.bias"][1] += 1
    model = stack.module(1)
    assert torch.equal(model.get_parameter("mean.bias"), stack.state(1)["mean.bias"])
    model.get_parameter("mean.bias").data.zero_()
    assert bool(stack.state(1)["mean.bias"].any())
    assert all(value.requires_grad for value in model.parameters())


def test_selected_arms_are_copies_and_what_diverged_stays_so() -> None:
    stack = small()
    stack.diverged[2] = (1, 7)
    stack.parameters["mean.bias"][2] += 1
    part = stack.select([2, 0])
    assert part.arms == (ARMS[2], ARMS[0])
    assert part.diverged == {0: (1, 7)}
    assert torch.equal(part.parameters["mean.bias"][0], stack.parameters["mean.bias"][2])
    assert part.template is not stack.template
    part.parameters["mean.bias"].zero_()
    assert bool(stack.parameters["mean.bias"].any())


def test_posteriors_are_columns() -> None:
    std, kl = small().spread_factors()
    assert std.shape == kl.shape == (3, 1, 1)
    assert std.flatten().tolist() == [0.5, 1.0, 1.0]
    assert kl.flatten().tolist() == [1.0, 1.0, 2.0]


def test_what_a_stack_knows_of_its_model() -> None:
    stack = small()
    assert (len(stack), stack.latents, stack.classes, stack.image_shape) == (3, 3, 0, (8, 7))
    assert stack.arms == tuple(ARMS)
    assert stack.training == ARMS[0].training
    assert stack.device == torch.device("cpu")


def test_a_stack_without_arms_is_refused() -> None:
    with pytest.raises(UserError, match=r"arms=\(\) must hold at least one arm"):
        small([])


class Spoilt(VAE):
    """A model with one layer more."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__((8, 7), 3)
        self.extra = nn.Sequential(nn.Linear(2, 2), layer)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            nn.BatchNorm1d(2),
            r"Spoilt has buffers \['extra.1.running_mean', .*\], which .* would share: .* GroupNorm",
        ),
        (nn.BatchNorm1d(2, track_running_stats=False), "Spoilt has BatchNorm, whose outputs depend on which images"),
        (nn.Dropout(), r"Spoilt has a dropout layer 'extra.1', whose noise belongs to no named stream: leave it out"),
        (nn.AlphaDropout(), r"Spoilt has a dropout layer 'extra.1'"),
        (nn.Dropout2d(), r"Spoilt has a dropout layer 'extra.1'"),
    ],
)
def test_a_model_that_is_more_than_its_weights_is_refused(layer: nn.Module, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Stack.create(lambda: Spoilt(layer), ARMS, dataset="digits", seed=0)


@pytest.mark.parametrize("layer", [nn.LayerNorm(2), nn.GroupNorm(1, 2)])
def test_layers_whose_state_is_their_weights_are_not(layer: nn.Module) -> None:
    check_stackable(Spoilt(layer))

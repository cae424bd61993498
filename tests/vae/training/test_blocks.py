"""How a stack is cut into blocks, and what a block does with an arm that fails."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from threading import Event
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from vae import VAE, Arm, Stack
from vae.families import FAMILIES
from vae.losses import LOSSES
from vae.models import ConvVAE
from vae.training import blocks
from vae.training.autograd import Autograd
from vae.training.blocks import Batches, Block, clip, clip_norms, cut, gradients, width_of
from vae.training.fit import batches
from vae.training.fused import Fused


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


arms_of_a_stack = st.lists(st.sampled_from(sorted(LOSSES)), min_size=1, max_size=23)


def small(arms: list[Arm], build: Callable[[], nn.Module] = lambda: VAE((4, 4), 2, hidden=(3,))) -> Stack:
    return Stack.create(build, arms, dataset="blocks", seed=0)


@given(arms_of_a_stack, st.integers(1, 9), st.integers(1, 4))
def test_every_arm_is_in_one_block_and_blocks_are_even(losses: list[str], width: int, threads: int) -> None:
    rates = [(1e-3, 1e-2)[i % 2] for i in range(len(losses))]
    stack = small([Arm(name, beta=i, learning_rate=rates[i]) for i, name in enumerate(losses)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "width", lambda stack: width)
        patch.setattr(torch, "get_num_threads", lambda: threads)
        arms_of_blocks = cut(stack)
    assert sorted(arm for block in arms_of_blocks for arm in block) == list(range(len(losses)))
    sizes = [len(arms) for arms in arms_of_blocks]
    assert max(sizes) <= width
    assert max(sizes) - min(sizes) <= 1
    assert len(sizes) % threads == 0 or len(sizes) == len(losses)  # no core has a block more than another
    assert len(sizes) < -(-len(losses) // width) + threads
    flat = [arm for block in arms_of_blocks for arm in block]
    kinds = [(losses[arm], rates[arm]) for arm in flat]
    assert sum(losses[a] != losses[b] for a, b in pairwise(flat)) == len(set(losses)) - 1  # arms of a loss: neighbours
    assert sum(a != b for a, b in pairwise(kinds)) == len(set(kinds)) - 1  # and within it, arms of a learning rate


def test_the_width_of_a_block_on_two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(blocks, "cache_bytes", lambda: 32 * 2**20)
    notes, digits = VAE(), VAE((8, 8), 8, hidden=(128,))
    for onednn, width in ((True, 1), (False, 3)):
        monkeypatch.setattr(blocks, "has_onednn", lambda device, onednn=onednn: onednn)
        assert width_of(notes, 36, "float32") == width
    assert width_of(notes, 36, "bfloat16") == 3  # 10 MB an arm with its moments, 16 MB a core: as narrow as allowed
    assert width_of(digits, 36, "float32") == width_of(digits, 36, "bfloat16") == 18  # half of the arms to each core
    assert width_of(digits, 5, "float32") == 3
    assert width_of(digits, 1, "float32") == 1
    assert width_of(VAE((8, 8), 8, hidden=(300,)), 99, "float32") == 16 * 2**20 // (16 * 46_280)
    assert width_of(ConvVAE((8, 8), 2), 36, "float32") == 1


@pytest.mark.parametrize("family", FAMILIES)
def test_only_the_vae_itself_is_differentiated_by_hand(family: str) -> None:
    class Derived(VAE):
        def encode(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
            mean, spread = super().encode(x, y)
            return 2 * mean, spread

    stack = small([Arm()], lambda: FAMILIES[family]((8, 8), 2))
    assert type(gradients(stack)) is (Fused if family == "mlp" else Autograd)
    assert type(gradients(small([Arm()], lambda: Derived((8, 8), 2)))) is Autograd


def test_clipping_is_by_the_norm_of_each_arm_over_all_its_weights() -> None:
    leaves = [torch.zeros(3, 2, 4, dtype=torch.float64), torch.zeros(3, 5, dtype=torch.float64)]
    sizes = torch.tensor([0.01, 1, 100], dtype=torch.float64)
    for leaf in leaves:
        leaf.grad = torch.randn(leaf.shape, dtype=leaf.dtype) * sizes.view(3, *[1] * (leaf.ndim - 1))
    before = [leaf.grad.clone() for leaf in leaves if leaf.grad is not None]
    max_norms = [1.0, 0.5, 2.0]
    clip(leaves, torch.tensor(max_norms, dtype=torch.float64))
    for arm, max_norm in enumerate(max_norms):
        alone = [nn.Parameter(leaf[arm].clone()) for leaf in leaves]
        for parameter, gradient in zip(alone, before):
            parameter.grad = gradient[arm].clone()
        torch.nn.utils.clip_grad_norm_(alone, max_norm)
        for parameter, leaf in zip(alone, leaves):
            assert leaf.grad is not None
            torch.testing.assert_close(leaf.grad[arm], parameter.grad, rtol=1e-12, atol=0)


@pytest.mark.parametrize("value", [1e-3, 1e30, torch.inf])
def test_the_gradient_of_an_arm_that_is_not_clipped_stays_as_it_is(value: float) -> None:
    """Also where its norm is beyond the largest float32, as the norm of 1e30 is."""
    leaf = torch.zeros(2, 3)
    leaf.grad = torch.full_like(leaf, value)
    clip([leaf], torch.tensor([torch.inf, 0.5]))
    assert torch.equal(leaf.grad[0], torch.full((3,), value))


def test_norms_are_asked_for_only_where_an_arm_is_clipped() -> None:
    assert clip_norms(small([Arm(), Arm(beta=2)])) is None
    norms = clip_norms(small([Arm(), Arm(clip_norm=2)]))
    assert norms is not None
    assert norms.tolist() == [torch.inf, 2]


class Counting(TorchDispatchMode):
    """Counts what would make a GPU's host wait: numbers read from tensors, shapes that depend on numbers, and numbers
    sent there, as a tensor made from Python's (lift_fresh) or a list of indices (index_put_, index)."""

    READ = ("_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal")
    SENT = ("lift_fresh", "lift_fresh_copy", "index_put_", "index_put", "index", "_index_put_impl_")
    WAITING = (*READ, *SENT)

    def __init__(self) -> None:
        super().__init__()
        self.waits = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.waits += func.overloadpacket.__name__ in self.WAITING
        return func(*args, **(kwargs or {}))


BUILDS: dict[str, Callable[[], nn.Module]] = {
    "by hand": lambda: VAE((4, 4), 2, 3, hidden=(5,)),
    "by autograd": lambda: ConvVAE((4, 4), 2, 3, channels=(3,)),
}


@pytest.mark.parametrize("way", BUILDS)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("clip_norm", [None, 1.0])
@pytest.mark.parametrize("frozen", [False, True])
def test_no_step_waits_for_a_number(way: str, precision: str, clip_norm: float | None, frozen: bool) -> None:
    """However many steps, as many waits: all of them are before the first step and after the last."""
    waits = []
    for steps in (2, 7):
        arms = [Arm("bce", clip_norm=clip_norm), Arm("mae", reduction="mean", learning_rate=0.1)]
        arms = [arm.replace(batch_size=6, precision=precision) for arm in arms]
        block = Block(small(arms, BUILDS[way]), [0, 1])
        if frozen:
            block._freeze(1, (1, 1))
        images = 6 * steps
        data = Batches(
            1, torch.rand(images, 4, 4), torch.randn(images, 2), torch.arange(images) % 3, batches(images, 6, "drop")
        )
        with Counting() as count:
            block.epoch(data, Event())
        waits.append(count.waits)
    assert waits[0] == waits[1]


def test_what_would_wait_is_counted() -> None:
    values = torch.rand(3, 4)
    with Counting() as count:
        values[[0, 2]] = 0
        torch.tensor([1.0])
        float(values.sum())
    assert count.waits >= 3


@pytest.mark.parametrize("way", BUILDS)
def test_a_frozen_arm_stays_at_zero_whatever_its_gradient_is(way: str) -> None:
    """From the epoch after, or where a block is made of arms that had diverged before."""
    names = ("bce", "mse", "tests.own_losses:cubic")
    stack = small([Arm(name, batch_size=6, weight_decay=0.1) for name in names], BUILDS[way])
    for value in stack.parameters.values():
        value[1] = 0
    stack.diverged[1] = (1, 1)
    block = Block(stack, [0, 1, 2])
    for leaf in block._gradients.leaves:
        leaf.grad = torch.full_like(leaf, torch.nan)
    block._update()
    assert all(bool((leaf[1] == 0).all()) for leaf in block._gradients.leaves)
    assert all(bool(leaf[0].isnan().all()) for leaf in block._gradients.leaves)  # only the frozen arm is cleared


def test_a_weights_gradient_that_overflows_alone_is_seen_in_the_next_step() -> None:
    """Factors of 1e20 whose product has no place in float32, while neither is in a bias's gradient out of range."""
    stack = small([Arm(batch_size=2)] * 2)
    for name, value in stack.parameters.items():
        value[0] = 0
        if name == "decoder.0.bias":
            value[0] = 1e20
    block = Block(stack, [0, 1])
    pixels = torch.rand(6, 4, 4)
    pixels[:2] = 1e19
    trace = block.epoch(Batches(1, pixels, torch.randn(6, 2), None, [(0, 2), (2, 4), (4, 6)]), Event())
    assert trace.diverged == {0: (1, 2)}


def test_a_gpu_trains_all_arms_as_one_block() -> None:
    """On torch's device without memory."""
    for build in (lambda: VAE((8, 8), 2, hidden=(3,)), lambda: ConvVAE((8, 8), 2)):
        stack = Stack.create(build, [Arm(beta=beta) for beta in range(36)], dataset="x", seed=0, device="meta")
        assert len(cut(stack)) == 1


def test_a_block_that_is_no_longer_wanted_stops() -> None:
    block = Block(small([Arm(batch_size=2)]), [0])
    stopped = Event()
    stopped.set()
    with pytest.raises(InterruptedError):
        block.epoch(Batches(1, torch.rand(4, 4, 4), torch.randn(4, 2), None, [(0, 2), (2, 4)]), stopped)

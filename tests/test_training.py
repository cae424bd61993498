"""Laws of training: what an arm learns depends on its objective and its seed, and on nothing that stands beside it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import vae
from tests.own_losses import POISON
from vae import VAE, EpochRecord, ImageData, Objective, Stack, Training, UserError, fit
from vae.models import ConvVAE
from vae.streams import fingerprint
from vae.training import blocks
from vae.training.autograd import Engine
from vae.training.fit import batch_order, batches, epoch_noise

COUNT, LATENTS, CLASSES = 70, 3, 4
ARMS = [
    Objective("bce"),
    Objective("mae", "mean", 0.5),
    Objective("bce", "mean-recon-batch", 0.01, "log-std"),
    Objective("mse", "sum", 2, "full-logvar"),
    Objective("tests.own_losses:cubic"),
    Objective("mae", "batch-mean", 4),
    Objective("gaussian-calibrated", beta=0.5),
]


class Derived(VAE):
    """The same network as a module of a user's own: trained through autograd and vmap."""


BUILDS: dict[str, Callable[[], nn.Module]] = {
    "by hand": lambda: VAE((6, 5), LATENTS, hidden=(9, 7)),
    "by autograd": lambda: Derived((6, 5), LATENTS, hidden=(9, 7)),
    "conditional": lambda: VAE((6, 5), LATENTS, CLASSES, hidden=(9,)),
    "convolutional": lambda: ConvVAE((6, 5), LATENTS, CLASSES, channels=(3, 4)),
}
every_way = pytest.mark.parametrize("way", BUILDS)


def images(seed: int = 0, poison: int | None = None) -> ImageData:
    """COUNT made-up images; `poison` marks a pixel of one of them."""
    source = torch.Generator().manual_seed(seed)
    train = torch.rand(COUNT, 6, 5, generator=source).double()
    if poison is not None:
        train[poison, 2, 3] = POISON
    labels = torch.randint(CLASSES, (COUNT,), generator=source)
    return ImageData("made-up", train, train[:9], labels, labels[:9], train[:0], digest="")


def trained(
    way: str,
    arms: Sequence[Objective] = ARMS,
    *,
    dtype: torch.dtype = torch.float64,
    data: ImageData | None = None,
    **options: Any,
) -> tuple[Stack, list[EpochRecord]]:
    stack = Stack.create(BUILDS[way], arms, dataset="made-up", seed=5, dtype=dtype)
    options = {"epochs": 2, "batch_size": 16, "last_batch": "keep", "learning_rate": 1e-2} | options
    return stack, list(fit(stack, data or images(), Training(**options)))


def assert_arms_agree(one: Stack, arms: Sequence[int], other: Stack, others: Sequence[int]) -> None:
    for name in one.parameters:
        found, expected = one.parameters[name][list(arms)], other.parameters[name][list(others)]
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9, msg=name)


def identical(one: Stack, arms: Sequence[int], other: Stack, others: Sequence[int]) -> bool:
    return all(torch.equal(one.parameters[n][list(arms)], other.parameters[n][list(others)]) for n in one.parameters)


@every_way
@pytest.mark.parametrize("options", [{}, {"clip_norm": 0.5, "weight_decay": 0.1}], ids=["plain", "clipped and decayed"])
def test_a_cell_learns_the_same_alone_and_in_a_stack(way: str, options: dict[str, Any]) -> None:
    together, records = trained(way, **options)
    for arm, objective in enumerate(ARMS):
        alone, its_records = trained(way, [objective], **options)
        assert_arms_agree(together, [arm], alone, [0])
        for record, its_record in zip(records, its_records):
            torch.testing.assert_close(record.distortion[arm], its_record.distortion[0], rtol=1e-9, atol=1e-9)
            torch.testing.assert_close(record.rate[arm], its_record.rate[0], rtol=1e-9, atol=1e-9)


@every_way
def test_permuting_the_arms_permutes_the_results(way: str) -> None:
    order = [4, 2, 6, 0, 1, 5, 3]
    straight, records = trained(way)
    permuted, its_records = trained(way, [ARMS[i] for i in order])
    assert_arms_agree(straight, order, permuted, range(len(ARMS)))
    torch.testing.assert_close(records[-1].distortion[order], its_records[-1].distortion, rtol=1e-9, atol=1e-9)


@every_way
def test_cutting_a_stack_changes_nothing(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = trained(way)
    for width in (1, 2, 5):
        monkeypatch.setattr(blocks, "width", lambda stack, precision, width=width: width)
        assert_arms_agree(whole, range(len(ARMS)), trained(way)[0], range(len(ARMS)))
    first, _ = trained(way, ARMS[:3])
    second, _ = trained(way, ARMS[3:])
    assert_arms_agree(whole, [0, 1, 2], first, [0, 1, 2])
    assert_arms_agree(whole, [3, 4, 5, 6], second, [0, 1, 2, 3])


@every_way
@pytest.mark.parametrize(("dtype", "precision"), [(torch.float64, "float64"), (torch.float32, "bfloat16")])
def test_the_same_seed_twice_is_bit_identical(way: str, dtype: torch.dtype, precision: str) -> None:
    (one, records), (other, its_records) = (trained(way, dtype=dtype, precision=precision) for _ in range(2))
    assert identical(one, range(len(ARMS)), other, range(len(ARMS)))
    assert all(torch.equal(a.distortion, b.distortion) for a, b in zip(records, its_records))


def test_the_two_ways_of_finding_gradients_train_alike() -> None:
    for options in ({}, {"clip_norm": 0.5, "weight_decay": 0.1, "last_batch": "drop"}):
        one, records = trained("by hand", **options)
        other, its_records = trained("by autograd", **options)
        assert_arms_agree(one, range(len(ARMS)), other, range(len(ARMS)))
        torch.testing.assert_close(records[-1].distortion, its_records[-1].distortion, rtol=1e-9, atol=1e-9)


def test_an_arm_is_trained_as_torch_would_train_it() -> None:
    """A plain loop with torch's Adam, clipping and decay, on the same batches and noise."""
    objective, data = ARMS[0], images()
    stack = Stack.create(BUILDS["by hand"], [objective], dataset="made-up", seed=5, dtype=torch.float64)
    model = stack.module(0)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2, weight_decay=0.1)
    for epoch in (1, 2):
        order, noise = batch_order(stack, epoch, COUNT), epoch_noise(stack, epoch, COUNT)
        for start, end in batches(COUNT, 16, "keep"):
            x = data.train[order[start:end]]
            mean, logvar = model.encode(x)
            recon = torch.sigmoid(model.decode(mean + torch.exp(logvar / 2) * noise[start:end].double()))
            loss = torch.nn.functional.binary_cross_entropy(recon, x, reduction="sum")
            loss = loss - 0.5 * (1 + logvar - mean.square() - logvar.exp()).sum()
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimiser.step()
    list(fit(stack, data, Training(2, 16, 1e-2, last_batch="keep", weight_decay=0.1, clip_norm=0.5)))
    for name, value in model.named_parameters():
        torch.testing.assert_close(stack.state(0)[name], value.detach(), rtol=1e-9, atol=1e-9, msg=name)


@pytest.mark.parametrize(
    "arm", [Objective("bce", "mean", 0.5), Objective("mse", "mean"), Objective("bce", "mean-recon", 1e-4)]
)
def test_a_reduction_takes_the_path_of_its_sum_only_when_the_epsilon_is_scaled_too(arm: Objective) -> None:
    """Adam forgets a global scale but for its epsilon: 32 steps on real digits, distance relative to the way gone."""
    digits = vae.load("digits", size=16, train=512)
    sizes = {"batch": 128, "pixels": 256, "latents": 8}
    scale, _ = arm.factors(**sizes)

    def weights(objective: Objective, eps: float, epochs: int = 8) -> Tensor:
        stack = Stack.create(
            lambda: VAE((16, 16), 8, hidden=(32,)), [objective], dataset="digits", seed=0, dtype=torch.float64
        )
        start = torch.cat([value.flatten() for value in stack.parameters.values()])
        list(fit(stack, digits, Training(epochs, sizes["batch"], adam_eps=eps)))
        return torch.cat([value.flatten() for value in stack.parameters.values()]) - start

    twin = weights(Objective(arm.loss, "sum", arm.effective_beta(**sizes)), 1e-8)
    assert (weights(arm, 1e-8 * scale) - twin).norm() < 1e-12 * twin.norm()
    assert (weights(arm, 1e-8) - twin).norm() > 1e-3 * twin.norm()  # the break, as people would meet it


def test_order_and_noise_are_the_seeds_alone() -> None:
    stacks = [
        Stack.create(BUILDS[way], arms, dataset="made-up", seed=5)
        for way, arms in (("by hand", ARMS), ("by hand", ARMS[:1]), ("convolutional", ARMS[2:4]))
    ]
    assert len({fingerprint(batch_order(stack, 1, COUNT)) for stack in stacks}) == 1
    assert len({fingerprint(epoch_noise(stack, 1, COUNT)) for stack in stacks}) == 1
    assert len({fingerprint(batch_order(stacks[0], epoch, COUNT)) for epoch in range(1, 9)}) == 8
    assert epoch_noise(stacks[0], 1, COUNT).shape == (COUNT, LATENTS)
    other = Stack.create(BUILDS["by hand"], ARMS, dataset="made-up", seed=6)
    assert fingerprint(batch_order(other, 1, COUNT)) != fingerprint(batch_order(stacks[0], 1, COUNT))


def test_the_ambient_stream_is_neither_used_nor_moved() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    one, _ = trained("by hand")
    assert torch.equal(torch.rand(2), expected)
    assert identical(one, range(7), trained("by hand")[0], range(7))


POISONED = [*ARMS[:2], Objective("tests.own_losses:poisoned"), *ARMS[2:]]
BENIGN = [*ARMS[:2], Objective("tests.own_losses:benign"), *ARMS[2:]]
OTHERS = [arm for arm in range(8) if arm != 2]


@every_way
@pytest.mark.parametrize(("dtype", "precision"), [(torch.float64, "float64"), (torch.float32, "bfloat16")])
@pytest.mark.parametrize("width", [None, 1, 8])
def test_an_arm_driven_to_nan_is_frozen_and_leaves_the_others_bit_identical(
    way: str, dtype: torch.dtype, precision: str, width: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if width is not None:
        monkeypatch.setattr(blocks, "width", lambda stack, precision: width)
    stack = Stack.create(BUILDS[way], POISONED, dataset="made-up", seed=5)
    victim = int(batch_order(stack, 2, COUNT)[37])  # seen in the third batch of the second epoch
    seen_first = int((batch_order(stack, 1, COUNT) == victim).nonzero()) // 16 + 1
    data = images(poison=victim)
    options = {"dtype": dtype, "precision": precision, "data": data, "epochs": 3}
    ill, records = trained(way, POISONED, **options)
    well, its_records = trained(way, BENIGN, **options)
    assert ill.diverged == {2: (1, seen_first)}
    assert [record.diverged for record in records] == [{2: (1, seen_first)}, {}, {}]
    assert well.diverged == {}
    assert identical(ill, OTHERS, well, OTHERS)
    for record, its_record in zip(records, its_records):
        assert torch.equal(record.distortion[OTHERS], its_record.distortion[OTHERS])
        assert torch.equal(record.rate[OTHERS], its_record.rate[OTHERS])
        assert record.distortion[2].isnan()
        assert record.rate[2].isnan()
    assert not any(bool(value[2].any()) for value in ill.parameters.values())


def test_divergence_in_a_later_epoch_is_reported_with_that_epoch() -> None:
    """The image is in a last batch that is dropped in the first epochs, so it is met late."""
    stack = Stack.create(BUILDS["by hand"], POISONED, dataset="made-up", seed=5)
    plan, orders = batches(COUNT, 16, "drop"), [batch_order(stack, epoch, COUNT) for epoch in (1, 2, 3)]
    victim = next(int(i) for i in orders[0][64:] if int(i) in orders[1][:64].tolist())
    step = orders[1].tolist().index(victim) // 16 + 1
    assert step <= len(plan)
    ill, records = trained("by hand", POISONED, data=images(poison=victim), epochs=3, last_batch="drop")
    assert ill.diverged == {2: (2, step)}
    assert torch.isfinite(records[0].distortion).all()


@every_way
def test_a_learning_rate_of_a_million_diverges_and_says_when(way: str) -> None:
    stack, records = trained(way, learning_rate=1e6, dtype=torch.float32, epochs=3)
    assert len(stack.diverged) > 0
    assert all(epoch == 1 and 1 <= step <= 5 for epoch, step in stack.diverged.values())
    assert all(torch.isfinite(value).all() for value in stack.parameters.values())
    gone = [arm in stack.diverged for arm in range(len(ARMS))]
    assert records[-1].rate.isnan().tolist() == gone
    assert records[-1].distortion.isnan().tolist() == gone


def test_training_is_a_generator_that_works_only_when_asked() -> None:
    stack = Stack.create(BUILDS["by hand"], ARMS, dataset="made-up", seed=5, dtype=torch.float64)
    start = {name: value.clone() for name, value in stack.parameters.items()}
    records = fit(stack, images(), Training(epochs=1000, batch_size=16))
    assert inspect.isgenerator(records)
    assert all(torch.equal(start[name], value) for name, value in stack.parameters.items())
    first = next(records)
    assert first.epoch == 1
    assert first.seconds > 0
    after_one, _ = trained("by hand", epochs=1, last_batch="drop", learning_rate=1e-3)
    assert identical(stack, range(7), after_one, range(7))
    records.close()
    assert identical(stack, range(7), after_one, range(7))
    assert not any(value.requires_grad for value in stack.parameters.values())


@every_way
def test_training_learns(way: str) -> None:
    _, records = trained(way, [Objective("mse", beta=0.01)], epochs=30)
    assert records[-1].distortion[0] < records[0].distortion[0]


@torch.no_grad()
def test_distortions_are_logged_at_every_nth_step_and_rates_at_all() -> None:
    """With weights that hardly move, a record is a mean over batches: of five for the rate, of two for the other."""
    options = {"epochs": 1, "log_every": 3, "learning_rate": 1e-15}
    stack, (record,) = trained("by hand", **options)
    engine, data = Engine(stack), images()
    order, noise = batch_order(stack, 1, COUNT), epoch_noise(stack, 1, COUNT).double()
    terms = [engine.terms(data.train[order[a:b]], noise[a:b]) for a, b in batches(COUNT, 16, "keep")]
    distortions, rates = (torch.stack([each.mean(-1) for each in part]) for part in zip(*terms))
    torch.testing.assert_close(record.distortion, distortions[[0, 3]].mean(0), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(record.rate, rates.mean(0), rtol=1e-9, atol=1e-9)


def test_log_every_changes_nothing_but_the_log() -> None:
    one, _ = trained("by hand", log_every=1)
    other, _ = trained("by hand", log_every=7)
    assert identical(one, range(7), other, range(7))


def test_bfloat16_trains_to_about_the_same_losses() -> None:
    digits = vae.load("digits", train=1000)
    found = {}
    for precision in ("float32", "bfloat16"):
        arms = [Objective(name) for name in ("bce", "mse", "mae")]
        stack = Stack.create(lambda: VAE((8, 8), 8, hidden=(64,)), arms, dataset="digits", seed=0)
        found[precision] = list(fit(stack, digits, Training(6, 64, 2e-3, precision=precision)))[-1]
    torch.testing.assert_close(found["bfloat16"].distortion, found["float32"].distortion, rtol=0.01, atol=0)
    torch.testing.assert_close(found["bfloat16"].rate, found["float32"].rate, rtol=0.05, atol=0.05)


@pytest.mark.parametrize(
    ("count", "size", "last", "expected"),
    [
        (10, 4, "drop", [(0, 4), (4, 8)]),
        (10, 4, "keep", [(0, 4), (4, 8), (8, 10)]),
        (8, 4, "keep", [(0, 4), (4, 8)]),
        (3, 4, "drop", []),
        (3, 4, "keep", [(0, 3)]),
    ],
)
def test_batches(count: int, size: int, last: str, expected: list[tuple[int, int]]) -> None:
    assert batches(count, size, last) == expected


def test_a_kept_last_batch_is_trained_on_and_a_dropped_one_is_not() -> None:
    kept, _ = trained("by hand")
    dropped, _ = trained("by hand", last_batch="drop")
    assert not identical(kept, range(7), dropped, range(7))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs=0 must be a whole number, 1 or more"),
        ({"epochs": 2.0}, "epochs=2.0 must be a whole number"),
        ({"batch_size": True}, "batch_size=True must be a whole number"),
        ({"log_every": -1}, "log_every=-1 must be a whole number"),
        ({"learning_rate": 0}, "learning_rate=0 must be a finite number, above 0"),
        ({"learning_rate": math.nan}, "learning_rate=nan must be a finite number"),
        ({"learning_rate": "fast"}, "learning_rate='fast' must be a finite number"),
        ({"adam_eps": -1e-8}, "adam_eps=-1e-08 must be a finite number, above 0"),
        ({"weight_decay": -1}, "weight_decay=-1 must be a finite number, 0 or more"),
        ({"clip_norm": 0}, "clip_norm=0 must be a finite number, above 0"),
        ({"last_batch": "keeep"}, r"last_batch='keeep' is not one of \['drop', 'keep'\]. Did you mean 'keep'\?"),
        ({"precision": "bf16"}, r"precision='bf16' is not one of .* Did you mean 'bfloat16'\?"),
    ],
)
def test_settings_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Training(**options)


def unlabelled() -> ImageData:
    data = images()
    return ImageData("bare", data.train, data.test, None, None, data.held_out, digest="")


@pytest.mark.parametrize(
    ("way", "data", "options", "message"),
    [
        ("by hand", images(), {"batch_size": 71}, r"batch_size=71 is larger than the 70 training images; lower it"),
        ("conditional", unlabelled(), {}, r"dataset='bare' has no labels, which a conditional model needs"),
        (
            "by hand",
            images(),
            {"precision": "float64"},
            r"precision='float64' needs a stack made with dtype=torch.float64",
        ),
    ],
)
def test_what_cannot_be_trained_is_refused(way: str, data: ImageData, options: dict[str, Any], message: str) -> None:
    stack = Stack.create(BUILDS[way], ARMS[:1], dataset="made-up", seed=5)
    with pytest.raises(UserError, match=message):
        next(fit(stack, data, Training(**{"batch_size": 16} | options)))


def test_images_of_another_shape_are_refused() -> None:
    stack = Stack.create(lambda: VAE((5, 6), 2), ARMS[:1], dataset="made-up", seed=5)
    with pytest.raises(UserError, match=r"images of shape \(6, 5\) do not fit a model of image_shape=\(5, 6\)"):
        next(fit(stack, images(), Training(batch_size=7)))


def test_a_users_loss_that_raises_raises_here_and_leaves_the_stack_as_it_was() -> None:
    arms = [*ARMS[:3], Objective("tests.own_losses:impatient")]
    stack = Stack.create(BUILDS["by hand"], arms, dataset="made-up", seed=5)
    start = {name: value.clone() for name, value in stack.parameters.items()}
    with pytest.raises(RuntimeError, match="not today"):
        next(fit(stack, images(), Training(batch_size=16)))
    assert all(torch.equal(start[name], value) for name, value in stack.parameters.items())

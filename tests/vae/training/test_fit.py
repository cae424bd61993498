"""Laws of training: what an arm learns depends on its objective and its seed, and on nothing that stands beside it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch

import vae
from tests.stack_samples import (
    BUILDS,
    COUNT,
    LATENTS,
    arms_with,
    assert_arms_agree,
    identical,
    images,
    new_stack,
    train,
    weights,
)
from vae import VAE, Arm, EpochRecord, ImageData, Stack, UserError, fit
from vae.objectives import term_weights
from vae.streams import fingerprint
from vae.training import blocks
from vae.training.autograd import Engine
from vae.training.fit import batch_order, batches, epoch_noise
from vae.training.settings import Training

ARMS = [
    Arm("bce"),
    Arm("mae", reduction="mean", beta=0.5),
    Arm("bce", reduction="mean-recon-batch", beta=0.01, posterior="log-std"),
    Arm("mse", beta=2, posterior="full-logvar", learning_rate=3e-2),
    Arm("tests.own_losses:cubic", weight_decay=0.1),
    Arm("mae", reduction="batch-mean", beta=4, clip_norm=0.5),
    Arm("gaussian-calibrated", beta=0.5, adam_eps=1e-4),
]
ALL = range(len(ARMS))
every_way = pytest.mark.parametrize("way", BUILDS)
every_precision = pytest.mark.parametrize("precision", ["float64", "bfloat16"])


def trained(
    way: str, arms: Sequence[Arm] = ARMS, data: ImageData | None = None, **settings: Any
) -> tuple[Stack, list[EpochRecord]]:
    return train(BUILDS[way], arms_with(arms, **settings), data)


@every_way
def test_a_cell_learns_the_same_alone_and_in_a_stack(way: str) -> None:
    together, records = trained(way)
    for index, arm in enumerate(ARMS):
        alone, its_records = trained(way, [arm])
        assert_arms_agree(together, [index], alone, [0])
        for record, its_record in zip(records, its_records):
            torch.testing.assert_close(record.distortion[index], its_record.distortion[0], rtol=1e-9, atol=1e-9)
            torch.testing.assert_close(record.rate[index], its_record.rate[0], rtol=1e-9, atol=1e-9)


@every_way
def test_permuting_the_arms_permutes_the_results(way: str) -> None:
    order = [4, 2, 6, 0, 1, 5, 3]
    straight, records = trained(way)
    permuted, its_records = trained(way, [ARMS[i] for i in order])
    assert_arms_agree(straight, order, permuted, ALL)
    torch.testing.assert_close(records[-1].distortion[order], its_records[-1].distortion, rtol=1e-9, atol=1e-9)


@every_way
def test_cutting_a_stack_changes_nothing(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = trained(way)
    for width in (1, 2, 5):
        monkeypatch.setattr(blocks, "width", lambda stack, width=width: width)
        assert_arms_agree(whole, ALL, trained(way)[0], ALL)
    first, _ = trained(way, ARMS[:3])
    second, _ = trained(way, ARMS[3:])
    assert_arms_agree(whole, [0, 1, 2], first, [0, 1, 2])
    assert_arms_agree(whole, [3, 4, 5, 6], second, [0, 1, 2, 3])


@every_way
@every_precision
def test_the_same_seed_twice_is_bit_identical(way: str, precision: str) -> None:
    (one, records), (other, its_records) = (trained(way, precision=precision) for _ in range(2))
    assert identical(one, ALL, other, ALL)
    assert all(torch.equal(a.distortion, b.distortion) for a, b in zip(records, its_records))


def test_gradients_by_hand_and_by_autograd_train_alike() -> None:
    for options in ({}, {"clip_norm": 0.5, "weight_decay": 0.1, "last_batch": "drop"}):
        one, records = trained("by hand", **options)
        other, its_records = trained("by autograd", **options)
        assert_arms_agree(one, ALL, other, ALL)
        torch.testing.assert_close(records[-1].distortion, its_records[-1].distortion, rtol=1e-9, atol=1e-9)


def test_an_arm_is_trained_as_torch_would_train_it() -> None:
    """A plain loop with torch's Adam, clipping and decay, on the same batches and noise."""
    data = images()
    stack = new_stack(BUILDS["by hand"], arms_with(ARMS[:1], weight_decay=0.1, clip_norm=0.5))
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
    list(fit(stack, data))
    for name, value in model.named_parameters():
        torch.testing.assert_close(stack.state(0)[name], value.detach(), rtol=1e-9, atol=1e-9, msg=name)


@pytest.mark.parametrize(
    "arm",
    [Arm(reduction="mean", beta=0.5), Arm("mse", reduction="mean"), Arm(reduction="mean-recon", beta=1e-4)],
    ids=str,
)
def test_a_reduction_takes_the_path_of_its_sum_only_when_the_epsilon_is_scaled_too(arm: Arm) -> None:
    """A global scale changes Adam's steps only through its epsilon: 32 steps on real digits, distances relative to the
    length of the path."""
    digits = vae.load("digits", size=16, train=512)
    arm = arm.replace(latents=8, batch_size=128, epochs=8, precision="float64")
    scale, _ = term_weights(arm.reduction, arm.beta, batch=128, pixels=256, latents=8)
    twin = vae.arms.sum_twin(arm, arm.effective_beta(256))
    arms = [twin, arm.replace(adam_eps=1e-8 * scale), arm]
    stack = Stack.create(lambda: VAE((16, 16), 8, hidden=(32,)), arms, dataset="digits", seed=0)
    start = weights(stack, 0)
    list(fit(stack, digits))
    of_twin, scaled, unscaled = (weights(stack, index) - start for index in range(3))
    assert (scaled - of_twin).norm() < 1e-12 * of_twin.norm()
    assert (unscaled - of_twin).norm() > 1e-3 * of_twin.norm()  # the break, as people would meet it


def test_order_and_noise_are_the_seeds_alone() -> None:
    ways = (("by hand", ARMS), ("by hand", ARMS[:1]), ("convolutional", ARMS[2:4]))
    stacks = [new_stack(BUILDS[way], arms) for way, arms in ways]
    assert len({fingerprint(batch_order(stack, 1, COUNT)) for stack in stacks}) == 1
    assert len({fingerprint(epoch_noise(stack, 1, COUNT)) for stack in stacks}) == 1
    assert len({fingerprint(batch_order(stacks[0], epoch, COUNT)) for epoch in range(1, 9)}) == 8
    assert epoch_noise(stacks[0], 1, COUNT).shape == (COUNT, LATENTS)
    other = new_stack(BUILDS["by hand"], ARMS, seed=6)
    assert fingerprint(batch_order(other, 1, COUNT)) != fingerprint(batch_order(stacks[0], 1, COUNT))


def test_the_ambient_stream_is_neither_used_nor_moved() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    one, _ = trained("by hand")
    assert torch.equal(torch.rand(2), expected)
    assert identical(one, ALL, trained("by hand")[0], ALL)


POISONED = [*ARMS[:2], Arm("tests.own_losses:poisoned"), *ARMS[2:]]
BENIGN = [*ARMS[:2], Arm("tests.own_losses:benign"), *ARMS[2:]]
OTHERS = [arm for arm in range(8) if arm != 2]


@every_way
@every_precision
@pytest.mark.parametrize("width", [None, 1, 8])
def test_an_arm_driven_to_nan_is_frozen_and_leaves_the_others_bit_identical(
    way: str, precision: str, width: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if width is not None:
        monkeypatch.setattr(blocks, "width", lambda stack: width)
    stack = new_stack(BUILDS[way], POISONED)
    victim = int(batch_order(stack, 2, COUNT)[37])  # seen in the third batch of the second epoch
    seen_first = int((batch_order(stack, 1, COUNT) == victim).nonzero()) // 16 + 1
    data = images(poison=victim)
    ill, records = trained(way, POISONED, data, precision=precision, epochs=3)
    well, its_records = trained(way, BENIGN, data, precision=precision, epochs=3)
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
    stack = new_stack(BUILDS["by hand"], POISONED)
    plan, orders = batches(COUNT, 16, "drop"), [batch_order(stack, epoch, COUNT) for epoch in (1, 2, 3)]
    victim = next(int(i) for i in orders[0][64:] if int(i) in orders[1][:64].tolist())
    step = orders[1].tolist().index(victim) // 16 + 1
    assert step <= len(plan)
    ill, records = trained("by hand", POISONED, images(poison=victim), epochs=3, last_batch="drop")
    assert ill.diverged == {2: (2, step)}
    assert torch.isfinite(records[0].distortion).all()


@every_way
def test_a_learning_rate_of_a_million_diverges_and_says_when(way: str) -> None:
    stack, records = trained(way, learning_rate=1e6, precision="float32", epochs=3)
    assert len(stack.diverged) > 0
    assert all(epoch == 1 and 1 <= step <= 5 for epoch, step in stack.diverged.values())
    assert all(torch.isfinite(value).all() for value in stack.parameters.values())
    diverged = [arm in stack.diverged for arm in ALL]
    assert records[-1].rate.isnan().tolist() == diverged
    assert records[-1].distortion.isnan().tolist() == diverged


def test_training_is_a_generator_that_works_only_when_asked() -> None:
    stack = new_stack(BUILDS["by hand"], arms_with(ARMS, epochs=1000, last_batch="drop"))
    start = {name: value.clone() for name, value in stack.parameters.items()}
    records = fit(stack, images())
    assert inspect.isgenerator(records)
    assert all(torch.equal(start[name], value) for name, value in stack.parameters.items())
    first = next(records)
    assert first.epoch == 1
    assert first.seconds > 0
    after_one, _ = trained("by hand", epochs=1, last_batch="drop")
    assert identical(stack, ALL, after_one, ALL)
    records.close()
    assert identical(stack, ALL, after_one, ALL)
    assert not any(value.requires_grad for value in stack.parameters.values())


@every_way
def test_training_learns(way: str) -> None:
    _, records = trained(way, [Arm("mse", beta=0.01)], epochs=30)
    assert records[-1].distortion[0] < records[0].distortion[0]


@torch.no_grad()
def test_distortions_are_logged_at_every_nth_step_and_rates_at_all() -> None:
    """With weights that hardly move, a record is a mean over batches: of five for the rate, of two for the other."""
    stack, (record,) = trained("by hand", epochs=1, log_every=3, learning_rate=1e-15, weight_decay=0)
    engine, data = Engine(stack), images()
    order, noise = batch_order(stack, 1, COUNT), epoch_noise(stack, 1, COUNT).double()
    terms = [engine.terms(data.train[order[a:b]], noise[a:b]) for a, b in batches(COUNT, 16, "keep")]
    distortions, rates = (torch.stack([values.mean(-1) for values in part]) for part in zip(*terms))
    torch.testing.assert_close(record.distortion, distortions[[0, 3]].mean(0), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(record.rate, rates.mean(0), rtol=1e-9, atol=1e-9)


def test_log_every_changes_nothing_but_the_log() -> None:
    one, _ = trained("by hand", log_every=1)
    other, _ = trained("by hand", log_every=7)
    assert identical(one, ALL, other, ALL)


def test_bfloat16_trains_to_about_the_same_losses() -> None:
    digits = vae.load("digits", train=1000)
    last = []
    for precision in ("float32", "bfloat16"):
        settings = {"epochs": 6, "batch_size": 64, "learning_rate": 2e-3, "precision": precision}
        arms = [Arm(name, **settings) for name in ("bce", "mse", "mae")]
        stack = Stack.create(lambda: VAE((8, 8), 8, hidden=(64,)), arms, dataset="digits", seed=0)
        last.append(list(fit(stack, digits))[-1])
    exact, rounded = last
    torch.testing.assert_close(rounded.distortion, exact.distortion, rtol=0.01, atol=0)
    torch.testing.assert_close(rounded.rate, exact.rate, rtol=0.05, atol=0.05)


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


@pytest.mark.parametrize(
    ("settings", "message"),
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
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    for build in (Training, Arm):
        with pytest.raises(UserError, match=message):
            build(**settings)


def unlabelled() -> ImageData:
    data = images()
    return ImageData("bare", data.train, data.test, None, None, data.held_out, digest="")


@pytest.mark.parametrize(
    ("way", "data", "settings", "message"),
    [
        (
            "by hand",
            images(),
            {"batch_size": 71, "last_batch": "drop"},
            r"batch_size=71 is larger than the 70 training images; lower it, or set last_batch='keep'",
        ),
        ("conditional", unlabelled(), {}, r"dataset='bare' has no labels, which a conditional model needs"),
    ],
)
def test_what_cannot_be_trained_is_refused(way: str, data: ImageData, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        trained(way, ARMS, data, **settings)


def test_images_of_another_shape_are_refused() -> None:
    with pytest.raises(UserError, match=r"images of shape \(6, 5\) do not fit a model of image_shape=\(5, 6\)"):
        train(lambda: VAE((5, 6), 2), arms_with(ARMS))


def test_a_users_loss_that_raises_raises_here_and_leaves_the_stack_as_it_was() -> None:
    stack = new_stack(BUILDS["by hand"], arms_with([*ARMS[:3], Arm("tests.own_losses:impatient")]))
    start = {name: value.clone() for name, value in stack.parameters.items()}
    with pytest.raises(RuntimeError, match="not today"):
        next(fit(stack, images()))
    assert all(torch.equal(start[name], value) for name, value in stack.parameters.items())

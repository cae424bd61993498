"""Memory: what is predicted against what is used, and how many arms that allows."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from vae import VAE, ImageData, UserError, load
from vae.models import ConvVAE
from vae.training import memory
from vae.training.memory import activation_bytes, arms_that_fit, free_bytes, stack_bytes
from vae.training.settings import Training

MIB = 2**20

START = """
from pathlib import Path

import torch

from ablations import evaluation, measures
from ablations.evaluation import Evaluator, epoch_scores, measuring_bytes
from ablations.sections import Evaluation
from vae import VAE, Arm, ImageData, Stack, fit
from vae.models import ConvVAE
from vae.training.memory import stack_bytes

torch.set_num_threads(2)

def made_up(count, tests, *shape):
    images = torch.rand(count, *shape)
    return ImageData("made-up", images, torch.rand(tests, *shape), None, None, images[:0], digest="")

def run(data, arms, build, arm, scored=0):
    stack = Stack.create(build, [arm.replace(beta=1 + i) for i in range(arms)], dataset="made-up", seed=0)
    for _ in fit(stack, data):
        epoch_scores(stack, data, scored)

def peak():  # of this program: ru_maxrss includes the test runner that it was forked from
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmHWM"].split()[0]) * 1024

small = made_up(300, 600, 28, 28)
run(small, 1, lambda: VAE((28, 28), 2, hidden=(2,)), Arm(epochs=1), 9)  # what torch loads at its first step
"""

TRAINED = """
data, arm = made_up(300, 600, *{shape}), Arm(epochs=1, precision="{precision}")
before = peak()
run(data, {arms}, lambda: {model}, arm, {scored})
print(stack_bytes({model}, {arms}, data, arm.training), peak() - before)
"""

MEASURED = """
# Slow, and in pieces of their own.
measures.sharpness_scores = lambda images, *_: dict(acutance=torch.zeros(len(images)))
measures.similarity_scores = measures.pooled_scores = lambda *_: dict()
evaluation.transfer = lambda *_: None
evaluation._OneCell._pictures = lambda *_: dict()
data, model = made_up(200, 700, 3, 64, 64), {model}
settings = Evaluation(generated=50, iwae_images=3, iwae_samples=2)
one = Evaluator(data, settings, cache=Path("unused"), device=torch.device("cpu"))
one.edges
before = peak()
one.measure(model, Arm(), 0)
print(measuring_bytes(model, data, settings, torch.device("cpu")), peak() - before)
"""


def outcome(code: str) -> tuple[int, int]:
    """Bytes predicted and bytes used by a program of its own."""
    # Large tensors get pages of their own, so that the peak is what the program holds at once, and not also the holes
    # that the C library leaves between them, which differ by a factor of two from run to run.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": str(2**18)}
    command = [sys.executable, "-c", START + code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    predicted, used = (int(number) for number in done.stdout.split())
    return predicted, used


@pytest.fixture
def digits() -> ImageData:
    return load("digits")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(memory, "free_bytes", lambda device="cpu": 200 * MIB)
    return monkeypatch


@pytest.mark.parametrize(
    ("arms", "shape", "model", "precision", "scored"),
    [
        (24, (28, 28), "VAE((28, 28), 20, hidden=(400,))", "float32", 0),
        (24, (28, 28), "VAE((28, 28), 20, hidden=(400,))", "bfloat16", 0),
        (12, (8, 8), "VAE((8, 8), 4, hidden=(3000,))", "float32", 600),  # the widest layer is not the images
        (12, (28, 28), "ConvVAE((28, 28), 20)", "float32", 600),
    ],
)
def test_a_prediction_is_right_within_a_factor_of_two(
    arms: int, shape: tuple[int, ...], model: str, precision: str, scored: int
) -> None:
    predicted, used = outcome(TRAINED.format(arms=arms, shape=shape, model=model, precision=precision, scored=scored))
    assert used / 2 < predicted < 2 * used, f"predicted {predicted / MIB:.0f}, used {used / MIB:.0f} MiB"


@pytest.mark.parametrize("model", ["VAE((3, 64, 64), 4)", "ConvVAE((3, 64, 64), 4)"])
def test_measuring_large_pictures_takes_what_is_predicted_and_not_several_test_sets(model: str) -> None:
    predicted, used = outcome(MEASURED.format(model=model))
    whole = 700 * 3 * 64 * 64 * 4
    assert used / 2 < predicted < 2 * used, f"predicted {predicted / MIB:.0f}, used {used / MIB:.0f} MiB"
    assert used < 7 * whole, f"used {used / MIB:.0f} MiB for test images of {whole / MIB:.0f}"


def test_a_stack_leaves_room_for_measuring_its_cells(machine: pytest.MonkeyPatch, digits: ImageData) -> None:
    model, training = VAE((8, 8), 8), Training()
    free = arms_that_fit(model, digits, training)
    assert free == arms_that_fit(model, digits, training, measuring=MIB)  # training takes more
    assert arms_that_fit(model, digits, training, between=60 * MIB) < free
    tight = arms_that_fit(model, digits, training, measuring=60 * MIB)
    assert 1 <= tight < free
    assert stack_bytes(model, tight, digits, training, measuring=60 * MIB) <= 100 * MIB
    with pytest.raises(UserError, match=r"needs about .* to train and measure"):
        arms_that_fit(model, digits, training, measuring=90 * MIB)


def test_more_of_anything_takes_more(digits: ImageData) -> None:
    def needs(arms: int = 8, hidden: int = 64, batch: int = 64, precision: str = "float32") -> int:
        model = VAE((8, 8), 8, hidden=(hidden,))
        return stack_bytes(model, arms, digits, Training(batch_size=batch, precision=precision))

    assert needs() < needs(arms=9)
    assert needs() < needs(hidden=65)
    assert needs() <= needs(batch=4096)
    assert needs() < needs(precision="float64")
    conv, training = ConvVAE((8, 8), 8), Training()
    assert stack_bytes(conv, 8, digits, training) > stack_bytes(conv, 7, digits, training)


def test_images_are_only_counted_where_they_are_copied(digits: ImageData) -> None:
    model, training = VAE((8, 8), 8), Training()
    on_gpu, on_cpu = (stack_bytes(model, 1, digits, training, device=device) for device in ("cuda", "cpu"))
    assert on_gpu - on_cpu >= digits.train.nbytes


@pytest.mark.parametrize("model", [VAE((8, 8), 8, hidden=(64,)), ConvVAE((8, 8), 8), VAE((8, 8), 8, 10)])
def test_as_many_arms_as_fit_into_half_of_what_is_free(
    machine: pytest.MonkeyPatch, digits: ImageData, model: nn.Module
) -> None:
    arms = arms_that_fit(model, digits, Training())
    assert arms > 1
    assert stack_bytes(model, arms, digits, Training()) <= 100 * MIB


def test_where_not_one_arm_fits_a_person_is_told(machine: pytest.MonkeyPatch, digits: ImageData) -> None:
    large = VAE((8, 8), 8, hidden=(3000, 2000))
    with pytest.raises(UserError, match=r"one arm of this model needs about \d+ MiB .* is 100 MiB: lower batch_size"):
        arms_that_fit(large, digits, Training())


def test_activations_are_counted_per_image_and_weights_are_not() -> None:
    narrow, wide = (activation_bytes(VAE((8, 8), 8, hidden=(h,)), torch.float32) for h in (100, 200))
    assert 2 * 100 * 4 <= wide - narrow <= 4 * 100 * 4  # two hidden layers, each kept once or twice
    assert activation_bytes(VAE((8, 8), 8, hidden=(100,)), torch.float64) == 2 * narrow
    assert activation_bytes(VAE((8, 8), 8, 10, hidden=(100,)), torch.float32) > narrow


def test_free_memory_is_the_machines_within_its_containers_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = free_bytes()
    assert 16 * MIB < everything < 2**50
    limit, use, statistics = tmp_path / "max", tmp_path / "current", tmp_path / "stat"
    monkeypatch.setattr(memory, "LIMITS", (str(limit),))
    monkeypatch.setattr(memory, "USES", (str(use),))
    monkeypatch.setattr(memory, "CACHES", ((str(statistics), "inactive_file"),))
    limit.write_text("max\n")
    assert free_bytes() > everything / 2
    limit.write_text(f"{9 * MIB}\n")
    assert free_bytes() == 9 * MIB
    use.write_text(f"{2 * MIB}\n")
    assert free_bytes() == 7 * MIB
    use.write_text(f"{20 * MIB}\n")
    assert free_bytes() == 0
    statistics.write_text(f"anon {9 * MIB}\ninactive_file {15 * MIB}\nactive_file {4 * MIB}\n")  # v2's, and v1's
    assert free_bytes() == 4 * MIB  # pages of files that nobody looked at lately are as good as free
    statistics.write_text(f"inactive_file {99 * MIB}\n")
    assert free_bytes() == 9 * MIB

"""Memory: what is predicted against what is used, and how many arms that allows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from vae import VAE, ImageData, Training, UserError, load, memory
from vae.memory import activation_bytes, arms_that_fit, free_bytes, stack_bytes
from vae.models import ConvVAE

MIB = 2**20

MEASURED = """
import torch
from pathlib import Path
from vae import VAE, ImageData, Objective, Stack, Training, fit
from vae.memory import stack_bytes
from vae.models import ConvVAE

torch.set_num_threads(2)
images = torch.rand(300, 28, 28)
data = ImageData("made-up", images, images[:9], None, None, images[:0], digest="")
training = Training(epochs=2, precision="{precision}")

def run(arms, build):
    stack = Stack.create(build, [Objective(beta=1 + i) for i in range(arms)], dataset="made-up", seed=0)
    list(fit(stack, data, training))

def peak():  # of this program: ru_maxrss would remember the test runner it was forked from
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmHWM"].split()[0]) * 1024

run(1, lambda: VAE((28, 28), 2, hidden=(2,)))  # what torch loads at its first step is not the stack's
before = peak()
run({arms}, lambda: {model})
print(stack_bytes({model}, {arms}, data, training), peak() - before)
"""


@pytest.fixture
def digits() -> ImageData:
    return load("digits")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(memory, "free_bytes", lambda device="cpu": 200 * MIB)
    return monkeypatch


@pytest.mark.parametrize(
    ("arms", "model", "precision"),
    [
        (24, "VAE((28, 28), 20, hidden=(400,))", "float32"),
        (24, "VAE((28, 28), 20, hidden=(400,))", "bfloat16"),
        (24, "ConvVAE((28, 28), 20)", "float32"),
    ],
)
def test_a_prediction_is_right_within_a_factor_of_two(arms: int, model: str, precision: str) -> None:
    code = MEASURED.format(arms=arms, model=model, precision=precision)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    predicted, measured = (int(number) for number in done.stdout.split())
    assert measured / 2 < predicted < 2 * measured, f"predicted {predicted / MIB:.0f}, used {measured / MIB:.0f} MiB"


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
    limit, use = tmp_path / "max", tmp_path / "current"
    monkeypatch.setattr(memory, "LIMITS", (str(limit),))
    monkeypatch.setattr(memory, "USES", (str(use),))
    limit.write_text("max\n")
    assert free_bytes() > everything / 2
    limit.write_text(f"{9 * MIB}\n")
    assert free_bytes() == 9 * MIB
    use.write_text(f"{2 * MIB}\n")
    assert free_bytes() == 7 * MIB
    use.write_text(f"{20 * MIB}\n")
    assert free_bytes() == 0

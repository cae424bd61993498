"""Facts of training images: grey levels, ground and spectrum, whatever their number and wherever they are cut."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from vae import load
from vae.datasets import facts
from vae.datasets.facts import covariance_eigenvalues, grey_levels, light_ground


def uniform(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=[1 << 22, 7])
def cut(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "_AT_ONCE", request.param)


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize("count", [2, 3, 5, 16, 17, 129, 256])
def test_levels_are_counted_however_they_are_stored(count: int) -> None:
    levels = torch.arange(count, dtype=torch.float64) / (count - 1)
    shuffled = levels[torch.randperm(count, generator=torch.Generator().manual_seed(1))]
    for dtype in (torch.float32, torch.float64):
        assert grey_levels(shuffled.to(dtype).repeat(2)) == count


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize(
    "images",
    [
        torch.tensor([0.0, 128 / 255, 1.0]),  # bytes, unequally spaced
        torch.tensor([0.0, 0.1, 1.0]),
        torch.tensor([0.25, 0.5, 0.75]),  # white and black are missing
        torch.zeros(9),
        torch.linspace(0, 1, 300),
        uniform(400),
    ],
    ids=["bytes", "gap", "inner", "one", "many", "noise"],
)
def test_images_of_other_levels_count_as_bytes(images: Tensor) -> None:
    assert grey_levels(images) == 256


def test_digits_have_17_levels() -> None:
    assert grey_levels(load("digits").train) == 17


@pytest.mark.usefixtures("cut")
def test_a_light_ground_is_the_median_pixel_and_inverting_changes_it() -> None:
    strokes = (uniform(5, 9, 8) < 0.3).float()
    assert not light_ground(strokes)
    assert light_ground(1 - strokes)
    assert not light_ground(torch.tensor([1.0, 0.0]))  # half is not more than half


@pytest.mark.parametrize("widest", [4096, 20])
def test_eigenvalues_are_those_of_the_covariance_of_pixels(widest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "_WIDEST", widest)
    monkeypatch.setattr(facts, "_AT_ONCE", 100)
    images = uniform(17, 7, 6) @ torch.diag(torch.arange(6.0) / 6)
    rows = images.flatten(1).double().numpy()
    wanted = np.linalg.eigvalsh(np.cov(rows.T, bias=True))[::-1]
    measured = covariance_eigenvalues(images, most=10)
    assert measured == pytest.approx(wanted[:10].tolist(), rel=1e-9, abs=1e-12)
    assert covariance_eigenvalues(images, most=99)[:10] == measured
    assert min(covariance_eigenvalues(images)) >= 0

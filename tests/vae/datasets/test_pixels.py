"""Pixels keep what they show, whatever they are stored as."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from vae.datasets.pixels import check_sides, digest, recolour, resize, snap, unit
from vae.datasets.request import MAX_SIDE, MIN_SIDE
from vae.errors import UserError

LEVELS = torch.arange(256, dtype=torch.uint8)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_every_level_survives_being_stored_as_a_float(dtype: torch.dtype) -> None:
    assert torch.equal(snap(unit(LEVELS).to(dtype)), LEVELS)


def test_values_between_levels_stay_as_they_are() -> None:
    values = torch.arange(17) / 16
    assert torch.equal(snap(values), values)
    assert torch.equal(unit(snap(values)), values)


@given(hnp.arrays(np.uint8, (2, 5, 4, 3)))
def test_grey_of_levels_is_pillows(colours: np.ndarray) -> None:
    ours = recolour(torch.from_numpy(colours).permute(0, 3, 1, 2), colour=False)
    reference = np.stack([np.asarray(Image.fromarray(picture).convert("L")) for picture in colours])
    assert np.array_equal(ours.numpy(), reference)


def test_grey_of_floats_is_the_same_luma() -> None:
    levels = torch.randint(0, 256, (3, 3, 6, 5), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    exact = recolour(unit(levels), colour=False)
    rounded = unit(recolour(levels, colour=False))
    assert (exact - rounded).abs().max() <= 0.51 / 255


def test_grey_to_colour_and_back() -> None:
    grey = LEVELS.reshape(2, 16, 8)
    colour = recolour(grey, colour=True)
    assert colour.shape == (2, 3, 16, 8)
    assert torch.equal(recolour(colour, colour=False), grey)
    assert recolour(colour, colour=True) is colour
    assert recolour(grey, colour=False) is grey


@pytest.mark.parametrize("size", [7, 20, 40])
@pytest.mark.parametrize("shape", [(2, 30, 17), (2, 3, 30, 17)])
def test_resizing_agrees_with_torch(size: int, shape: tuple[int, ...]) -> None:
    """Both are antialiased triangle filters; Pillow's integer arithmetic rounds after each axis."""
    levels = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    planes = unit(levels) if len(shape) == 4 else unit(levels)[:, None]
    reference = torch.nn.functional.interpolate(planes, (size, size), mode="bilinear", antialias=True)
    reference = reference.reshape(*shape[:-2], size, size)
    assert (unit(resize(levels, size)) - reference).abs().max() <= 1.01 / 255
    assert (resize(unit(levels), size) - reference).abs().max() <= 1e-5


def test_resizing_to_what_it_is_changes_nothing() -> None:
    square = LEVELS.reshape(1, 16, 16)
    assert resize(square, 16) is square
    assert resize(square, None) is square


def test_resized_white_floats_stay_in_range() -> None:
    assert torch.equal(resize(torch.ones(1, 31, 23), 9), torch.ones(1, 9, 9))


@pytest.mark.parametrize("sides", [(MIN_SIDE - 1, 20), (20, MIN_SIDE - 1), (MAX_SIDE + 1, 20), (20, MAX_SIDE + 1)])
def test_sides_out_of_range_are_refused(sides: tuple[int, int]) -> None:
    height, width = sides
    with pytest.raises(UserError, match=rf"^x: pictures of {width}×{height} pixels .* too (small|large)"):
        check_sides("x", height, width)
    check_sides("x", MIN_SIDE, MAX_SIDE)


@given(st.permutations(range(3)))
def test_digest_reads_contents_and_not_memory(order: list[int]) -> None:
    """A view with its axes in another order in memory is the same data."""
    data = torch.arange(24, dtype=torch.uint8).reshape(2, 3, 4)
    back = [order.index(axis) for axis in range(3)]
    assert digest({"x": data.permute(order).contiguous().permute(back)}) == digest({"x": data})


def test_digest_tells_apart_what_differs() -> None:
    a, b = torch.arange(6, dtype=torch.uint8), torch.arange(6, 12, dtype=torch.uint8)
    parts = [
        {"train": a},
        {"train": b},
        {"test": a},
        {"train": a.reshape(2, 3)},
        {"train": a.to(torch.int64)},
        {"train": a.to(torch.float32)},
        {"train": a, "test": b},
        {"train": a[:3], "held_out": a[3:]},
        {"train": a[:2], "held_out": a[2:]},
        {"train": a, "test": a[:0]},
    ]
    assert len({digest(part) for part in parts}) == len(parts)
    assert digest({"train": a, "labels": None}) == digest({"train": a})

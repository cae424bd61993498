"""An .npz file: what is read, and every refusal with the name of the array."""

from __future__ import annotations

import contextlib
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vae.datasets.load import load
from vae.datasets.npz import read_npz
from vae.errors import UserError

RNG = np.random.default_rng(0)
TRAIN = RNG.integers(0, 256, (5, 9, 8), dtype=np.uint8)
TEST = RNG.integers(0, 256, (3, 9, 8), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (5, 9, 8, 3), dtype=np.uint8)


def saved(folder: Path, **arrays: Any) -> Path:
    """An .npz file with two good splits, unless others are given; None takes one away."""
    contents = {"train": TRAIN, "test": TEST, **arrays}
    np.savez(folder / "x.npz", **{key: array for key, array in contents.items() if array is not None})
    return folder / "x.npz"


def test_levels_come_back_as_they_were(tmp_path: Path) -> None:
    data = load(saved(tmp_path))
    assert data.name == "x"
    assert data.train.dtype == torch.float32
    assert np.array_equal(data.train.numpy(), TRAIN / np.float32(255))
    assert np.array_equal(data.test.numpy(), TEST / np.float32(255))
    assert data.train_labels is None
    assert data.classes == ()


@pytest.mark.parametrize("compressed", [False, True])
def test_labels_are_classes(tmp_path: Path, compressed: bool) -> None:
    save = np.savez_compressed if compressed else np.savez
    labels = {"train_labels": np.array([0, 1, 2, 1, 0], np.uint8), "test_labels": np.array([3, 0, 1])}
    save(tmp_path / "x.npz", train=TRAIN, test=TEST, **labels)
    data = load(tmp_path / "x.npz", held_out=2)
    assert data.train_labels is not None
    assert data.test_labels is not None
    assert (data.train_labels.tolist(), data.train_labels.dtype) == ([0, 1, 2], torch.int64)
    assert data.test_labels.tolist() == [3, 0, 1]
    assert data.classes == ("0", "1", "2", "3")


def test_channels_may_come_first_or_last(tmp_path: Path) -> None:
    last = load(saved(tmp_path, train=COLOUR, test=COLOUR), colour=True)
    first = load(saved(tmp_path, train=COLOUR.transpose(0, 3, 1, 2), test=COLOUR), colour=True)
    assert last.image_shape == first.image_shape == (3, 9, 8)
    assert last.digest == first.digest
    assert np.array_equal(last.train.numpy(), COLOUR.transpose(0, 3, 1, 2) / np.float32(255))


@pytest.mark.parametrize("shape", [(5, 9, 8, 1), (5, 1, 9, 8)])
def test_a_single_channel_is_grey(tmp_path: Path, shape: tuple[int, ...]) -> None:
    assert load(saved(tmp_path, train=TRAIN.reshape(shape))).digest == load(saved(tmp_path)).digest


@settings(max_examples=30)
@given(
    hnp.arrays(
        st.sampled_from([np.float16, np.float32, np.float64]),
        (2, 7, 8),
        elements=st.floats(0, 1, width=16),
    )
)
def test_floats_in_range_are_kept(tmp_path_factory: pytest.TempPathFactory, values: np.ndarray) -> None:
    """To half of a half-precision step where they are levels, exactly where they are not."""
    path = saved(tmp_path_factory.mktemp("npz"), train=values, test=values)
    read, _ = read_npz(path).read(2, 1)
    if read.dtype == torch.uint8:
        assert np.abs(read.numpy() / 255 - values).max() <= 0.1001 / 255
    else:
        assert np.array_equal(read.numpy(), values.astype(np.float32))


def other(values: Any, dtype: Any = None) -> np.ndarray:
    return np.asarray(values, dtype=dtype)


LABELS = {"train_labels": np.zeros(5, int), "test_labels": np.zeros(3, int)}
TOO_BIG = np.where(TRAIN > 128, 255.0, 0.0)
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no test": ({"test": None}, r"'test' is missing: the file holds \['train'\]"),
    "no train": ({"train": None, "x_train": TRAIN}, r"'train' is missing: the file holds \['test', 'x_train'\]"),
    "slip in a name": (
        {"train_label": LABELS["train_labels"]},
        r"'train_label' is not .* Did you mean 'train_labels'\?",
    ),
    "labels for one": (
        {"train_labels": LABELS["train_labels"]},
        r"'test_labels' is missing, but 'train_labels' is there",
    ),
    "objects": ({"train": other([TRAIN[0], TEST], object)}, r"'train' holds Python objects, .* of one size\?"),
    "objects as labels": ({**LABELS, "test_labels": other(["a", 1, 2], object)}, r"'test_labels' holds Python objects"),
    "integers": ({"train": TRAIN.astype(int)}, r"'train' has dtype int64: give uint8 from 0 to 255, or floats"),
    "booleans": ({"test": TEST > 9}, r"'test' has dtype bool: give uint8"),
    "complex": ({"test": TEST * 1j}, r"'test' has dtype complex128"),
    "text": ({"test": other(["a"])}, r"'test' has dtype <U1"),
    "above one": (
        {"train": TOO_BIG},
        r"'train' runs from 0 to 255, .* in \[0, 1\]: divide it by 255, or save it as uint8",
    ),
    "far above": ({"train": TOO_BIG * 9}, r"'train' runs from 0 to 2295, floats must be in \[0, 1\]$"),
    "below zero": ({"train": TRAIN / 127.5 - 1}, r"'train' runs from -1 to .*, floats must be in \[0, 1\]$"),
    "NaN": ({"test": np.full((3, 9, 8), np.nan)}, r"'test' holds values that are NaN or infinite"),
    "one NaN": ({"test": np.where(TEST[1, 2, 3] == TEST, np.nan, 0.5)}, r"'test' holds values that are NaN"),
    "infinite": ({"test": np.full((3, 9, 8), -np.inf)}, r"'test' holds values that are NaN or infinite"),
    "0 and 1 as levels": ({"train": (TRAIN > 99).astype(np.uint8)}, r"'train' is uint8 with no level above 1 of 255"),
    "flat": (
        {"train": TRAIN.reshape(5, 72)},
        r"'train' has shape \(5, 72\): images are .* \(flat rows must be reshaped",
    ),
    "two channels": ({"train": np.zeros((5, 2, 9, 8))}, r"'train' has shape \(5, 2, 9, 8\): images are \(N, H, W\)"),
    "a scalar": ({"test": other(0.5)}, r"'test' has shape \(\)"),
    "none": ({"test": TEST[:0]}, r"'test' has shape \(0, 9, 8\), which holds no pixels"),
    "no pixels": ({"test": np.zeros((3, 0, 9))}, r"'test' has shape \(3, 0, 9\), which holds no pixels"),
    "one image": ({"train": TRAIN[:1]}, r"'train' holds one image: there is nothing to learn from it"),
    "count": ({**LABELS, "train_labels": np.zeros(4, int)}, r"'train_labels' has shape \(4,\), but there are 5 images"),
    "label shape": (
        {**LABELS, "test_labels": np.zeros((3, 1), int)},
        r"'test_labels' has shape \(3, 1\), .* are \(3,\)",
    ),
    "fractions": ({**LABELS, "test_labels": np.zeros(3)}, r"'test_labels' has dtype float64: labels are whole numbers"),
    "words": ({**LABELS, "test_labels": other(["a", "b", "c"])}, r"'test_labels' has dtype <U1: labels are whole"),
    "negative": (
        {**LABELS, "test_labels": other([0, -1, 0])},
        r"'test_labels' goes down to -1: labels count from 0 up",
    ),
    "sparse": (
        {**LABELS, "train_labels": other([0, 1, 5, 9, 1])},
        r"'train_labels' counts up to 9 with only 5 training",
    ),
    "huge": (
        {**LABELS, "test_labels": other([0, 0, 2**64 - 1], np.uint64)},
        r"'test_labels' counts up to 9223372036854775807 with",
    ),
}


@pytest.mark.parametrize(("arrays", "message"), REFUSED.values(), ids=REFUSED)
def test_refused_by_name(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    path = saved(tmp_path, **arrays)
    with pytest.raises(UserError, match=f"^dataset='{re.escape(str(path))}': {message}"):
        read_npz(path)


def test_arrays_of_other_names_are_let_be(tmp_path: Path) -> None:
    names = np.asarray(["a", None], object)  # not even looked at: it would have to be unpickled
    assert load(saved(tmp_path, author=names)).digest == load(saved(tmp_path)).digest


@pytest.mark.parametrize("contents", [b"", b"text", b"PK\x03\x04 and no more"])
def test_a_file_that_is_no_npz_is_refused(tmp_path: Path, contents: bytes) -> None:
    (tmp_path / "x.npz").write_bytes(contents)
    with pytest.raises(UserError, match=r"x\.npz' is not an \.npz file: give a folder of pictures, or arrays saved by"):
        load(tmp_path / "x.npz")


def test_an_array_saved_alone_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", TRAIN)
    with pytest.raises(UserError, match=r"x\.npy' is not an \.npz file"):
        load(tmp_path / "x.npy")


def test_a_zip_of_other_things_has_no_train(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("hello.txt", "hello")
    with pytest.raises(UserError, match=r"'train' is missing: the file holds \['hello\.txt'\]"):
        load(tmp_path / "x.npz")
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("train", "hello")
        archive.writestr("test.npy", "hello")
    with pytest.raises(UserError, match=r"'train' has dtype .*: give uint8"):
        load(tmp_path / "x.npz")


def test_damage_is_refused_with_the_arrays_name(tmp_path: Path) -> None:
    """Bytes changed inside one member, whose checksum then fails."""
    path = saved(tmp_path)
    whole = path.read_bytes()
    at = whole.index(TEST.tobytes()[:16])
    path.write_bytes(whole[:at] + bytes(8) + whole[at + 8 :])
    with pytest.raises(UserError, match=r"x\.npz': 'test' cannot be read \(Bad CRC-32"):
        load(path)


@settings(max_examples=60)
@given(st.integers(0, 1200), st.binary(min_size=1, max_size=8))
def test_no_damage_brings_down_the_reader(tmp_path_factory: pytest.TempPathFactory, at: int, patch: bytes) -> None:
    path = saved(tmp_path_factory.mktemp("npz"))
    whole = path.read_bytes()
    path.write_bytes(whole[:at] + patch + whole[at + len(patch) :])
    with contextlib.suppress(UserError):
        images = load(path)
        assert (images.train.ndim, images.test.ndim) == (3, 3)
        assert 0 <= float(images.train.min()) <= float(images.train.max()) <= 1


def test_floats_may_leave_the_range_by_rounding(tmp_path: Path) -> None:
    exact = np.linspace(0, 1, 5 * 9 * 8).reshape(5, 9, 8)
    rounded = np.where(exact == 1, 1 + 1e-6, np.where(exact == 0, -1e-6, exact))
    train, other = (load(saved(tmp_path, train=images)).train for images in (exact, rounded))
    assert torch.equal(train, other)
    with pytest.raises(UserError, match=r"floats must be in \[0, 1\]"):
        load(saved(tmp_path, train=exact + 3e-6))

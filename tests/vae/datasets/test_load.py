"""`load`: fixed splits, limits, digests, and every refusal in one sentence."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from vae.datasets.load import ImageData, load
from vae.datasets.request import NAMES
from vae.errors import UserError

# Contents, so these never change: a change here changes every result.
DIGITS_DIGEST = "326a98b5c8b367f8"
MNIST_DIGEST = "544deb32445ab1da"


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return load("digits")


def test_digits_are_scikit_learns_each_once(digits: ImageData) -> None:
    assert digits.train.shape == (1437, 8, 8)
    assert digits.test.shape == (360, 8, 8)
    assert digits.train.dtype == digits.test.dtype == torch.float32
    bunch = load_digits()
    ours = torch.cat([digits.train, digits.test]).reshape(-1, 64) * 16
    assert digits.train_labels is not None
    assert digits.test_labels is not None
    labels = torch.cat([digits.train_labels, digits.test_labels])
    loaded = sorted(tuple(row) for row in torch.cat([ours, labels[:, None]], dim=1).tolist())
    assert loaded == sorted(tuple(row) for row in np.c_[bunch.data, bunch.target].tolist())


def test_digits_splits_have_the_same_mix_of_classes(digits: ImageData) -> None:
    assert digits.train_labels is not None
    assert digits.test_labels is not None
    in_test, in_train = digits.test_labels.bincount(), digits.train_labels.bincount()
    assert ((in_test - (in_test + in_train) / 5).abs() <= 1).all()
    assert len(digits.train_labels[:100].unique()) == 10  # the first n are a sample too


def test_digits_depend_on_no_ambient_randomness(digits: ImageData) -> None:
    np.random.seed(3)  # noqa: NPY002 - the ambient generator is what is put to the test
    torch.manual_seed(3)
    again = load("digits")
    assert again.digest == digits.digest == DIGITS_DIGEST
    assert torch.equal(again.train, digits.train)


def test_digits_do_not_import_torchvision() -> None:
    code = "import sys; from vae.datasets.load import load; load('digits'); print('torchvision' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@settings(max_examples=30)
@given(train=st.integers(2, 1437), test=st.integers(1, 360), data=st.data())
def test_limits_take_the_first_and_hold_out_the_last(
    digits: ImageData, train: int, test: int, data: st.DataObject
) -> None:
    whole = digits
    held_out = data.draw(st.integers(0, train - 1))
    cut = load("digits", train=train, test=test, held_out=held_out)
    assert torch.equal(torch.cat([cut.train, cut.held_out]), whole.train[:train])
    assert len(cut.held_out) == held_out
    assert torch.equal(cut.test, whole.test[:test])
    assert cut.train_labels is not None
    assert whole.train_labels is not None
    assert torch.equal(cut.train_labels, whole.train_labels[: train - held_out])
    assert cut.test_labels is not None
    assert len(cut.test_labels) == test


def test_digest_names_what_is_really_used(digits: ImageData) -> None:
    options: list[dict[str, int | bool]] = [
        {"train": 100},
        {"train": 101},
        {"test": 100},
        {"held_out": 1},
        {"held_out": 2},
        {"size": 9},
        {"colour": True},
    ]
    digests = [load("digits", **option).digest for option in options]  # type: ignore[arg-type]
    assert len({*digests, digits.digest}) == len(options) + 1
    assert load("digits", train=1437, test=360, held_out=0, size=8).digest == digits.digest
    assert all(re.fullmatch(r"[0-9a-f]{16}", digest) for digest in digests)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f8"])
def test_digest_does_not_depend_on_how_the_data_was_stored(tmp_path: Path, digits: ImageData, dtype: str) -> None:
    assert digits.train_labels is not None
    assert digits.test_labels is not None
    np.savez(
        tmp_path / "same.npz",
        train=digits.train.numpy().astype(dtype),
        test=digits.test.numpy().astype(dtype),
        train_labels=digits.train_labels.numpy().astype(np.uint8),
        test_labels=digits.test_labels.numpy().astype(">i4"),
    )
    same = load(tmp_path / "same.npz")
    assert same.digest == digits.digest
    assert torch.equal(same.train, digits.train)
    assert same.name == "same"


def test_properties(digits: ImageData) -> None:
    colour = load("digits", train=20, test=5, size=9, colour=True)
    assert (digits.image_shape, digits.pixels, digits.n_classes) == ((8, 8), 64, 10)
    assert (colour.image_shape, colour.pixels, colour.n_classes) == ((3, 9, 9), 243, 10)
    assert digits.classes == tuple("0123456789")
    assert torch.equal(colour.train[:, 0], colour.train[:, 2])
    bare = ImageData("x", digits.train, digits.test, None, None, digits.held_out, "0" * 16)
    labelled = ImageData("x", digits.train, digits.test, digits.train_labels, None, digits.held_out, "0" * 16)
    assert (bare.n_classes, labelled.n_classes) == (0, 10)
    assert repr(colour).startswith("ImageData('digits', 3×9×9, train=20, test=5, held_out=0, digest='")


REFUSED: list[tuple[dict[str, object], str]] = [
    ({"train": 0}, "train=0 is not a number of images: give a whole number from 1 up."),
    ({"train": -5}, "train=-5 is not a number of images"),
    ({"train": 0.5}, "train=0.5 is not a number of images"),
    ({"train": True}, "train=True is not a number of images"),
    ({"train": 1438}, "train=1438 is more than there are: 'digits' has 1437 training images."),
    ({"test": 0}, "test=0 is not a number of images"),
    ({"test": 361}, "test=361 is more than there are: 'digits' has 360 test images."),
    ({"held_out": -1}, "held_out=-1 is not a number of images: give a whole number from 0 up."),
    ({"held_out": 1437}, "held_out=1437 leaves nothing to train on: there are 1437 training images."),
    ({"train": 10, "held_out": 10}, "held_out=10 leaves nothing to train on: there are 10 training images."),
    ({"size": 6}, "size=6 is not a side in pixels: give a whole number, 7 to 1024."),
    ({"size": 1025}, "size=1025 is not a side in pixels"),
    ({"size": 28.0}, "size=28.0 is not a side in pixels"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED, ids=[str(options) for options, _ in REFUSED])
def test_impossible_options_are_refused_by_name_and_value(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(message)}"):
        load("digits", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "near"), [("mnits", "mnist"), ("MNIST", "mnist"), ("Digits", "digits"), ("fashion_mnist", "fashion-mnist")]
)
def test_a_mistyped_name_is_met_with_the_nearest(name: str, near: str) -> None:
    with pytest.raises(UserError, match=rf"^dataset='{name}' is not one of \['digits', .* Did you mean '{near}'\?$"):
        load(name)


@pytest.mark.parametrize("name", ["", "zebra"])
def test_a_name_near_nothing_gets_no_guess(name: str) -> None:
    with pytest.raises(UserError, match=rf"^dataset='{name}' is not one of .* in the working folder\.$"):
        load(name)


@pytest.mark.parametrize("name", ["no/such/folder", "./mnist", "pictures.npz", "x" * 100 + ".npz"])
def test_a_path_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(UserError, match=rf"^dataset='{name}': there is no such folder or file \(looked at '/"):
        load(name)


def test_names_come_before_folders_of_the_same_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "digits").mkdir()
    monkeypatch.chdir(tmp_path)
    assert len(load("digits").train) == 1437
    with pytest.raises(UserError, match=r"^dataset='digits' holds no pictures"):
        load("./digits")


def test_splits_of_different_shapes_need_a_size(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", train=np.zeros((4, 9, 8)), test=np.zeros((3, 11, 10, 3), np.uint8))
    with pytest.raises(UserError, match=r"training pictures have 8×9 pixels .* test pictures 10×11: give a `size`"):
        load(tmp_path / "a.npz")
    assert load(tmp_path / "a.npz", size=12).test.shape == (3, 12, 12)


def test_sides_are_checked_after_resizing(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", train=np.zeros((4, 9, 5)), test=np.zeros((3, 9, 5)))
    with pytest.raises(UserError, match=r"a.npz': pictures of 5×9 pixels \(width×height\) are too small"):
        load(tmp_path / "a.npz")
    assert load(tmp_path / "a.npz", size=8).image_shape == (8, 8)


@pytest.mark.mnist
def test_mnist_is_the_published_set(mnist_root: Path) -> None:
    data = load("mnist", mnist_root)
    assert data.train.shape == (60_000, 28, 28)
    assert data.test.shape == (10_000, 28, 28)
    assert data.train.dtype == torch.float32
    assert (float(data.train.min()), float(data.train.max())) == (0, 1)
    assert round(float(data.train.mean()), 4) == 0.1307
    assert data.train_labels is not None
    assert data.train_labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert data.train_labels.dtype == torch.int64
    assert data.classes == tuple("0123456789")
    assert data.digest == MNIST_DIGEST


@pytest.mark.mnist
def test_mnist_from_arrays_has_the_same_digest(mnist_root: Path, tmp_path: Path) -> None:
    data = load("mnist", mnist_root, train=300, test=200)
    assert data.train_labels is not None
    assert data.test_labels is not None
    for pixels in (lambda x: (x * 255).round().astype(np.uint8), lambda x: x.astype(np.float16)):
        splits = {"train": pixels(data.train.numpy()), "test": pixels(data.test.numpy())}
        labels = {"train_labels": data.train_labels.numpy(), "test_labels": data.test_labels.numpy()}
        np.savez(tmp_path / "m.npz", **splits, **labels)
        again = load(tmp_path / "m.npz")
        assert again.digest == data.digest
        assert torch.equal(again.train, data.train)


@pytest.mark.mnist
def test_the_root_is_an_argument_or_the_environment(mnist_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ABLATE_DATA", str(mnist_root))
    assert load("mnist", train=3, test=2).digest == load("mnist", str(mnist_root), train=3, test=2).digest
    assert NAMES == ("digits", "mnist", "fashion-mnist", "kmnist")


def test_what_is_learnt_from_does_not_depend_on_the_test_images() -> None:
    whole, fewer = load("digits", train=90, test=40), load("digits", train=90, test=30)
    assert whole.training_digest == fewer.training_digest != load("digits", train=80, test=40).training_digest
    assert whole.digest != fewer.digest

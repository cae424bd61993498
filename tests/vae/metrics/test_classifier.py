"""The classifier: accurate, trained once, the same bits again, cached as plain arrays by content."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from vae.datasets.load import ImageData, load
from vae.errors import UserError
from vae.metrics.classifier import Classifier, Recipe, _normalise, trained_classifier, trained_classifiers
from vae.metrics.generation import legibility

SHORT = Recipe(least_steps=20)


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return load("digits")


@pytest.fixture(scope="module")
def classifier(digits: ImageData) -> Classifier:
    return trained_classifier(digits.train, labels_of(digits.train_labels), digest=digits.digest)


def labels_of(labels: Tensor | None) -> Tensor:
    assert labels is not None
    return labels


def stripes(count: int = 60, *shape: int) -> tuple[Tensor, Tensor]:
    """Pictures whose upper or lower half is bright, with labels 0 and 1."""
    shape = shape or (9, 12)
    images = 0.2 * torch.rand(count, *shape, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(count) % 2
    half = shape[-2] // 2
    images[labels == 0, ..., :half, :] += 0.7
    images[labels == 1, ..., half:, :] += 0.7
    return images, labels


def test_it_reads_97_percent_of_digits_and_lightly_blurred_ones(digits: ImageData, classifier: Classifier) -> None:
    labels = labels_of(digits.test_labels)
    assert legibility(classifier.read(digits.test).classes, labels) >= 0.97
    blurred = torch.from_numpy(gaussian_filter(digits.test.numpy(), (0, 0.4, 0.4)))
    assert legibility(classifier.read(0.7 * blurred).classes, labels) >= 0.95


@pytest.mark.mnist
def test_it_reads_99_percent_of_mnist(mnist_root: Path) -> None:
    mnist = load("mnist", mnist_root, download=False)
    classifier = trained_classifier(mnist.train, labels_of(mnist.train_labels), digest=mnist.digest)
    assert legibility(classifier.read(mnist.test).classes, labels_of(mnist.test_labels)) >= 0.99


def test_a_reading_has_64_features_and_a_score_per_class_in_order(digits: ImageData, classifier: Classifier) -> None:
    many = digits.test.repeat(4, 1, 1)[:1203]  # more than are read at once
    whole, last = classifier.read(many), classifier.read(many[-3:])
    assert whole.features.shape == (1203, 64)
    assert whole.scores.shape == (1203, 10)
    assert (whole.features >= 0).all()
    torch.testing.assert_close(whole.features[-3:], last.features, rtol=1e-4, atol=1e-5)
    assert not whole.features.requires_grad
    assert classifier.read(many[:0]).features.shape == (0, 64)
    assert classifier.read(many[:2].double()).features.dtype == torch.float32


def test_features_have_a_mean_square_of_one_so_distances_mean_the_same_in_every_set(
    digits: ImageData, classifier: Classifier
) -> None:
    features = classifier.read(digits.train[:1000]).features
    assert float(features.square().mean()) == pytest.approx(1, rel=1e-4)


def test_scaling_the_features_changes_no_score(digits: ImageData, classifier: Classifier) -> None:
    network, images = deepcopy(classifier.network), digits.train[:200]
    with torch.no_grad():
        for parameter in network.get_submodule("hidden").parameters():
            parameter.mul_(3)
        _, before = network(images)
        _normalise(network, images)
        features, after = network(images)
    assert float(features.square().mean()) == pytest.approx(1, rel=1e-4)
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4)


def test_the_same_bits_again_whatever_the_threads_and_the_ambient_stream(digits: ImageData) -> None:
    def fingerprint(threads: int, seed: int, recipe: Recipe = SHORT, digest: str = "a") -> str:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        torch.manual_seed(seed)
        try:
            trained = trained_classifier(digits.train, labels_of(digits.train_labels), digest=digest, recipe=recipe)
            assert torch.get_num_threads() == threads
        finally:
            torch.set_num_threads(before)
        return trained.fingerprint

    first = fingerprint(1, 0)
    ambient = torch.random.get_rng_state()
    assert fingerprint(2, 0) == first
    assert torch.equal(torch.random.get_rng_state(), ambient)
    assert fingerprint(1, 7) == first
    assert fingerprint(1, 0, replace(SHORT, seed=1)) != first
    assert fingerprint(1, 0, digest="b") != first


def test_it_is_trained_once_and_kept_as_plain_arrays(tmp_path: Path) -> None:
    images, labels = stripes()
    folder = tmp_path / "made" / "where missing"
    first = trained_classifier(images, labels, digest="stripes", cache=folder, recipe=SHORT)
    (path,) = folder.iterdir()
    assert path.name.startswith("classifier-")
    with np.load(path, allow_pickle=False) as arrays:
        kept = {name: arrays[name] for name in arrays.files}
    kept["output.bias"] = kept["output.bias"] + 1
    with path.open("wb") as file:
        np.savez(file, **kept)
    again = trained_classifier(images, labels, digest="stripes", cache=folder, recipe=SHORT)
    torch.testing.assert_close(again.read(images).scores, first.read(images).scores + 1)
    assert torch.equal(again.read(images).features, first.read(images).features)


def test_other_data_or_another_recipe_is_another_file(tmp_path: Path) -> None:
    images, labels = stripes()
    for digest, recipe in (("a", SHORT), ("b", SHORT), ("a", replace(SHORT, seed=1)), ("a", replace(SHORT, version=2))):
        for _ in range(2):
            trained_classifier(images, labels, digest=digest, cache=tmp_path, recipe=recipe)
    assert len(list(tmp_path.iterdir())) == 4


def test_several_are_trained_side_by_side_to_the_bits_that_each_has_alone(tmp_path: Path) -> None:
    images, labels = stripes()
    recipes = [replace(SHORT, seed=seed) for seed in range(3)]
    alone = [trained_classifier(images, labels, digest="stripes", recipe=recipe).fingerprint for recipe in recipes]
    assert len(set(alone)) == 3
    threads = torch.get_num_threads()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            several = trained_classifiers(images, labels, digest="stripes", recipes=recipes)
            assert [one.fingerprint for one in several] == alone
    finally:
        torch.set_num_threads(threads)
    kept = trained_classifiers(images, labels, digest="stripes", cache=tmp_path, recipes=recipes[:2])
    assert len(list(tmp_path.iterdir())) == 2
    again = trained_classifiers(images, labels, digest="stripes", cache=tmp_path, recipes=recipes)
    assert [one.fingerprint for one in again] == alone
    assert [one.fingerprint for one in kept] == alone[:2]


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "pickle", "other names", "other shapes"])
def test_a_cached_file_that_cannot_be_read_is_replaced(tmp_path: Path, damage: str) -> None:
    images, labels = stripes()
    first = trained_classifier(images, labels, digest="stripes", cache=tmp_path, recipe=SHORT)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    with np.load(path) as arrays:
        names = list(arrays.files)
    match damage:
        case "empty":
            path.write_bytes(b"")
        case "text":
            path.write_text("not an archive")
        case "cut":
            path.write_bytes(whole[: len(whole) // 2])
        case "pickle":
            np.savez(path, **{name: np.array({"a": 1}, dtype=object) for name in names})
        case "other names":
            np.savez(path, a=np.zeros(3))
        case "other shapes":
            np.savez(path, **{name: np.zeros(3) for name in names})
    again = trained_classifier(images, labels, digest="stripes", cache=tmp_path, recipe=SHORT)
    assert again.fingerprint == first.fingerprint
    assert path.read_bytes() == whole
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("shape", [(9, 12), (7, 7), (31, 18), (3, 9, 12), (3, 40, 33)])
def test_any_size_grey_or_colour(shape: tuple[int, ...]) -> None:
    images, labels = stripes(60, *shape)
    classifier = trained_classifier(images, labels, digest="stripes", recipe=replace(SHORT, least_steps=60))
    assert classifier.image_shape == shape
    assert classifier.read(images).features.shape == (60, 64)
    assert legibility(classifier.read(images).classes, labels) == 1


def test_it_learns_where_gradients_are_switched_off() -> None:
    images, labels = stripes()
    with torch.no_grad():
        classifier = trained_classifier(images, labels, digest="stripes", recipe=replace(SHORT, least_steps=60))
    assert legibility(classifier.read(images).classes, labels) == 1


IMAGES, LABELS = stripes(6)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        ((255 * IMAGES).byte(), LABELS, "images is torch.uint8"),
        (IMAGES + 1, LABELS, "images reaches from"),
        (IMAGES[0], LABELS, r"images are \(9, 12\); they must be \(N, H, W\)"),
        (IMAGES, LABELS.float(), r"labels are torch.float32; .* Did you mean labels.long\(\)\?"),
        (IMAGES, LABELS[:5], r"labels are \(5,\); they must be \(6,\), one per image"),
        (IMAGES, 0 * LABELS, "at least two classes, numbered from 0"),
        (IMAGES, LABELS - 1, "at least two classes, numbered from 0"),
        (IMAGES[:0], LABELS[:0], "at least two classes"),
    ],
)
def test_what_cannot_be_learned_from(images: Tensor, labels: Tensor, message: str) -> None:
    with pytest.raises(UserError, match=message):
        trained_classifier(images, labels, digest="stripes")


@pytest.mark.parametrize("shape", [(6, 12, 9), (6, 3, 9, 12), (9, 12)])
def test_pictures_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    classifier = trained_classifier(IMAGES, LABELS, digest="stripes", recipe=replace(SHORT, least_steps=1))
    with pytest.raises(UserError, match=r"this classifier reads \(n, 9, 12\)"):
        classifier.read(torch.zeros(shape))


def test_a_cache_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    call: Callable[..., Classifier] = trained_classifier
    with pytest.raises(UserError, match="cannot be used as a folder"):
        call(IMAGES, LABELS, digest="stripes", cache=tmp_path / "file", recipe=SHORT)

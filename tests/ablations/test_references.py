"""Floors and ceilings: what a model without latents reads, measured as cells are, and what the originals read."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

import vae
from ablations import references as module
from ablations.evaluation import Evaluator
from ablations.references import computed, mean_image, median_image, references_of, typical
from ablations.sections import Evaluation
from reports.claims.references import References
from tests.study_samples import digits
from vae.datasets.load import ImageData
from vae.metrics import sharpness, similarity
from vae.metrics.catalogue import CATALOGUE

SETTINGS = Evaluation(iwae_images=5, iwae_samples=4, generated=60, blur_images=20, classifiers=2)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def images() -> ImageData:
    return digits()


@pytest.fixture(scope="module")
def found(images: ImageData, cache: Path) -> References:
    return computed(images, SETTINGS, cache=cache, device=CPU)


def by_hand(images: ImageData, name: str, picture: torch.Tensor) -> float:
    """A metric of one picture in place of every reconstruction."""
    x, shown = images.test.double(), picture.double().expand(len(images.test), 8, 8)
    measured = {
        "mse": lambda: (shown - x).square().sum((1, 2)),
        "mae": lambda: (shown - x).abs().sum((1, 2)),
        "ssim": lambda: similarity.ssim(shown, x),
        "ink_ratio": lambda: sharpness.ink_ratio(shown, x),
        "foreground_recall": lambda: sharpness.foreground_recall(shown, x),
        "acutance_ratio": lambda: sharpness.acutance(shown) / sharpness.acutance(x),
    }
    return float(measured[name]().mean())


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("mse", min),
        ("mae", min),
        ("ssim", max),
        ("foreground_recall", max),
        ("ink_ratio", lambda *values: min(values, key=lambda value: abs(value - 1))),
        ("acutance_ratio", lambda *values: min(values, key=lambda value: abs(value - 1))),
    ],
)
def test_a_floor_is_the_better_of_the_mean_and_the_median_image(found, images, name, better) -> None:
    mean, median = images.train.double().mean(0), torch.from_numpy(np.median(images.train.double().numpy(), 0))
    least = 1 / (len(images.train) + 2)
    pictures = (picture.clamp(least, 1 - least) for picture in (mean, median))
    assert found.floor[name] == pytest.approx(better(*(by_hand(images, name, p) for p in pictures)), rel=2e-3)


def test_labels_raise_the_floor_and_a_classifier_reads_them_from_it(found) -> None:
    assert found.floor_with_labels["mse"] < found.floor["mse"]
    assert found.floor_with_labels["ssim"] > found.floor["ssim"]
    assert found.floor["legibility"] < 0.2
    assert found.floor_with_labels["legibility"] > 0.9  # so legibility says nothing of a conditional model's code
    assert found.floor["rate"] == found.floor_with_labels["rate"] == 0


def test_ceilings_are_what_the_originals_read(found, images, cache) -> None:
    x = images.test.double().numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.nan_to_num(x * np.log(x)) - np.nan_to_num((1 - x) * np.log(1 - x))
    assert found.ceiling["bce"] == pytest.approx(entropy.sum((1, 2)).mean(), rel=1e-5)
    exact = {"mse": 0, "mae": 0, "ssim": 1, "ssim_inverted": 1, "ink_ratio": 1, "acutance_ratio": 1, "mtf50": 0.5}
    assert {name: found.ceiling[name] for name in exact} == pytest.approx(exact)
    assert found.ceiling["legibility"] == found.ceiling["legibility_original"] > 0.9
    assert abs(found.ceiling["kid"]) < 0.1 * found.floor["kid"]
    absent = {"psnr", "rate", "neg_elbo", "bits_per_dim", "active_units", "nll_gaussian_calibrated"}
    assert not absent & found.ceiling.keys()  # infinite, or of a model


def test_values_are_of_the_catalogue_and_on_the_right_side_of_each_other(found) -> None:
    assert found.floor.keys() | found.ceiling.keys() <= CATALOGUE.keys()
    for name in found.floor.keys() & found.ceiling.keys():
        if CATALOGUE[name].sees == "original" and CATALOGUE[name].direction in ("higher", "lower"):
            sign = 1 if CATALOGUE[name].direction == "higher" else -1
            assert sign * found.floor[name] < sign * found.ceiling[name], name


def test_sizes_spectrum_and_histogram(found, images) -> None:
    assert (found.test_images, found.classes, found.pixels, found.levels) == (90, 10, 64, 17)
    assert not found.light_ground
    assert len(found.eigenvalues) == 64
    assert sum(found.eigenvalues) == pytest.approx(float(images.train.flatten(1).var(0, correction=0).sum()), rel=1e-5)
    assert 2 < found.histogram["bits_per_dim"] < found.floor["bits_per_dim"] < math.log2(17)


def test_a_floor_is_measured_by_the_code_of_cells(found, images, cache) -> None:
    few = SETTINGS.model_copy(update={"iwae_samples": 2})
    evaluator = Evaluator(images, few, cache=cache, device=CPU)
    mean = evaluator.measure(typical(images, mean_image, conditional=False), vae.Arm("bce"), 0).metrics
    assert found.floor["bce"] == mean["bce"]  # the mean is better by it
    assert found.floor.keys() <= mean.keys()


def test_a_median_is_taken_of_each_pixel(images) -> None:
    wanted = images.train.flatten(1).median(0).values.reshape(8, 8)
    assert torch.equal(median_image(images.train), wanted)


def test_references_are_kept_and_a_damaged_file_is_computed_again(images, cache, tmp_path, monkeypatch) -> None:
    calls = []
    monkeypatch.setattr(module, "computed", lambda *arguments, **options: calls.append(1) or SAMPLE)
    for expected in (1, 1):
        assert references_of(images, SETTINGS, cache=tmp_path, device=CPU) == SAMPLE
        assert len(calls) == expected
    (path,) = tmp_path.iterdir()
    for content in (b"", b"{}", b"\xff\xfe", path.read_bytes()[:50]):
        path.write_bytes(content)
        assert references_of(images, SETTINGS, cache=tmp_path, device=CPU) == SAMPLE
        assert References.from_json(path.read_text()) == SAMPLE
    assert len(calls) == 5
    other = SETTINGS.model_copy(update={"generated": 61})
    same = SETTINGS.model_copy(update={"points": (), "per_epoch_images": 5})
    for settings in (same, other):
        references_of(images, settings, cache=tmp_path, device=CPU)
    assert len(calls) == 6
    assert len(list(tmp_path.iterdir())) == 2
    references_of(images, SETTINGS, cache=None, device=CPU)
    assert len(calls) == 7


SAMPLE = References(
    floor={"ssim": 0.5},
    floor_with_labels={},
    ceiling={"ssim": 1.0},
    test_images=3,
    classes=0,
    pixels=64,
    levels=17,
    light_ground=False,
    ppca={"eigenvalues": [2.0, 1.0]},
    histogram={},
)


def test_unlabelled_and_light_images_have_references_too(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    strokes = {name: 1.0 - (generator.random((count, 9, 12)) < 0.2) for name, count in (("train", 80), ("test", 30))}
    np.savez(tmp_path / "own.npz", **strokes)
    references = computed(vae.load(tmp_path / "own.npz"), SETTINGS, cache=None, device=CPU)
    assert (references.classes, references.levels, references.light_ground) == (0, 2, True)
    assert references.floor_with_labels == {}
    assert not {"legibility", "kid"} & (references.floor.keys() | references.ceiling.keys())
    assert references.ceiling["ink_ratio"] == 1

"""A cell's row: every promised name, sums that add up, and readings that move as they must."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import vae
from ablations.evaluation import Evaluator, epoch_scores
from ablations.study import Evaluation
from vae.metrics.catalogue import CATALOGUE
from vae.stack import Stack

SETTINGS = Evaluation(per_epoch_images=50, iwae_images=5, iwae_samples=4, generated=60, blur_images=20)


@pytest.fixture(scope="module")
def images():
    return vae.load("digits", train=600, test=90, held_out=70)


@pytest.fixture(scope="module")
def evaluator(images, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    return Evaluator(images, SETTINGS, conditional=False, cache=cache, device=torch.device("cpu"))


def trained(images, *arms: vae.Objective, classes: int = 0, epochs: int = 25) -> Stack:
    build = lambda: vae.VAE(images.image_shape, 4, classes, hidden=(24,))  # noqa: E731
    stack = Stack.create(build, arms, dataset=images.name, seed=3)
    for _ in vae.fit(stack, images, vae.Training(epochs=epochs, batch_size=32)):
        pass
    return stack


@pytest.fixture(scope="module")
def stack(images):
    return trained(images, vae.Objective("bce"), vae.Objective("continuous-bernoulli"))


def test_every_metric_is_in_the_catalogue_and_within_its_range(stack, evaluator):
    found = evaluator.measure(stack.module(0), stack.objectives[0], seed=3).metrics
    assert set(found) <= set(CATALOGUE)
    assert set(CATALOGUE) - set(found) == {"class_accuracy"}
    for name, value in found.items():
        assert not math.isfinite(value) or CATALOGUE[name].low <= value <= CATALOGUE[name].high, name


def test_sums_add_up(stack, evaluator):
    found = evaluator.measure(stack.module(0), stack.objectives[0], seed=3).metrics
    assert found["neg_elbo"] == pytest.approx(found["bce"] + found["rate"], rel=1e-12)
    pixels = 64
    assert found["nll_gaussian"] == pytest.approx(found["mse"] + pixels / 2 * math.log(math.pi), rel=1e-5)
    assert found["nll_laplace"] == pytest.approx(found["mae"] + pixels * math.log(2), rel=1e-5)
    assert found["neg_iwae"] < found["neg_elbo"] + 5


def test_a_cell_measured_twice_reads_the_same(stack, evaluator):
    one, two = (evaluator.measure(stack.module(0), stack.objectives[0], seed=3) for _ in range(2))
    assert one.metrics == two.metrics
    assert all(np.array_equal(one.pictures[name], two.pictures[name]) for name in one.pictures)


def test_a_decoder_is_judged_by_its_own_mean(stack, evaluator):
    """A continuous-Bernoulli decoder's mean is not the sigmoid of its logits; read so, it is much worse."""
    model, own = stack.module(1), stack.objectives[1]
    right = evaluator.measure(model, own, seed=3).metrics
    wrong = evaluator.measure(model, vae.Objective("bce"), seed=3).metrics
    assert right["mse"] < wrong["mse"]


def test_pictures_are_bytes_one_test_image_of_each_class_first(stack, evaluator, images):
    found = evaluator.measure(stack.module(0), stack.objectives[0], seed=3).pictures
    assert found["originals"].shape == found["reconstructions"].shape == (10, 8, 8)
    assert found["originals"].dtype == found["samples"].dtype == np.uint8
    expected = [int((images.test_labels == k).nonzero()[0]) for k in range(10)]
    assert evaluator.shown.tolist() == expected


def test_epoch_scores_are_the_means_over_the_first_test_images(stack, images):
    scores = epoch_scores(stack, images, 50)
    assert {name: tuple(values.shape) for name, values in scores.items()} == dict.fromkeys(
        ("neg_elbo", "bce", "rate"), (2,)
    )
    assert torch.allclose(scores["neg_elbo"], scores["bce"] + scores["rate"])
    assert epoch_scores(stack, images, 0) == {}


def test_a_conditional_model_is_sampled_by_class_and_scored_by_what_is_read(images, tmp_path):
    judge = Evaluator(images, SETTINGS, conditional=True, cache=tmp_path, device=torch.device("cpu"))
    stack = trained(images, vae.Objective("bce", beta=0.5), classes=10, epochs=30)
    found = judge.measure(stack.module(0), stack.objectives[0], seed=3)
    assert found.metrics["class_accuracy"] > 0.5
    assert found.pictures["samples"].shape == (20, 8, 8)


def test_images_without_labels_are_measured_without_a_reader(tmp_path):
    generator = torch.Generator().manual_seed(0)
    np.savez(
        tmp_path / "own.npz",
        **{k: torch.rand(n, 9, 12, generator=generator).numpy() for k, n in (("train", 80), ("test", 30))},
    )
    images = vae.load(tmp_path / "own.npz")
    judge = Evaluator(images, SETTINGS, conditional=False, cache=tmp_path, device=torch.device("cpu"))
    stack = trained(images, vae.Objective("mse"), epochs=1)
    found = judge.measure(stack.module(0), stack.objectives[0], seed=3)
    assert "legibility" not in found.metrics
    assert found.pictures["reconstructions"].shape == (10, 9, 12)

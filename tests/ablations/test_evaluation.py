"""A cell's row: every promised name, sums that add up, and readings that move as they must."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import vae
from ablations import evaluation, measures
from ablations.evaluation import Evaluator, epoch_scores
from ablations.sections import Evaluation
from tests.study_samples import digits
from vae.building import build
from vae.metrics.catalogue import CATALOGUE
from vae.training.precision import tensor_cores
from vae.training.stack import Stack

SETTINGS = Evaluation(per_epoch_images=50, iwae_images=5, iwae_samples=4, generated=60, blur_images=20)


@pytest.fixture(scope="module")
def images():
    return digits()


@pytest.fixture(scope="module")
def evaluator(images, cache):
    return Evaluator(images, SETTINGS, cache=cache, device=torch.device("cpu"))


def trained(images, *arms: vae.Arm, epochs: int = 25) -> Stack:
    arms = tuple(arm.replace(latents=4, hidden=(24,), epochs=epochs, batch_size=32) for arm in arms)
    template = partial(build, arms[0], images.image_shape, images.n_classes)
    stack = Stack.create(template, arms, dataset=images.name, seed=3)
    for _ in vae.fit(stack, images):
        pass
    return stack


@pytest.fixture(scope="module")
def stack(images):
    return trained(images, vae.Arm("bce"), vae.Arm("continuous-bernoulli"))


def test_every_metric_is_in_the_catalogue_and_within_its_range(stack, evaluator):
    measured = evaluator.measure(stack.module(0), stack.arms[0], seed=3).metrics
    assert set(measured) <= set(CATALOGUE)
    assert set(CATALOGUE) - set(measured) == {"class_accuracy"}
    for name, value in measured.items():
        assert not math.isfinite(value) or CATALOGUE[name].low <= value <= CATALOGUE[name].high, name


def test_sums_add_up(stack, evaluator):
    measured = evaluator.measure(stack.module(0), stack.arms[0], seed=3).metrics
    assert measured["neg_elbo"] == pytest.approx(measured["bce"] + measured["rate"], rel=1e-12)
    pixels = 64
    assert measured["nll_gaussian"] == pytest.approx(measured["mse"] + pixels / 2 * math.log(math.pi), rel=1e-5)
    assert measured["nll_laplace"] == pytest.approx(measured["mae"] + pixels * math.log(2), rel=1e-5)
    assert measured["neg_iwae"] < measured["neg_elbo"] + 5


def test_a_cell_measured_twice_reads_the_same(stack, evaluator):
    one, two = (evaluator.measure(stack.module(0), stack.arms[0], seed=3) for _ in range(2))
    assert one.metrics == two.metrics
    assert all(np.array_equal(one.pictures[name], two.pictures[name]) for name in one.pictures)


def test_a_decoder_is_measured_at_its_own_mean(stack, evaluator):
    """A continuous-Bernoulli decoder's mean is not the sigmoid of its logits; read so, it is much worse."""
    model, own = stack.module(1), stack.arms[1]
    right = evaluator.measure(model, own, seed=3).metrics
    wrong = evaluator.measure(model, own.replace(loss="bce"), seed=3).metrics
    assert right["mse"] < wrong["mse"]


def test_pictures_are_bytes_one_test_image_of_each_class_first(stack, evaluator, images):
    measured = evaluator.measure(stack.module(0), stack.arms[0], seed=3).pictures
    assert measured["originals"].shape == measured["reconstructions"].shape == (10, 8, 8)
    assert measured["originals"].dtype == measured["samples"].dtype == np.uint8
    expected = [int((images.test_labels == k).nonzero()[0]) for k in range(10)]
    assert evaluator.shown.tolist() == expected


def test_epoch_scores_are_the_means_over_the_first_test_images(stack, images):
    scores = epoch_scores(stack, images, 50)
    assert {name: tuple(values.shape) for name, values in scores.items()} == dict.fromkeys(
        ("neg_elbo", "bce", "rate"), (2,)
    )
    assert torch.allclose(scores["neg_elbo"], scores["bce"] + scores["rate"])
    assert epoch_scores(stack, images, 0) == {}


def test_a_diverged_arm_has_no_scores_and_the_others_keep_theirs(stack, images):
    before = epoch_scores(stack, images, 50)
    gone = stack.select([0, 1])
    gone.diverged[1] = (2, 3)
    for name, values in epoch_scores(gone, images, 50).items():
        assert values[0] == before[name][0]
        assert math.isnan(values[1])


@given(st.integers(0, 9000), st.integers(1, 10**9))
def test_parts_are_all_images_in_order_and_no_part_is_small_or_large(count, bytes_each):
    measured = measures.parts(count, bytes_each)
    assert [i for part in measured for i in (part.start, part.stop)][1:-1:2] == [part.start for part in measured][1:]
    assert (measured[0].start, measured[-1].stop) == (0, count) if count else measured == []
    for part in measured:
        size = part.stop - part.start
        assert size * bytes_each <= 2 * measures.AT_ONCE or size < 2 * measures.EVEN
        assert size >= measures.EVEN or count % measures.CHUNK == size


@pytest.mark.parametrize("arm", [0, 1])
def test_a_cell_measured_in_parts_reads_the_same_to_the_last_bit(stack, cache, arm, monkeypatch):
    more = vae.load("digits", test=300)
    images = replace(digits(), test=more.test, test_labels=more.test_labels)  # for the same classifier
    evaluator = Evaluator(images, SETTINGS, cache=cache, device=torch.device("cpu"))
    model, own = stack.module(arm), stack.arms[arm]
    whole = evaluator.measure(model, own, seed=3)
    monkeypatch.setattr(measures, "AT_ONCE", 1)
    assert len(measures.parts(300, 1)) == 4
    apart = evaluator.measure(model, own, seed=3)
    assert whole.metrics == apart.metrics
    assert all(np.array_equal(whole.pictures[name], apart.pictures[name]) for name in whole.pictures)


def test_a_gpu_measures_in_full_float32(stack, images, evaluator, monkeypatch):
    """Scores and metrics, while the switches are as training leaves them; seen by those that a GPU would obey."""
    seen, inside = [], evaluation.exact_products
    monkeypatch.setattr(evaluation, "exact_products", lambda device: inside(torch.device("cuda")))
    forward, decode = evaluation.Engine.forward, measures.TrainedModel.logits

    def noted(original):
        def spy(*arguments, **options):
            seen.append((torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32))
            return original(*arguments, **options)

        return spy

    monkeypatch.setattr(evaluation.Engine, "forward", noted(forward))
    monkeypatch.setattr(measures.TrainedModel, "logits", noted(decode))
    with tensor_cores(torch.device("cuda")):
        epoch_scores(stack, images, 50)
        evaluator.measure(stack.module(0), stack.arms[0], seed=3)
    assert len(seen) >= 2
    assert set(seen) == {("highest", False)}


def test_a_conditional_model_is_sampled_by_class_and_scored_by_what_is_read(images, evaluator):
    stack = trained(images, vae.Arm("bce", beta=0.5, conditional=True), epochs=30)
    measured = evaluator.measure(stack.module(0), stack.arms[0], seed=3)
    assert measured.metrics["class_accuracy"] > 0.5
    assert measured.pictures["samples"].shape == (20, 8, 8)


def test_images_without_labels_are_measured_without_a_classifier(tmp_path):
    generator = torch.Generator().manual_seed(0)
    np.savez(
        tmp_path / "own.npz",
        **{k: torch.rand(n, 9, 12, generator=generator).numpy() for k, n in (("train", 80), ("test", 30))},
    )
    images = vae.load(tmp_path / "own.npz")
    evaluator = Evaluator(images, SETTINGS, cache=tmp_path, device=torch.device("cpu"))
    stack = trained(images, vae.Arm("mse"), epochs=1)
    measured = evaluator.measure(stack.module(0), stack.arms[0], seed=3)
    assert "legibility" not in measured.metrics
    assert measured.pictures["reconstructions"].shape == (10, 9, 12)

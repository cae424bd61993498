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
from vae.metrics import similarity
from vae.metrics.catalogue import CATALOGUE
from vae.training.precision import tensor_cores
from vae.training.stack import Stack

SETTINGS = Evaluation(
    per_epoch_images=50, iwae_images=5, iwae_samples=4, generated=60, blur_images=20, classifiers=2, point_images=25
)
ALONE = {"psnr_of_mean", "n_blank", "mtf50", "active_units", "aggregate_variance", "collapsed", "iwae_error"}
OF_SAMPLES = {"sample_acutance", "sample_sigma_eq", "sample_n_blank"}
BY_CLASSIFIER = {"kid", "frechet", "coverage", "class_entropy"}


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


@pytest.mark.parametrize("arm", [0, 1])
def test_a_metric_is_the_mean_of_the_values_that_are_kept(stack, evaluator, arm):
    measured = evaluator.measure(stack.module(arm), stack.arms[arm], seed=3)
    kept = {name for name in measured.per_image if not name.endswith(".images")}
    assert kept == measured.metrics.keys() - ALONE - OF_SAMPLES
    assert {name for name in kept if CATALOGUE[name].by_classifier} == BY_CLASSIFIER | {
        "legibility",
        "legibility_original",
    }
    for name in kept:
        values = measured.per_image[name]
        assert values.dtype == np.float32
        assert np.nanmean(values.astype(float)) == pytest.approx(measured.metrics[name], rel=1e-6), name
        if name in BY_CLASSIFIER:
            assert values.shape == (2,)
            assert f"{name}.images" not in measured.per_image
        else:
            seen = {"iwae": 5, "blur": 20}.get(name.removeprefix("neg_").partition("_")[0], 90)
            assert values.shape == ((2, seen) if CATALOGUE[name].by_classifier else (seen,)), name
            assert int(measured.per_image[f"{name}.images"]) == seen


def test_kept_values_are_of_the_first_images_of_one_order_the_same_for_every_seed_and_metric(stack, images, cache):
    def kept(count, seed, **changes):
        settings = SETTINGS.model_copy(update={"kept_images": count, **changes})
        evaluator = Evaluator(images, settings, cache=cache, device=torch.device("cpu"))
        return evaluator, evaluator.measure(stack.module(0), stack.arms[0], seed).per_image

    (evaluator, whole), (_, few), (_, other) = kept(1000, 3), kept(12, 3), kept(12, 4)
    assert sorted(evaluator.order.tolist()) == list(range(90))
    assert evaluator.order.tolist() != list(range(90))
    for name, values in few.items():
        assert np.array_equal(values, whole[name] if values.ndim == 0 else whole[name][..., : values.shape[-1]])
        assert values.ndim == 0 or values.shape[-1] == (2 if name in BY_CLASSIFIER else 5 if "iwae" in name else 12)
    assert int(few["ssim.images"]) == 90
    own = stack.module(0).eval()
    with torch.no_grad():
        x = images.test[evaluator.order[:12]]
        at_mean = torch.sigmoid(own.decode(own.encode(x)[0]))
    for one in (few, other):  # SSIM has no noise
        assert one["ssim"] == pytest.approx(similarity.ssim(at_mean, x).numpy(), rel=1e-5)
    assert not np.array_equal(few["bce"], other["bce"])
    assert kept(0, 3)[1] == {}


def test_ink_is_what_differs_from_the_ground(images, cache, tmp_path):
    """Of inverted images with an inverted decoder, ink and strokes are as they were, whatever one cell paints."""
    dark = Evaluator(images, SETTINGS, cache=cache, device=torch.device("cpu"))
    inverted = replace(
        images, train=1 - images.train, test=1 - images.test, held_out=1 - images.held_out, train_labels=None
    )
    light = Evaluator(inverted, SETTINGS, cache=cache, device=torch.device("cpu"))
    assert (dark.basis.light_ground, light.basis.light_ground) == (False, True)
    stack = trained(images, vae.Arm("mse", beta=0.1))

    class Negative(type(stack.module(0))):
        def encode(self, x, y=None):
            return super().encode(1 - x, y)

        def decode(self, z, y=None):
            return -super().decode(z, y)

    model = stack.module(0)
    before = dark.measure(model, stack.arms[0], seed=3)
    model.__class__ = Negative
    after = light.measure(model, stack.arms[0], seed=3)
    for name in ("ink_ratio", "foreground_recall", "edge_contrast", "acutance", "mse"):
        assert after.metrics[name] == pytest.approx(before.metrics[name], rel=1e-4), name
        assert after.per_image[name] == pytest.approx(before.per_image[name], rel=1e-3, nan_ok=True), name
    assert after.metrics["ssim"] == pytest.approx(before.metrics["ssim_inverted"], rel=1e-4)
    assert after.metrics["bits_per_dim"] == pytest.approx(before.metrics["bits_per_dim"], rel=1e-3)


def test_classifiers_differ_in_their_seed_and_each_metric_is_their_mean(stack, images, evaluator, cache):
    assert len({one.fingerprint for one in evaluator.basis.classifiers}) == 2
    alone = Evaluator(images, SETTINGS.model_copy(update={"classifiers": 1}), cache=cache, device=torch.device("cpu"))
    assert alone.basis.classifiers[0].fingerprint == evaluator.basis.classifiers[0].fingerprint
    both, one = (each.measure(stack.module(0), stack.arms[0], seed=3).per_image for each in (evaluator, alone))
    for name in (*BY_CLASSIFIER, "legibility"):
        assert np.array_equal(both[name][:1], one[name])


def test_a_point_reads_the_same_images_with_the_same_noise(stack, evaluator):
    whole = evaluator.measure(stack.module(0), stack.arms[0], seed=3)
    part = evaluator.at_points.measure(stack.module(0), stack.arms[0], seed=3)
    assert part.pictures == part.per_image == {}
    for name in ("bce", "neg_elbo", "ssim", "ink_ratio", "legibility"):
        assert part.metrics[name] == pytest.approx(whole.per_image[name][..., :25].mean(), rel=1e-5), name


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

"""The catalogue: what its file may hold, and that ranges, directions and the README are true of the metrics."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.image_samples import blurred, mnist_test, uniform
from vae.errors import UserError
from vae.losses import LOSSES
from vae.metrics import catalogue, sharpness, similarity
from vae.metrics.blur import blur_effect
from vae.metrics.catalogue import CATALOGUE, HEADLINE, Metric, Owner, load
from vae.metrics.picture import damages, readings, save
from vae.metrics.transfer import transfer

FIGURE = Path(catalogue.__file__).parent / "what-metrics-say.png"
every_entry = pytest.mark.parametrize("entry", CATALOGUE.values(), ids=CATALOGUE.keys())

# The columns of a study's frame. A name that is missing here, or there, is a broken promise to whoever reads a frame.
NAMES = {
    "reconstructions": """rate bce mse mae neg_elbo ssim ssim_inverted psnr psnr_of_mean acutance acutance_ratio
        sigma_eq n_blank edge_contrast ink_ratio foreground_recall mtf50 blur_effect_11 blur_effect_5 legibility
        legibility_original""",
    "likelihood": """nll_continuous_bernoulli nll_gaussian nll_gaussian_calibrated nll_laplace nll_laplace_calibrated
        bits_per_dim bits_per_dim_table neg_iwae iwae_error iwae_gap iwae_log_ess""",
    "latents": "active_units aggregate_variance collapsed",
    "samples": "sample_acutance sample_sigma_eq sample_n_blank kid frechet coverage class_entropy class_accuracy",
}


def test_names_are_the_frames_columns_and_in_order() -> None:
    expected = [(name, where) for where, names in NAMES.items() for name in names.split()]
    assert [(name, entry.where) for name, entry in CATALOGUE.items()] == expected
    assert all(name == entry.name for name, entry in CATALOGUE.items())


@every_entry
def test_texts_and_ranges_of_entries(entry: Metric) -> None:
    assert not (entry.direction == "closer to 1" and not entry.low <= 1 <= entry.high)
    texts = [getattr(entry, field.name) for field in dataclasses.fields(entry) if field.type == "str"]
    assert all(text.strip() == text for text in texts)
    assert entry.about.endswith(".")
    assert not entry.fools.endswith(".")
    assert len(entry.label) <= 28


def test_labels_tell_metrics_apart() -> None:
    labels = [entry.label for entry in CATALOGUE.values()]
    assert len(set(labels)) == len(labels)


def test_headline_metrics_are_ranked_from_one() -> None:
    assert [CATALOGUE[name].headline for name in HEADLINE] == list(range(1, len(HEADLINE) + 1))


def test_owners_are_losses() -> None:
    assert set(get_args(Owner)) - {""} <= set(LOSSES)


# What the file may hold.

MINIMAL = """
[haze]
label = "haze"
about = "Mean of the background."
where = "reconstructions"
unit = "1"
direction = "lower"
low = 0
high = 1
source = "nobody"
fools = "a grey original"
"""


def written(folder: Path, text: str) -> Path:
    (folder / "some.toml").write_text(text)
    return folder / "some.toml"


def test_optional_keys_have_defaults(tmp_path: Path) -> None:
    metric = load(written(tmp_path, MINIMAL))["haze"]
    assert (metric.own_objective, metric.headline, metric.version) == ("", 0, 1)
    assert not metric.depends_on_size
    assert not metric.always
    assert (metric.low, metric.high) == (0.0, 1.0)
    assert type(metric.low) is float


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("unit", "units", r"'units' is not a key of a metric\. Did you mean 'unit'\?"),
        ("unit", "zebra", r"'zebra' is not a key of a metric\.$"),
        ('source = "nobody"', "", "the key 'source' is missing$"),
        ('"lower"', '"lowest"', r"direction='lowest' is not one of \['higher', .*\]\. Did you mean 'lower'\?"),
        ('"reconstructions"', '"images"', r"where='images' is not one of \['reconstructions', 'samples', "),
        ("low = 0", "low = 1", "low=1 must be below high=1$"),
        ("low = 0", "low = nan", "low=nan must be below high=1$"),
        ("low = 0", "low = true", "low=True must be a number, or inf or -inf"),
        ("low = 0", 'low = "0"', "low='0' must be a number"),
        ("high", 'own_objective = "msee"\nhigh', r"own_objective='msee' is not one of .* Did you mean 'mse'\?"),
        ("high", "headline = -1\nhigh", "headline=-1 must be a whole number, 0 or more"),
        ("high", "version = 0\nhigh", "version=0 must be a whole number, 1 or more"),
        ("high", "always = 1\nhigh", "always=1 must be true or false"),
        ('"haze"', '""', "label='' must be text"),
        ('"haze"', "3", "label=3 must be text"),
    ],
)
def test_a_wrong_file_is_refused_by_file_metric_and_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(UserError, match=rf"^some\.toml, \[haze\]: {message}"):
        load(written(tmp_path, MINIMAL.replace(old, new, 1)))


def test_what_is_no_table_or_no_toml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^some\.toml, \[haze\] is 3: it must be a table"):
        load(written(tmp_path, "haze = 3"))
    with pytest.raises(UserError, match=r"^some\.toml is not valid TOML: Expected"):
        load(written(tmp_path, "[haze"))


def test_reading_the_catalogue_imports_no_torch() -> None:
    code = "import sys, vae.metrics.catalogue; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_an_entry_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        CATALOGUE["ssim"].unit = "dB"  # type: ignore[misc]
    with pytest.raises(TypeError, match="does not support item assignment"):
        CATALOGUE["new"] = CATALOGUE["ssim"]  # type: ignore[index]


def measured(x: Tensor, y: Tensor) -> dict[str, float]:
    """Every metric of images alone, by its catalogue name: x the reconstructions, y the originals."""
    own = sharpness.acutance(x)
    upright, inverted = similarity.ssim_both(x, y)
    return {
        "ssim": upright.mean().item(),
        "ssim_inverted": inverted.mean().item(),
        "psnr": similarity.psnr(x, y).mean().item(),
        "psnr_of_mean": similarity.psnr_of_mean(x, y).item(),
        "acutance": own.nanmean().item(),
        "acutance_ratio": (own / sharpness.acutance(y)).nanmean().item(),
        "sigma_eq": sharpness.sigma_eq(own).nanmean().item(),
        "n_blank": float(sharpness.n_blank(own)),
        "edge_contrast": sharpness.edge_contrast(x, y).mean().item(),
        "ink_ratio": sharpness.ink_ratio(x, y).mean().item(),
        "foreground_recall": sharpness.foreground_recall(x, y).mean().item(),
        "mtf50": transfer(x, y).mtf50,
        "blur_effect_11": blur_effect(x).nanmean().item(),
        "blur_effect_5": blur_effect(x, h_size=5).nanmean().item(),
    }


def pictures() -> Tensor:
    """Discs and bars of several sizes on black, soft by a third of a pixel."""
    at = torch.arange(28, dtype=torch.float64) - 13.5
    radii = torch.linspace(3, 9, 12, dtype=torch.float64)[:, None, None]
    rings = ((at[:, None] ** 2 + at**2).sqrt() - radii).abs() < 1.6
    return blurred(rings.double(), 0.4)


@pytest.mark.parametrize("damage", ["none", "blur", "noise", "blank", "white", "inverse", "binarised"])
def test_readings_lie_in_the_range_that_the_catalogue_gives(damage: str) -> None:
    y = pictures()
    x = {
        "none": y,
        "blur": blurred(y, 6.0),
        "noise": uniform(*y.shape),
        "blank": torch.cat([0 * y[:1], y[1:]]),
        "white": torch.cat([1 + 0 * y[:1], y[1:]]),
        "inverse": 1 - y,
        "binarised": (y > 0.5).double(),
    }[damage]
    for name, value in measured(x, y).items():
        assert CATALOGUE[name].low <= value <= CATALOGUE[name].high, name


def test_directions_are_the_way_a_blur_makes_worse() -> None:
    y = pictures()
    before, after = measured(blurred(y, 0.7), y), measured(blurred(y, 1.5), y)
    for name in set(before) - {"n_blank", "ink_ratio"}:  # a blur within the frame leaves no picture blank, and all ink
        entry = CATALOGUE[name]
        worse = after[name] - before[name]
        assert {"higher": worse < 0, "lower": worse > 0}.get(entry.direction, after[name] < before[name] < 1), name


def test_the_least_acutance_and_the_largest_blur_are_each_others() -> None:
    reading = sharpness.sigma_eq(torch.tensor(0.05 + 1e-12).double())
    assert reading.item() == pytest.approx(CATALOGUE["sigma_eq"].high, abs=0.01)


# The README and its figure.


@pytest.fixture(scope="module")
def damaged_readings(mnist_root: Path) -> dict[str, dict[str, float]]:
    """damage -> metric -> reading, of the digit that the README shows."""
    digit = mnist_test(mnist_root)[1]
    return {name: readings(picture, digit) for name, picture in damages(digit).items()}


@pytest.mark.mnist
def test_what_the_readme_states_of_the_digit_is_true(damaged_readings: dict[str, dict[str, float]]) -> None:
    original, blur, haze, shift, noise, binarised = damaged_readings.values()
    assert blur["acutance ratio"] < 0.5
    assert blur["gain at .25 cycles/px"] < 0.5
    assert blur["coherence at .25 cycles/px"] > 0.99
    assert haze["SSIM"] < blur["SSIM"]
    assert haze["SSIM inverted"] > 0.98
    assert haze["acutance ratio"] == pytest.approx(1, abs=0.07)
    assert haze["ink ratio"] > 1.5
    for metric in ("acutance, 1/px", "equivalent blur, px", "blur effect, 11 px", "blur effect, 5 px"):
        assert shift[metric] == pytest.approx(original[metric], abs=2e-3)
    for metric in ("SSIM", "SSIM inverted", "PSNR, dB", "foreground recall"):
        assert shift[metric] == min(damage[metric] for damage in damaged_readings.values())
    assert shift["MTF50, cycles/px"] < 0.3
    assert shift["gain at .25 cycles/px"] == pytest.approx(1, abs=1e-9)
    assert shift["coherence at .25 cycles/px"] < 0.5
    assert noise["acutance ratio"] < 0.75
    assert noise["edge contrast"] > 1.5
    assert binarised["acutance ratio"] > 1.5


@pytest.mark.mnist
def test_the_figure_in_the_readme_shows_todays_readings(damaged_readings: dict[str, dict[str, float]]) -> None:
    """From its metadata: pixels would differ with the version of the font."""
    with Image.open(FIGURE) as kept:
        shown = json.loads(kept.info["readings"])
    assert list(shown) == list(damaged_readings)
    for damage, expected in damaged_readings.items():
        assert shown[damage] == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_the_figure_is_small_and_the_readme_shows_it() -> None:
    assert FIGURE.stat().st_size < 200_000
    assert f"]({FIGURE.name})" in (FIGURE.parent / "README.md").read_text()


def test_a_blank_digit_can_be_drawn_and_saved_too(tmp_path: Path) -> None:
    save(torch.zeros(28, 28), tmp_path / "blank.png")
    with Image.open(tmp_path / "blank.png") as drawn:
        assert drawn.size[0] > drawn.size[1] > 28
        assert math.isnan(json.loads(drawn.info["readings"])["original"]["acutance, 1/px"])


def test_drawing_without_a_file_name_prints_the_usage() -> None:
    done = subprocess.run([sys.executable, "-m", "vae.metrics.picture"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "Usage: python -m vae.metrics.picture OUT.png\n"


def test_identical_pictures_are_called_identical() -> None:
    assert readings(torch.eye(28), torch.eye(28))["PSNR, dB"] == math.inf

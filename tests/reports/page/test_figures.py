"""Figures: what is drawn is what was measured, in the one colour of its loss, legible in both themes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import matplotlib as mpl
import matplotlib.colors
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure

from reports.page import canvas, figures, pictures, tables
from reports.page.effects import MARKERS, differences_plot, effect
from reports.page.palette import LOSS_MARKS, TONES, VERDICT_SIGNS, colour, mark, themed
from reports.page.report_figures import report_figures
from tests import report_samples as samples
from tests import verdict_samples

BETAS = (0.5, 1.0, 4.0)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return samples.cells(seeds=5, betas=BETAS)


@pytest.fixture(scope="module")
def means(frame: pd.DataFrame) -> pd.DataFrame:
    return tables.arm_means(frame)


def svg(figure: Figure) -> str:
    return canvas.svg(figure)


def lines_of(figure: Figure, tone: str) -> list[mpl.lines.Line2D]:
    drawn = [line for ax in figure.axes for line in ax.lines]
    return [line for line in drawn if mpl.colors.to_hex(line.get_color()) == colour(tone)]


# Contrast


def luminance(tone: str) -> float:
    """Relative luminance of WCAG 2."""
    channels = np.array(mpl.colors.to_rgb(tone))
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    "name", [name for name in TONES if name not in ("paper", "ground", "raised", "rule", "region")]
)
def test_words_and_lines_have_contrast_with_their_background(name: str, theme: str) -> None:
    tone = getattr(TONES[name], theme)
    # 4.5 for what is read, 3 for what is only drawn: the thresholds of WCAG 2.2, AA.
    least = 3.0 if name in LOSS_MARKS or name.startswith("spare") else 4.5
    assert contrast(tone, getattr(TONES["paper"], theme)) >= least
    assert contrast(tone, getattr(TONES["raised"], theme)) >= least - 0.3


def test_colour_is_never_the_only_cue() -> None:
    marks = [mark(loss) for loss in samples.LOSSES]
    assert len({m.marker for m in marks}) == len({m.dash for m in marks}) == len({m.tone for m in marks}) == 3
    assert len({s for _, s in VERDICT_SIGNS.values()}) == len({t for t, _ in VERDICT_SIGNS.values()}) == 5
    assert set(MARKERS) == set(VERDICT_SIGNS)
    assert len(set(MARKERS.values())) == 5


def test_no_two_tones_are_equal_since_themes_replace_them_by_value() -> None:
    lights = [tone.light for tone in TONES.values()]
    assert len(set(lights)) == len(lights)


def test_a_themed_picture_keeps_no_tone_of_its_own(means: pd.DataFrame) -> None:
    plain = svg(figures.metric_against_beta(means, "ssim"))
    text = themed(plain).split("</style>", 1)[1]
    assert not [name for name, tone in TONES.items() if f": {tone.light}" in text]
    assert text.count("var(--bce)") == plain.count(colour("bce")) > 0
    assert "http-equiv" not in text


# What is drawn


def test_each_mean_is_drawn_where_it_lies(means: pd.DataFrame) -> None:
    figure = figures.metric_against_beta(means, "acutance_ratio")
    rows = means[(means["metric"] == "acutance_ratio") & (means["loss"] == "mae") & (means["reduction"] == "sum")]
    line = lines_of(figure, "mae")[0]
    np.testing.assert_allclose(line.get_xdata(), rows["beta"])
    np.testing.assert_allclose(line.get_ydata(), rows["mean"])
    assert [ax.get_title() or ax.get_title(loc="left") for ax in figure.axes] == ["reduction: sum", "reduction: mean"]


def draw_effect(frame: pd.DataFrame) -> Figure:
    verdict = verdict_samples.compared(frame, "ssim", ("mae-sum-b1", "mse-sum-b1"), 0.005)
    return effect([verdict], ["MAE − MSE"])


def draw_training(frame: pd.DataFrame) -> Figure:
    curve = pd.DataFrame(
        [
            {"loss": loss, "beta": beta, "epoch": epoch, "mean": 100 / epoch, "low": 90 / epoch, "high": 110 / epoch}
            for loss in samples.LOSSES
            for beta in BETAS
            for epoch in (1, 2, 3)
        ]
    )
    return figures.training(curve, "training loss (nats)")


def draw_transfer(frame: pd.DataFrame) -> Figure:
    arrays = samples.pictures(frame, images=2)
    arms = {f"{loss}-sum-b1": loss for loss in samples.LOSSES}
    return figures.transfer({arm: arrays[f"{arm}-s0"] for arm in arms}, arms)


DRAWINGS: dict[str, Callable[[pd.DataFrame, pd.DataFrame], Figure]] = {
    "beta": lambda frame, means: figures.metric_against_beta(means, "rate"),
    "effective beta": lambda frame, means: figures.metric_against_effective_beta(means, "rate"),
    "rate": lambda frame, means: figures.against_rate(frame, means, ["ssim", "bce"]),
    "training": lambda frame, means: draw_training(frame),
    "transfer": lambda frame, means: draw_transfer(frame),
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_losses_keep_their_colour_and_axes_their_units(name: str, frame: pd.DataFrame, means: pd.DataFrame) -> None:
    figure = DRAWINGS[name](frame, means)
    for loss in samples.LOSSES:
        assert lines_of(figure, loss), f"{loss} is not drawn in its colour"
    labels = [ax.get_xlabel() for ax in figure.axes]
    assert all(labels)
    assert figure.axes[0].get_ylabel()


@pytest.mark.parametrize("name", [*DRAWINGS, "effect"])
def test_the_same_figure_gives_the_same_file_and_leaves_nothing_behind(
    name: str, frame: pd.DataFrame, means: pd.DataFrame
) -> None:
    before = dict(mpl.rcParams)
    draw = DRAWINGS.get(name, lambda frame, means: draw_effect(frame))
    figure = draw(frame, means)
    text = canvas.svg(figure)
    again = draw(frame, means)
    assert text == canvas.svg(again)
    assert canvas.png(figure) == canvas.png(again)
    assert all(ax.get_xlabel().split(" (")[0] in text for ax in figure.axes)
    assert pyplot.get_fignums() == []
    assert dict(mpl.rcParams) == before


def test_ticks_are_written_in_full(frame: pd.DataFrame) -> None:
    # Coordinates are cut to a hundredth of a point; numbers that are read must not be.
    verdict = verdict_samples.compared(frame, "ssim", ("mae-sum-b1", "mse-sum-b1"), 1, "equivalent")
    small = replace(verdict, effect=0.0012, ci_low=0.0005, ci_high=0.0019, region=(-0.0041, 0.0041), per_seed={})
    text = svg(effect([small], ["SSIM"]))
    ticks = re.findall(r">(−?0\.\d+)<", text)
    assert "0.002" in [tick.rstrip("0") for tick in ticks]
    assert len(set(ticks)) == len(ticks) >= 4


# Curves at equal rate


def test_a_rate_curve_passes_through_the_arms(frame: pd.DataFrame, means: pd.DataFrame) -> None:
    one = frame[frame["seed"] == 0]
    curve = figures.rate_curves(one, "ssim")
    part = curve[curve["loss"] == "bce"]
    arm = one[one["arm"] == "bce-sum-b1"].iloc[0]
    assert np.interp(arm["rate"], part["rate"], part["mean"]) == pytest.approx(arm["ssim"], abs=2e-4)


def test_a_rate_curve_goes_no_further_than_every_seed_does(frame: pd.DataFrame) -> None:
    curve = figures.rate_curves(frame, "ssim")
    for loss, part in curve.groupby("loss"):
        ends = frame[(frame["loss"] == loss) & (frame["reduction"] == "sum")].groupby("seed")["rate"]
        assert part["rate"].min() >= ends.min().max() - 1e-9
        assert part["rate"].max() <= ends.max().min() + 1e-9
        assert set(part["n"]) == {5}


def test_one_beta_makes_no_curve(frame: pd.DataFrame) -> None:
    assert figures.rate_curves(frame[frame["beta"] == 1.0], "ssim").empty


# Verdicts as figures


@pytest.mark.parametrize("kind", ["greater", "less", "equivalent"])
def test_an_effect_plot_shows_zero_the_margin_the_interval_and_every_seed(frame: pd.DataFrame, kind: str) -> None:
    arms = ("mae-sum-b1", "bce-sum-b1")
    verdict = verdict_samples.compared(frame, "acutance_ratio", arms, 0.02, kind)
    ax = effect([verdict], ["MAE − BCE"]).axes[0]
    low, high = ax.get_xlim()
    visible = [0.0, verdict.ci_low, verdict.ci_high, *verdict.per_seed.values()]
    visible += [end for end in verdict.region or () if end is not None]
    assert low < min(visible) < max(visible) < high
    assert any(list(line.get_xdata()) == [verdict.effect] for line in ax.lines)
    assert any(len(line.get_xdata()) == 5 for line in ax.lines)
    assert "acutance ratio" in ax.get_xlabel()


def test_both_intervals_are_drawn_the_narrow_one_thick(frame: pd.DataFrame) -> None:
    verdict = verdict_samples.compared(frame, "ssim", ("mae-sum-b1", "bce-sum-b1"), 0.02)
    wide = replace(verdict, ci_low=-0.2, ci_high=0.0)
    ends = {tuple(line.get_xdata()): line.get_linewidth() for line in effect([wide], ["a"]).axes[0].lines}
    assert verdict.narrow_low is not None
    assert ends[(-0.2, 0.0)] < ends[(verdict.narrow_low, verdict.narrow_high)]


def test_comparisons_in_different_units_share_no_axis(frame: pd.DataFrame) -> None:
    arms = ("mae-sum-b1", "bce-sum-b1")
    verdicts = [verdict_samples.compared(frame, metric, arms, 0.5, "less") for metric in ("rate", "ssim")]
    assert len(effect(verdicts, ["a", "b"]).axes) == 2
    assert len(effect([verdicts[0], verdicts[0]], ["a", "b"]).axes) == 1


def test_differences_of_two_studies_are_drawn_with_their_unit() -> None:
    rows = pd.DataFrame(
        {"arm": ["a", "b"], "loss": ["bce", "mse"], "mean": [1.0, -2.0], "low": [0.5, -3], "high": [2, 1]}
    )
    figure = differences_plot(rows, "rate")
    assert "nats" in figure.axes[0].get_xlabel()
    assert "difference in rate" in svg(figure)


# Pictures


def test_strips_show_the_same_test_images_in_every_row(frame: pd.DataFrame) -> None:
    arrays = samples.pictures(frame, images=3)
    arrays["mse-sum-b1-s0"] = {**arrays["mse-sum-b1-s0"], "originals": arrays["mse-sum-b1-s0"]["originals"][::-1]}
    rows = pictures.strips(frame, arrays, "reconstructions")
    assert rows[0].label == "originals"
    assert "mse-sum-b1" not in [row.label for row in rows]
    assert len(rows) == 1 + frame["arm"].nunique() - 1
    assert "mse-sum-b1" in [row.label for row in pictures.strips(frame, arrays, "samples")]


@pytest.mark.parametrize("shape", [(3, 6, 5), (3, 3, 6, 5)])
def test_a_strip_is_its_images_pixel_by_pixel(shape: tuple[int, ...]) -> None:
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    sheet = pictures.strip(images)
    assert sheet.shape == (6, 3 * 5 + 2, 4)
    expected = images[1] if len(shape) == 3 else np.moveaxis(images[1], 0, -1)
    drawn = sheet[:, 6:11, :3]
    np.testing.assert_array_equal(drawn[..., 0] if len(shape) == 3 else drawn, expected)
    assert (sheet[:, 5, 3] == 0).all()


def test_a_study_without_pictures_history_or_verdicts_still_has_its_figures(means: pd.DataFrame) -> None:
    evidence = samples.study(seeds=2, betas=BETAS, pictures={}, history=samples.history(samples.cells(seeds=1), 1))
    sections = [figure.section for figure in report_figures(evidence, means, (), {})]
    assert "beta" in sections
    assert "transfer" not in sections
    assert "training" not in sections
    assert "effect" not in sections

"""Two processes draw what one draws, byte for byte, and whatever becomes of the helper, every figure is drawn."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure

from reports.page import figures, pictures, tables
from reports.page.drawing import Drawing, Helper, Picture, pictures_of
from reports.page.effects import effect
from tests import report_samples as samples
from tests import verdict_samples


@pytest.fixture(scope="module")
def drawings() -> list[Drawing]:
    frame = samples.cells(seeds=3, betas=(0.5, 1.0, 4.0))
    means = tables.arm_means(frame)
    verdict = verdict_samples.compared(frame, "acutance_ratio", ("mae-sum-b1", "bce-sum-b1"), 0.02)
    strips = pictures.strips(frame, samples.pictures(frame, images=3), "samples")
    metrics = ("ssim", "rate", "acutance_ratio", "bits_per_dim")
    return [
        Drawing(pictures.picture_grid, (strips,), "png"),
        *(Drawing(figures.metric_against_beta, (means, metric)) for metric in metrics),
        Drawing(figures.against_rate, (frame, means, ("ssim", "acutance_ratio"))),
        Drawing(effect, ([verdict], ["MAE − BCE"])),
    ]


@pytest.fixture(scope="module")
def alone(drawings: list[Drawing]) -> list[Picture]:
    return pictures_of(drawings)


def test_a_helper_draws_the_same_bytes(drawings: list[Drawing], alone: list[Picture]) -> None:
    with Helper() as helper:
        assert [helper.picture(drawing) for drawing in drawings] == alone
        assert pictures_of(drawings, helper) == alone
    assert [picture.content[:4] for picture in alone] == [b"\x89PNG", *[b"<?xm"] * 6]


def test_a_helper_that_has_ended_leaves_all_to_this_process(drawings: list[Drawing], alone: list[Picture]) -> None:
    with Helper() as helper:
        pass
    assert helper.picture(drawings[0]) is None
    assert pictures_of(drawings, helper) == alone


def local(width: float) -> Figure:
    """Draws without anything to draw."""
    return Figure(figsize=(width, 1.0))


def test_what_a_helper_cannot_be_sent_this_process_draws() -> None:
    drawings = [Drawing(lambda: local(2.0), ()), Drawing(lambda: local(3.0), ())]
    with Helper() as helper:
        assert [picture.width for picture in pictures_of(drawings, helper)] == [192, 288]


def test_an_error_of_a_drawing_is_raised_here() -> None:
    drawings = [Drawing(local, (2.0,)), Drawing(local, (-1.0,))]
    with Helper() as helper, pytest.raises(ValueError, match="figure size must be positive finite"):
        pictures_of(drawings, helper)

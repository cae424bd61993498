"""The pictures of the first screen and the table of losses and betas: the same images, of the arms that are named."""

from __future__ import annotations

import numpy as np
import pytest

from reports.page.evidence import Evidence
from reports.page.first_pictures import first_pictures
from reports.page.picture_table import picture_table
from reports.page.pictures import strip, strips
from tests import report_samples as samples

BETAS = (0.25, 0.5, 1.0, 2.0)


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return samples.study(seeds=2, betas=BETAS)


def test_the_originals_come_first_then_every_loss_at_beta_1(evidence: Evidence) -> None:
    originals, nominal, *_ = first_pictures(evidence)
    assert [one.label for one in originals.strips] == ["originals"]
    assert nominal.title == "at β = 1"
    assert [one.label for one in nominal.strips] == [f"{loss}-sum-b1" for loss in samples.LOSSES]
    assert len({one.pixels.shape for group in (originals, nominal) for one in group.strips}) == 1


def test_at_equal_rate_each_loss_is_the_arm_nearest_in_rate_which_stands_beside_it(evidence: Evidence) -> None:
    *_, alike = first_pictures(evidence)
    cells = evidence.done[evidence.done["reduction"] == "sum"]
    rates = cells.groupby(["loss", "beta"])["rate"].mean()
    target = rates["bce", 1.0]
    for one in alike.strips:
        of_loss = rates[one.loss]
        nearest = (of_loss - target).abs().idxmin()
        assert one.note.startswith(f"β = {nearest:g}, ")
        assert one.note.endswith(f"{of_loss[nearest]:.1f} nats")
    assert alike.strips[0].label == "bce-sum-b1"


def test_without_pictures_there_are_none() -> None:
    assert first_pictures(samples.study(seeds=1, betas=BETAS, pictures={})) == ()


def test_each_entry_of_the_table_is_the_start_of_the_strip_that_it_leads_to(evidence: Evidence) -> None:
    rows = strips(evidence.done, evidence.pictures, "reconstructions")
    table = picture_table(evidence.done, rows)
    assert table is not None
    assert table.betas == BETAS
    for row in table.rows:
        for beta, arm in zip(table.betas, row.arms):
            assert arm is not None
            assert arm.strip.label == rows[arm.place].label == f"{row.loss}-{row.reduction}-b{beta:g}"
            width = arm.strip.pixels.shape[1]
            np.testing.assert_array_equal(arm.strip.pixels, rows[arm.place].pixels[:, :width])
            assert (arm.strip.pixels[:, -1, 3] == 255).all()  # cut behind an image, not inside a gap


def test_an_arm_without_pictures_leaves_its_place_empty(evidence: Evidence) -> None:
    rows = [one for one in strips(evidence.done, evidence.pictures, "samples") if one.label != "mae-sum-b2"]
    table = picture_table(evidence.done, rows)
    assert table is not None
    (of_mae,) = [row for row in table.rows if (row.loss, row.reduction) == ("mae", "sum")]
    assert [arm is None for arm in of_mae.arms] == [False, False, False, True]


def test_one_beta_makes_no_table() -> None:
    images = np.zeros((3, 4, 4), dtype=np.uint8)
    evidence = samples.study(seeds=1, betas=(1.0,))
    rows = strips(evidence.done, evidence.pictures, "samples")
    assert rows[0].pixels.shape[2] == strip(images).shape[2] == 4
    assert picture_table(evidence.done, rows) is None

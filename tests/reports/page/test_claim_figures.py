"""What stands with each claim: whether it settled, and which settings change its word."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from reports.judging.verdict import INSUFFICIENT, AtEpoch, Sensitivity, Verdict
from reports.page.claim_figures import claim_figures
from reports.page.claim_sections import ClaimSection, claim_sections
from reports.page.convergence import course_figure, followed, is_known, settling
from reports.page.overfitting import overfitting
from reports.page.sensitivity import (
    TITLES,
    changing,
    described_rows,
    sensitivity_figure,
    sensitivity_frame,
    sensitivity_rows,
)
from tests import report_samples as samples
from tests import verdict_samples

MEASURED = "Every point is measured on all 60 test images."


@pytest.fixture(scope="module")
def sections() -> dict[str, ClaimSection]:
    return {section.id: section for section in claim_sections(samples.whole_study().verdicts)}


@pytest.fixture(scope="module")
def verdict() -> Verdict:
    frame = samples.cells(("bce", "mae"), ("sum",), (1.0,), seeds=8)
    return verdict_samples.compared(frame, "acutance_ratio", ("mae-sum-b1", "bce-sum-b1"), 0.02)


def section_of(verdict: Verdict) -> ClaimSection:
    (section,) = claim_sections([verdict])
    return section


# Sensitivity


def test_every_word_of_the_record_is_a_tile_and_is_named_to_who_does_not_see_it(
    sections: dict[str, ClaimSection],
) -> None:
    for section in sections.values():
        rows = {row.setting: {tile.value: tile.word for tile in row.tiles} for row in sensitivity_rows(section)}
        if section.verdict == INSUFFICIENT or section.answer.sensitivity is None:
            assert rows == {}
            continue
        known = {name: dict(words) for name, words in section.answer.sensitivity.settings if words}
        readings = {"reading": {one.reading: one.verdict for one in section.readings}} if section.readings else {}
        assert rows == (known | readings if known else {})
        assert all(TITLES[name].capitalize() in described_rows(section) for name in rows)
        if rows:
            figure = sensitivity_figure(sensitivity_rows(section), section.verdict)
            assert {TITLES[name] for name in rows} <= {text.get_text() for text in figure.axes[0].texts}


def test_the_values_that_were_judged_are_marked(verdict: Verdict) -> None:
    rows = {row.setting: row for row in sensitivity_rows(section_of(verdict))}
    assert [tile.value for tile in rows["alpha"].tiles if tile.judged] == ["0.05"]
    assert [tile.value for tile in rows["margin"].tiles if tile.judged] == ["1"]
    later = replace(verdict, alpha=0.05 / 4, looks=2)
    assert [tile.value for tile in sensitivity_rows(section_of(later))[0].tiles if tile.judged] == ["0.05"]


def test_a_sentence_says_which_settings_change_the_word(verdict: Verdict) -> None:
    assert changing(section_of(verdict)) == "None of these settings changes the word."
    words = Sensitivity(
        alpha={"0.01": "inconclusive", "0.05": "supported", "0.10": "supported"},
        margin={"0.5": "supported", "1": "supported", "2": "refuted"},
        leave_one_out={"0": "supported", "1": "inconclusive", "2": "inconclusive"},
        luck={"seeds alone": "supported", "seeds, images and classifiers": "supported"},
    )
    assert changing(section_of(replace(verdict, sensitivity=words))) == (
        "The word would be inconclusive at level 0.01 and without one of seeds 1–2; refuted at twice the margin."
    )


def test_words_that_failed_cells_keep_away_are_shown_without_them(sections: dict[str, ClaimSection]) -> None:
    section = sections["mae-acutance"]
    assert section.answer.sensitivity is not None
    assert section.answer.sensitivity.failed["left out"] == "supported"
    assert changing(section) == (
        "The word would be supported at level 0.10 and with failed cells left out. "
        "With 5 seeds, level 0.01 cannot be tested and no seed can be left out."
    )


def test_where_readings_differ_the_other_settings_are_spoken_of(sections: dict[str, ClaimSection]) -> None:
    assert changing(sections["mae-is-better"]).startswith(
        "Beside the reading, none of these settings changes the word."
    )


def test_the_file_of_sensitivity_holds_the_whole_and_every_comparison(sections: dict[str, ClaimSection]) -> None:
    frame = sensitivity_frame(sections.values())
    whole = frame[frame["comparison"] == ""].set_index(["claim", "setting", "value"])["word"]
    assert whole["mae-acutance", "failed", "left out"] == "supported"
    comparisons = frame[(frame["claim"] == "mae-acutance") & (frame["comparison"] != "")]
    assert comparisons["comparison"].nunique() == 4


def test_a_long_row_of_seeds_goes_on_below_itself(verdict: Verdict) -> None:
    words = Sensitivity(leave_one_out={str(seed): "supported" for seed in range(60)})
    rows = sensitivity_rows(section_of(replace(verdict, sensitivity=words)))
    figure = sensitivity_figure(rows, "supported")
    boxes = [patch.get_bbox() for patch in figure.axes[0].patches]
    assert len(boxes) == 60
    assert max(box.x1 for box in boxes) <= figure.get_figwidth()
    assert len({round(box.y0, 6) for box in boxes}) > 1


# Convergence


def course(effects: tuple[float, float, float], settled: bool) -> dict[str, object]:
    points = zip((0.25, 0.5, 1.0), (3, 5, 10), effects)
    by_epochs = tuple(AtEpoch(share, at, effect, effect - 0.01, effect + 0.01, 8) for share, at, effect in points)
    moved = effects[-1] - effects[-2]
    return {"by_epochs": by_epochs, "epochs": 10, "moved": moved, "arms_moved": moved, "settled": settled}


def test_one_comparison_has_its_sentence_and_several_are_told_apart(verdict: Verdict) -> None:
    still = replace(verdict, label="A: 1", **course((0.4, 0.35, 0.3), False))
    slower = replace(verdict, label="B: 1", **course((0.4, 0.33, 0.3), False))
    calm = replace(verdict, label="C: 1", **course((0.26, 0.261, 0.261), True))
    (sentence,) = settling(section_of(still))
    assert sentence.startswith("Still moving: since epoch 5 the difference moved by −0.05")
    settled, moving = settling(section_of(replace(verdict, legs=(slower, calm, still))))
    assert settled.startswith("Settled: “C”.")
    assert moving.startswith("Still moving: “A” and “B”. “A” moved most, counted in margins: since epoch 5 the diff")
    _, moving = settling(section_of(replace(verdict, legs=(calm, still))))
    assert moving.startswith("Still moving: “A”. Since epoch 5 the difference moved by −0.05")
    assert settling(section_of(verdict)) == []
    assert section_of(still).answer.word == "supported after 10 epochs"


def test_the_course_shows_every_point_with_its_interval_and_the_region(verdict: Verdict) -> None:
    still = replace(verdict, **course((0.4, 0.35, 0.3), False))
    (ax,) = course_figure([still], ["MAE − BCE"]).axes
    (line,) = [line for line in ax.lines if len(line.get_xdata()) == 3]
    np.testing.assert_allclose(np.asarray(line.get_xdata(), dtype=float), [3, 5, 10])
    np.testing.assert_allclose(np.asarray(line.get_ydata(), dtype=float), [0.4, 0.35, 0.3])
    low, high = ax.get_ylim()
    assert low < 0 < 0.41 < high
    assert "still moving" in ax.get_title(loc="left")
    assert ax.get_xlabel() == "epochs"


def test_comparisons_of_one_metric_share_a_scale(verdict: Verdict) -> None:
    singles = [replace(verdict, **course((0.4, 0.3, 0.2), False)), replace(verdict, **course((0.9, 0.8, 0.7), False))]
    first, second = course_figure(singles, ["a", "b"]).axes
    assert first.get_ylim() == second.get_ylim()


def test_without_points_of_training_nothing_is_drawn_or_said(verdict: Verdict) -> None:
    section = section_of(verdict)
    assert followed(section) == ()
    assert not is_known([section])
    assert [figure.section for figure in claim_figures(section, "")] == ["effect", "sensitivity"]


def test_the_pictures_of_a_claim_are_described_in_full(sections: dict[str, ClaimSection]) -> None:
    figures = {figure.name: figure for figure in claim_figures(sections["mae-acutance"], MEASURED)}
    assert list(figures) == ["effect-mae-acutance", "course-mae-acutance", "sensitivity-mae-acutance"]
    assert "Still moving" in figures["course-mae-acutance"].alt
    assert MEASURED in figures["course-mae-acutance"].caption
    assert (
        "Failed cells: left out, supported; as the worst value seen, inconclusive."
        in figures["sensitivity-mae-acutance"].alt
    )
    assert "supported" in figures["sensitivity-mae-acutance"].drawing.picture().content.decode()


# Overfitting


def curves(values: dict[str, list[float]], metric: str = "test_neg_elbo") -> pd.DataFrame:
    rows = [(key, epoch, metric, value) for key, row in values.items() for epoch, value in enumerate(row, start=1)]
    return pd.DataFrame(rows, columns=["key", "epoch", "metric", "value"])


def test_an_arm_overfits_where_its_own_held_out_objective_rose() -> None:
    cells = samples.cells(("bce", "mae"), ("sum",), (1.0,), seeds=1)
    rising, falling = [110.0, 100.0, 102.0], [110.0, 100.0, 100.4]
    text = overfitting(curves({"bce-sum-b1-s0": rising, "mae-sum-b1-s0": falling}), cells)
    assert text == (
        "The held-out objective rose again before training ended: bce-sum-b1 by 2.00 nats after epoch 2. Means over "
        "seeds. A rise below 1 % of the least value is not listed: single epochs may differ by as much."
    )
    text = overfitting(curves({"bce-sum-b1-s0": falling, "mae-sum-b1-s0": rising}), cells)
    assert text.startswith("No held-out objective that was recorded ended more than 1 % above its least value.")
    assert "The test −ELBO rose again: mae-sum-b1 by 2.00 nats after epoch 2. It is not what these arms" in text
    assert overfitting(curves({}), cells) == ""


def test_the_least_rise_that_is_told_is_a_share_of_the_objective() -> None:
    """The same curve in other units says the same, but for the number of nats."""
    cells = samples.cells(("bce",), ("sum",), (1.0,), seeds=1)
    for unit in (0.1, 1.0, 100.0):
        told, not_told = (
            overfitting(curves({"bce-sum-b1-s0": [unit * value for value in row]}), cells)
            for row in ([110.0, 100.0, 101.5], [110.0, 100.0, 100.5])
        )
        assert f"by {1.5 * unit:.2f} nats after epoch 2" in told
        assert "No held-out objective" in not_told


def test_the_objective_weighs_the_rate_as_the_arm_does() -> None:
    cells = samples.cells(("bce",), ("sum",), (4.0,), seeds=1)
    key = "bce-sum-b4-s0"
    elbo = curves({key: [110.0, 100.0, 105.0]})
    assert "not what these arms minimise" in overfitting(elbo, cells)
    parts = [curves({key: [80.0, 76.0, 79.0]}, "test_bce"), curves({key: [6.0, 6.0, 5.0]}, "test_rate")]
    assert "No held-out objective" in overfitting(pd.concat([elbo, *parts]), cells)  # 104, 100, 99


def test_the_course_of_every_comparison_is_drawn_and_says_its_state(verdict: Verdict) -> None:
    """The figure of effects shows the few that are nearest to another verdict; this one leaves none out."""
    points = tuple(
        AtEpoch(share, round(10 * share), effect=share, ci_low=0.0, ci_high=2.0, n=8) for share in (0.5, 1.0)
    )
    states = (True, False, None)
    legs = tuple(
        replace(
            verdict,
            label=f"comparison {i}",
            metric=("ssim", "rate")[i % 2],
            by_epochs=points,
            settled=states[i % 3],
        )
        for i in range(11)
    )
    section = section_of(replace(legs[0], legs=legs))
    assert len(section.drawn) < len(followed(section)) == 11
    assert [one.metric for one in followed(section)] == ["ssim"] * 6 + ["rate"] * 5
    figure = course_figure(followed(section), [one.label for one in followed(section)])
    titles = [ax.get_title(loc="left") for ax in figure.axes if ax.get_visible()]
    said = [title.splitlines()[-1] for title in titles]
    assert said.count("settled") == 4
    assert said.count("still moving") == 4
    assert said.count("not followed in every seed") == 3

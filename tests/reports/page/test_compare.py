"""Two studies side by side: joined by arm and seed, with everything said that differs besides."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from reports.judging.judge import headlines
from reports.judging.verdict import INCONCLUSIVE, REFUTED
from reports.page.compare import write_comparison
from reports.page.evidence import Evidence
from reports.page.joined import NOT_LOGGED, OTHER, SAME, Joined
from tests import report_samples as samples
from vae.arms import Arm

HASHES = ["init_hash", "order_hash", "noise_hash"]


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return samples.fail(samples.cells(seeds=4, betas=(0.5, 1.0, 4.0)), "mae-sum-b4-s1", "diverged in epoch 2")


def study(frame: pd.DataFrame, **changes: Any) -> Evidence:
    return Evidence(study="small", frame=frame, **changes)


def joined(first: pd.DataFrame, second: pd.DataFrame) -> Joined:
    return Joined.of(study(first), study(second))


def varied(base: Arm, **options: Sequence[Any]) -> Evidence:
    """A study of one loss and beta over the options given, its arms labelled relative to the base."""
    (name, values), *_ = options.items()
    rows = samples.cells(("bce",), ("sum",), (1.0,), 3, further={f"model.{name}": values})
    labels = {value: base.replace({f"model.{name}": value}).label(base) for value in values}
    rows = samples.few_metrics(rows.assign(arm=rows[f"model.{name}"].map(labels)))
    one = rows[f"model.{name}"].nunique() == 1
    return study(rows.drop(columns=f"model.{name}") if one else rows, base=base)


def written(first: Evidence, second: Evidence, out: Path) -> str:
    """The text of the page, in one line."""
    text: list[str] = []
    parser = HTMLParser()
    parser.handle_data = text.append  # type: ignore[method-assign]
    parser.feed(write_comparison(first, second, out).read_text(encoding="utf-8"))
    return re.sub(r"\s+", " ", " ".join(text))


# Numbers


def test_differences_are_paired_by_seed(frame: pd.DataFrame) -> None:
    rng = np.random.default_rng(3)
    later = frame.assign(ssim=frame["ssim"] + 0.01 + 0.002 * rng.standard_normal(len(frame)))
    later = later.sample(frac=1, random_state=1)
    difference = joined(frame, later).differences(["ssim"]).set_index("arm").loc["bce-sum-b1"]
    by_seed = [cells[cells["arm"] == "bce-sum-b1"].set_index("seed")["ssim"] for cells in (frame, later)]
    expected = stats.ttest_rel(by_seed[1], by_seed[0].reindex(by_seed[1].index)).confidence_interval(0.95)
    assert [difference["low"], difference["high"]] == pytest.approx([expected.low, expected.high], rel=1e-9)
    assert difference["mean"] == pytest.approx(difference["second"] - difference["first"])
    assert list(difference[HASHES]) == [SAME] * 3


def test_a_cell_that_failed_in_one_study_is_in_no_pair(frame: pd.DataFrame) -> None:
    differences = joined(frame, frame).differences(["rate"]).set_index("arm")
    assert differences.loc["mae-sum-b4", "n"] == 3
    assert differences.loc["mae-sum-b1", "n"] == 4


# Which arms are joined


def test_arms_are_joined_by_their_settings_and_not_by_their_labels(tmp_path: Path) -> None:
    first, second = varied(Arm(), latents=[20]), varied(Arm(latents=10), latents=[10, 20])
    assert set(first.frame["arm"]) == {"bce-sum-b1"} == {second.frame["arm"][0]}  # of 20 latents there, of 10 here
    both = Joined.of(first, second)
    (arm,) = both.arms
    assert arm.first == arm.second == Arm()
    expected = second.frame.loc[second.frame["model.latents"] == 20, "rate"].mean() - first.frame["rate"].mean()
    (row,) = both.differences(["rate"]).to_dict("records")
    assert (row["arm"], row["mean"]) == ("bce-sum-b1", pytest.approx(expected))
    text = written(first, second, tmp_path)
    assert "The bases of the studies differ in latents (20 in the first, 10 in the second)." in text
    assert "Arms are named as in the first study; where" in text
    assert "1 arm is in both studies." in text
    assert "Only in the second: bce-sum-b1-latents10." in text


def test_a_setting_that_neither_study_varies_may_differ_and_is_named(tmp_path: Path) -> None:
    first = study(samples.cells(("bce",), ("sum",), (1.0,), 3))
    other = study(samples.cells(("bce",), ("sum",), (1.0,), 3), base=Arm(epochs=150, latents=10))
    assert [arm.first.label() for arm in Joined.of(first, other).arms] == ["bce-sum-b1"]
    text = written(first, other, tmp_path)
    assert "latents" in text
    assert "150" in text


def test_a_setting_that_one_study_varies_must_agree() -> None:
    wide, narrow = (
        varied(Arm(), latents=[20, 2]),
        study(samples.cells(("bce",), ("sum",), (1.0,), 3), base=Arm(latents=10)),
    )
    assert not Joined.of(wide, narrow).arms


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (study(samples.cells(("mae",), ("sum",), (1.0,), 3)), "in loss (bce in the first, mae in the second)"),
        (
            study(samples.cells(("bce",), ("sum",), (1.0,), 3).assign(posterior="log-std")),
            "in posterior (half-logvar in the first, log-std in the second)",
        ),
    ],
)
def test_where_no_arm_is_in_both_the_page_says_which_factor_differs(
    other: Evidence, reason: str, tmp_path: Path
) -> None:
    first = study(samples.cells(("bce",), ("sum",), (1.0,), 3))
    text = written(first, other, tmp_path)
    assert "No arm is in both studies." in text
    assert f"There is nothing to compare: all arms of the first study differ from those of the second {reason}." in text
    assert pd.read_csv(tmp_path / "differences.csv").empty


def test_the_other_reasons_for_no_arm_in_both(frame: pd.DataFrame) -> None:
    assert joined(frame, frame.assign(status="failed")).why_empty == "the second study has no cell that is done"
    early, late = frame[frame["seed"] < 2], frame[frame["seed"] >= 2]
    assert joined(early, late).why_empty == "no arm has a seed that is done in both studies"
    assert joined(early, late).unmatched[0].startswith("Without a seed in common: bce-sum-b0.5, bce-sum-b1, ")
    bce, mse = frame["loss"] == "bce", frame["loss"] == "mse"
    weak, strong = frame["beta"] == 1, frame["beta"] == 4
    crossed = joined(frame[bce & weak | mse & strong], frame[bce & strong | mse & weak])
    assert crossed.why_empty == "no arm has the same value of every setting in both studies"


# What a seed has in common


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "a seed has the same initial weights, batch order and noise in both studies."),
        ({"init_hash": "x"}, "a seed has the same batch order and noise in both studies, but other initial weights."),
        (
            dict.fromkeys(HASHES, "x"),
            "a seed has other initial weights, batch order and noise in each study, so pairing gains nothing.",
        ),
        (
            {"init_hash": "x", "noise_hash": ""},
            "a seed has the same batch order in both studies, but other initial weights; "
            "whether a seed has the same noise was not logged.",
        ),
    ],
)
def test_the_page_says_exactly_what_a_seed_has_in_common(
    frame: pd.DataFrame, changes: dict[str, str], sentence: str
) -> None:
    both = joined(frame, frame.assign(**changes))
    assert both.pairing == f"Differences are paired by the number of the seed: {sentence}"
    expected = {name: {"": NOT_LOGGED, "x": OTHER}[changes[name]] if name in changes else SAME for name in HASHES}
    differences = both.differences(["rate"])
    assert all((differences[name] == agreement).all() for name, agreement in expected.items())
    assert (differences["mean"] == 0).all()


def test_what_only_some_arms_share_is_counted(frame: pd.DataFrame) -> None:
    later = frame.copy()
    later.loc[(later["arm"] == "bce-sum-b1") & (later["seed"] == 2), "init_hash"] = "x"
    assert "the same initial weights in 17 of 18 arms, batch order and noise in both" in joined(frame, later).pairing


# How it was measured


@pytest.mark.parametrize(
    ("keys", "evaluations", "sentence"),
    [
        (("k1", "k1"), ("per_epoch_images = 5", "per_epoch_images = 9"), ""),
        (
            ("k1", "k2"),
            ("iwae_samples = 512\ngenerated = 30", "iwae_samples = 64\ngenerated = 30"),
            "The evaluation settings differ in iwae_samples (512 in the first, 64 in the second): ",
        ),
        (
            ("k1", "k2"),
            ("generated = 30", "generated = 30"),
            "in the second. The evaluation settings are the same, so ",
        ),
        (("k1", "k2"), ("", ""), "differ: k1 in the first, k2 in the second. Which evaluation settings"),
    ],
)
def test_studies_that_are_measured_differently_are_said_to_be(
    keys: tuple[str, str], evaluations: tuple[str, str], sentence: str, tmp_path: Path
) -> None:
    frame = samples.few_metrics(samples.cells(("bce",), ("sum",), (1.0,), 2))
    first, second = (
        study(frame, planned=frame.assign(measures=key), study_file=f"[evaluation]\n{evaluation}")
        for key, evaluation in zip(keys, evaluations)
    )
    text = written(first, second, tmp_path)
    assert sentence in text
    assert bool(sentence) == bool(re.search("measuring keys|evaluation settings", text))


def test_of_different_images_the_measuring_keys_show_less(tmp_path: Path) -> None:
    frame = samples.few_metrics(samples.cells(("bce",), ("sum",), (1.0,), 2))
    environments = (samples.environment(), replace(samples.environment(), data_digest="another"))
    first, second = (
        study(frame, planned=frame.assign(measures=key), study_file="[evaluation]\ngenerated = 30", environment=where)
        for key, where in zip("ab", environments)
    )
    assert "the keys depend on the images too, and may differ by them alone." in written(first, second, tmp_path)


# The page


def test_two_studies_side_by_side(tmp_path: Path) -> None:
    evidence = samples.whole_study()
    first, *others = evidence.verdicts
    later = replace(
        evidence,
        title="After the change",
        frame=evidence.frame[evidence.frame["arm"] != "bce-sum-b2"],
        verdicts=(replace(first, verdict=INCONCLUSIVE), *others),
    )
    text = written(evidence, later, tmp_path)
    assert "23 arms are in both studies. Of 8 claims judged in both, 7 have the same verdict" in text
    assert "better-than-bce changed" in text
    assert "the first study said" not in text
    quotes = [verdict.claim.quote for verdict in headlines(evidence.verdicts)]
    assert [text.count(f"“{quote}”") for quote in quotes] == [1] * 8  # one row each, for both studies
    assert "Only in the first: bce-sum-b2." in text
    assert "a seed has the same initial weights, batch order and noise in both studies" in text
    assert "The bases" not in text
    assert len(pd.read_csv(tmp_path / "differences.csv")["arm"].unique()) == 23


def test_what_differs_between_two_studies_stands_at_the_top(tmp_path: Path) -> None:
    evidence = samples.whole_study()
    same = "Data, seeds and recorded settings are the same in both studies."
    assert same in written(evidence, replace(evidence, title="Again"), tmp_path)
    settings = {**evidence.environment.settings, "epochs": "60"}
    longer = replace(evidence, environment=replace(evidence.environment, settings=settings, commit="fffffff"))
    text = written(evidence, longer, tmp_path)
    assert "The studies differ in epochs (10 against 60)." in text


def test_a_verdict_that_changed_was_said_to_hold_for_its_epochs_alone(tmp_path: Path) -> None:
    evidence = samples.whole_study()
    reading = next(verdict for verdict in evidence.verdicts if verdict.claim.id == "mae-is-better")
    later = replace(evidence, verdicts=(replace(reading, verdict=REFUTED, settled=True),))
    text = written(replace(evidence, verdicts=(reading,)), later, tmp_path)
    assert (
        "mae-is-better changed. Of those that changed, the first report had said that arms still moved: mae-is-" in text
    )
    assert "depends on the reading after 10 epochs" in text

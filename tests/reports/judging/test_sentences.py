"""Verdicts in plain words: never stronger than the numbers beside them."""

from __future__ import annotations

import pytest

from reports.judging.judge import judge
from reports.judging.names import Side, subjects
from tests.claim_samples import claims, frame, one, two_arms
from tests.reports.judging.test_judge import legs, single, three_arms
from vae.arms import Arm

AGAINST = "It does not hold: the difference is in the opposite direction"


@pytest.mark.parametrize(
    ("kind", "difference", "sd", "answer"),
    [
        (
            "greater",
            -0.22,
            0.6,
            "It does not hold: the difference is not more than the 0.2 that would matter; the opposite is possible.",
        ),  # beyond 0
        ("greater", -0.22, 0.2, f"{AGAINST}; whether by more than the 0.2 that matters is open."),
        ("greater", -1.0, 0.2, "The opposite holds, by more than the 0.2 that matters."),
        (
            "less",
            0.22,
            0.45,
            "It does not hold: the difference is not more than the 0.2 that would matter; the opposite is possible.",
        ),
        (
            "greater",
            0.0,
            0.1,
            "It does not hold: the difference is less than the 0.2 that would matter, in either direction.",
        ),
        ("less", 0.22, 0.2, f"{AGAINST}; whether by more than the 0.2 that matters is open."),
        ("less", 1.0, 0.2, "The opposite holds, by more than the 0.2 that matters."),
    ],
)
def test_a_reverse_is_told_only_where_the_whole_interval_shows_it(
    kind: str, difference: float, sd: float, answer: str
) -> None:
    verdict = single(one(kind), two_arms(difference, sd=sd))
    assert verdict.verdict == "refuted"
    assert verdict.sentence.startswith(f"{answer} With ‘sum’ at beta 1, the SSIM of MAE")
    assert verdict.sentence.endswith(", over 8 seeds.")


def test_an_interval_runs_as_the_words_before_it() -> None:
    lower = single(one("less"), two_arms(-1.0))
    assert lower.ci_low is not None
    assert lower.ci_high is not None
    ends = f"{-lower.ci_high:.2f} to {-lower.ci_low:.2f}"
    assert lower.sentence.endswith(f"lower than that of MSE. The 95 % interval is {ends}, over 8 seeds.")
    assert (
        " The 95 % interval is −0.043 to +0.043, over 8 seeds."
        in single(one("equivalent"), two_arms(0.0, sd=0.05)).sentence
    )


@pytest.mark.parametrize(("difference", "told"), [(-0.3, True), (0.1, False)])
def test_an_open_claim_says_where_its_effect_points_the_other_way(difference: float, told: bool) -> None:
    verdict = single(one("greater"), two_arms(difference, sd=1.0))
    assert verdict.verdict == "inconclusive"
    assert (
        "It is open: in the opposite direction, but not yet told apart from the margin of 0.2" in verdict.sentence
    ) == told


def test_no_sentence_has_a_with_inside_a_with() -> None:
    """The posterior stands beside the weight, behind one "with"."""
    arms = [Arm.of({"loss": loss, "posterior": "log-std"}) for loss in ("mae", "bce")]
    words = subjects([Side(arm, arm.loss) for arm in arms], Arm())
    assert words.context == "With ‘sum’ at beta 1 and std = exp(s) (KL rewritten)"


def test_effect_and_table_have_one_rule_of_rounding() -> None:
    """No finer than a hundredth of the margin, however narrow the interval."""
    sentence = single(one("equivalent"), two_arms(0.0123456, sd=1e-6)).sentence
    assert "differs from that of MSE by +0.012. The 95 % interval is +0.012 to +0.012, over 8 seeds." in sentence


def test_the_catalogue_gives_unit_and_words() -> None:
    usual = single(one(metric="sigma_eq"), two_arms(1.0, metric="sigma_eq"))
    assert usual.unit == "px"
    assert "the equivalent blur of MAE is 1.00 px higher" in usual.sentence


def test_a_clause_of_the_claims_file_opens_the_sentence() -> None:
    verdict = single(one(extra='says = { supported = "Edges pay" }'), two_arms(1.0))
    assert verdict.sentence.startswith("Edges pay. It holds, by more than the 0.2 that matters. With ‘sum’")
    assert "Edges" not in single(one(extra='says = { refuted = "Edges cost" }'), two_arms(1.0)).sentence


def test_words_of_a_difference_that_rounds_to_nothing_do_not_say_higher() -> None:
    sentence = single(one("greater"), two_arms(1e-9, sd=0.3)).sentence
    assert "the SSIM of MAE differs from that of MSE by 0.00. " in sentence
    assert "higher" not in sentence


def test_a_claim_of_two_places_says_how_each_came_out() -> None:
    """Better at the settings named, where the rates differ; worse where they do not."""
    arms = [two_arms(1.0).assign(rate=12.0)]
    for beta, rate in ((0.5, 30.0), (2.0, 5.0)):
        worse = two_arms(-1.0).assign(rate=rate, beta=beta)
        worse["arm"] = worse["loss"] + f"-sum-b{beta:g}"
        arms.append(worse)
    arms[0].loc[arms[0]["loss"] == "mae", "rate"] = 29.0
    (overall, *_) = judge(claims(one(extra='places = ["nominal", "matched-rate"]\nrates = [20]')), frame(*arms))
    named, equal = overall.legs
    assert named.verdict == "supported"
    assert overall.sentence.startswith("At the settings named: it holds, by more than the 0.2 that matters. With ‘sum’")
    assert " At equal rate: " in overall.sentence
    assert overall.sentence.endswith(equal.sentence[1:])


def test_a_mixed_conjunction_counts_its_comparisons_by_word() -> None:
    verdict = single(legs(("mae", "mse"), ("mae", "bce")), three_arms(1.0, 3.0))
    assert verdict.sentence.startswith("Of 2 comparisons, 1 is refuted and 1 is supported. The opposite holds,")

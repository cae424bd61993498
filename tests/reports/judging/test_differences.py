"""From cells to differences: pairing, twins, trends, equal rate, tuned arms, anchors, and what is counted."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from reports.claims.load import Claim
from reports.claims.places import MATCHED, NOMINAL
from reports.judging.cells import Cells
from reports.judging.differences import Comparison, measure
from reports.judging.judge import judge
from reports.judging.verdict import Verdict
from tests.claim_samples import NOISE, arm, around, claims, frame, one, two_arms
from vae.arms import Arm

BETAS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
RATES = {
    "bce": (54.9, 41.5, 33.4, 24.7, 15.7, 8.8),
    "mse": (38.4, 27.8, 19.0, 11.7, 5.8, 2.2),
    "mae": (44.0, 33.6, 24.0, 14.2, 7.1, 2.9),
}
TWIN = """
[[claim]]
id = "twins"
quote = "mean is a weight"
kind = "equivalent"
metric = "ssim"
margin = 0.2
reason = "made up"
a = { reduction = "mean" }
twin = true
"""
TREND = """
[[claim]]
id = "trend"
quote = "the rate falls"
kind = "trend"
metric = "rate"
direction = "falls"
margin = 0.5
reason = "made up"
a = { loss = "mse", reduction = "sum" }
"""
ANCHOR = """
[[claim]]
id = "anchor"
quote = "105.6"
kind = "anchor"
metric = "neg_elbo"
reference = 105.6
margin = 0.5
reason = "made up"
a = { loss = "bce", reduction = "sum", beta = 1 }
"""


def measured_by(text: str, cells: pd.DataFrame, place: str = NOMINAL) -> list[Comparison]:
    claim: Claim = claims(text)[0]
    return measure(claim, claim.legs[0], place, Cells(cells))


def single(text: str, cells: pd.DataFrame, planned: pd.DataFrame | None = None) -> Verdict:
    (verdict,) = judge(claims(text), cells, planned=planned)
    return verdict


def ladder(loss: str, gain: float = 0.0, posterior: str = "", shift: float = 0.0) -> pd.DataFrame:
    """All betas of a loss: the rate as on MNIST, a metric of the rate alone plus `gain`, seeds a little apart."""
    arms = []
    for beta, rate in zip(BETAS, RATES[loss]):
        rates = rate * (1 + 0.01 * NOISE) + shift
        ssim = 0.93 - 0.72 * np.exp(-rates / 14) + gain + 0.001 * NOISE[::-1]
        tail = f"-{posterior}" if posterior else ""
        arms.append(arm(f"{loss}-sum-{beta!r}{tail}", {"rate": list(rates), "ssim": list(ssim)}))
    return frame(*arms)


# Pairing.


@pytest.mark.parametrize("name", ["init_hash", "order_hash"])
def test_cells_of_one_seed_that_did_not_start_alike_are_not_paired(name: str) -> None:
    cells = two_arms(5.0)
    cells.loc[(cells["loss"] == "mae") & (cells["seed"] == 3), name] = "other"
    verdict = single(one(), cells)
    assert (verdict.verdict, verdict.n, verdict.per_seed) == ("insufficient", 0, {})
    assert "the cells of seed 3 cannot be paired: init_hash or order_hash differs" in verdict.sentence


def test_hashes_that_were_not_logged_are_told_and_not_held_against_the_cells() -> None:
    verdict = single(one(), two_arms(5.0).drop(columns=["init_hash"]))
    assert verdict.verdict == "supported"
    assert any("could not be checked" in note for note in verdict.evidence)


def test_a_hash_on_one_side_only_is_a_difference() -> None:
    cells = two_arms(5.0)
    cells.loc[cells["loss"] == "mae", "init_hash"] = math.nan
    assert single(one(), cells).verdict == "insufficient"


def test_failed_missing_and_unmeasured_cells_are_counted_by_condition() -> None:
    cells = two_arms(5.0)
    mae = cells["loss"] == "mae"
    cells.loc[mae & (cells["seed"] == 1), ["status", "reason", "ssim"]] = ["failed", "loss became NaN", math.nan]
    cells.loc[mae & (cells["seed"] == 2), "ssim"] = math.nan
    cells = cells[~((cells["loss"] == "mse") & (cells["seed"] == 4))]
    verdict = single(one(), cells)
    first, second = verdict.counts
    assert (first.arm, first.done, first.failed, first.missing, first.unmeasured) == ("mae-sum-b1", 7, 1, 0, 1)
    assert (second.arm, second.done, second.failed, second.missing) == ("mse-sum-b1", 7, 0, 1)
    assert sorted(verdict.per_seed) == [0, 3, 5, 6, 7]
    assert "mae-sum-b1: 7 cells done, 1 failed, 1 without ssim (loss became NaN)." in verdict.evidence
    assert verdict.failed == 1


def test_cells_that_were_planned_and_never_came_are_missing() -> None:
    planned = pd.DataFrame({"arm": ["mae-sum-b1"] * 9 + ["mse-sum-b1"] * 8, "seed": [*range(9), *range(8)]})
    (verdict,) = judge(claims(one()), two_arms(5.0), planned=planned)
    assert [count.missing for count in verdict.counts] == [1, 0]


def test_a_failure_without_a_reason_says_so() -> None:
    cells = two_arms(5.0)
    cells.loc[(cells["loss"] == "mae") & (cells["seed"] == 1), ["status", "reason"]] = ["failed", math.nan]
    assert single(one(), cells).counts[0].reasons == ("no reason logged",)


def test_an_arm_without_a_posterior_has_the_usual_one() -> None:
    cells = two_arms(5.0)
    cells["posterior"] = math.nan
    assert single(one(), cells).verdict == "supported"


def test_a_failed_cell_never_counts_by_the_value_it_left() -> None:
    cells = two_arms(5.0)
    cells.loc[(cells["loss"] == "mae") & (cells["seed"] == 0), "status"] = "failed"
    assert 0 not in single(one(), cells).per_seed


def test_arms_at_different_rates_are_told_apart_in_the_sentence() -> None:
    cells = two_arms(1.0)
    cells["rate"] = np.where(cells["loss"] == "mae", 14.2, 11.7)
    assert (
        " mae-sum-b1 spends 14.2 nats and mse-sum-b1 11.7, so this mixes the loss with the rate. "
        in single(one(), cells).sentence
    )


# Twins.


def twins(rates: tuple[float, float], gap: float, beta: float = 0.5) -> pd.DataFrame:
    pairs = []
    for at, rate in zip((beta, 2 * beta), rates):
        base = np.linspace(0, 3, 8)
        pairs += [
            arm(f"bce-mean-{at}", {"ssim": base + np.array(around(gap, 0.05)), "rate": [rate] * 8}, 39.2 * at),
            arm(f"bce-sum-{39.2 * at}", {"ssim": base, "rate": [rate] * 8}),
        ]
    return frame(*pairs)


def test_every_mean_arm_meets_the_sum_arm_of_equal_beta_eff() -> None:
    measured = measured_by(TWIN, twins((9.0, 5.0), 0.0))
    assert [pair.label for pair in measured] == ["bce-mean-b0.5 − bce-sum-b19.6", "bce-mean-b1 − bce-sum-b39.2"]
    assert single(TWIN, twins((9.0, 5.0), 0.0)).verdict == "supported"
    assert single(TWIN, twins((9.0, 5.0), 0.4)).verdict == "refuted"


def test_a_collapsed_pair_is_shown_told_and_not_counted() -> None:
    verdict = single(TWIN, twins((9.0, 0.01), 0.0))
    assert [leg.counted for leg in verdict.legs] == [True, False]
    assert verdict.verdict == "supported"
    assert "both are collapsed" in verdict.evidence[0]
    assert "bce-mean-b1 − bce-sum-b39.2" in verdict.evidence[0]


def test_where_all_pairs_are_collapsed_nothing_is_shown_to_be_equal() -> None:
    verdict = single(TWIN, twins((0.02, 0.01), 0.0))
    assert verdict.verdict == "insufficient"
    assert "every pair carries nothing, and so is equal whatever the weight" in verdict.sentence


def test_a_pair_of_which_one_alone_is_collapsed_counts() -> None:
    cells = twins((9.0, 5.0), 0.4)
    cells.loc[cells["reduction"] == "mean", "rate"] = 0.01
    assert single(TWIN, cells).verdict == "refuted"


def test_a_mean_arm_without_its_twin_is_said_to_lack_it() -> None:
    cells = twins((9.0, 5.0), 0.0)
    verdict = single(TWIN, cells[cells["beta"] != 39.2])
    assert verdict.verdict == "insufficient"
    assert "no ‘sum’ arm with the beta_eff of bce-mean-b1" in verdict.sentence


def test_a_study_without_mean_arms_has_no_twins() -> None:
    assert "the study has none" in single(TWIN, two_arms(0.0)).sentence


# Trends.


def test_a_trend_is_the_slope_on_log_beta_seed_by_seed() -> None:
    cells = ladder("mse")
    verdict = single(TREND, cells)
    seed0 = cells[cells["seed"] == 0].sort_values("beta")
    assert verdict.verdict == "supported"
    assert verdict.per_seed[0] == pytest.approx(np.polyfit(np.log(seed0["beta"]), seed0["rate"], 1)[0])
    assert "the rate of MSE falls by" in verdict.sentence
    assert any("in no seed does a step in beta go opposite to the claim" in note for note in verdict.evidence)


def test_a_trend_opposite_to_the_claim_is_refuted_and_steps_against_it_are_told() -> None:
    cells = ladder("mse")
    assert single(TREND.replace('"falls"', '"rises"'), cells).verdict == "refuted"
    cells.loc[(cells["beta"] == 1.0) & (cells["seed"] == 5), "rate"] = 30.0
    told = single(TREND, cells)
    assert told.verdict == "supported"  # as a slope; so the sentence itself must say the rest
    assert " But in seed 5 a step in beta goes opposite to the claim by more than 0.5 nats. The 95 %" in told.sentence


def plan_of(cells: pd.DataFrame, *extra: dict[str, object]) -> pd.DataFrame:
    """The plan of a frame whose cells all came, and of arms that never did."""
    columns = ["loss", "reduction", "beta", "beta_eff", "posterior", "arm", "origin", "seed"]
    lost = [{"posterior": "half-logvar", "origin": "grid", **each, "seed": seed} for each in extra for seed in range(8)]
    return pd.concat([cells[columns], pd.DataFrame(lost, columns=columns)], ignore_index=True)


def test_planned_arms_that_never_came_keep_twins_and_trends_from_passing_unseen() -> None:
    pair = frame(arm("bce-mean-1", {"ssim": around(0.0, 0.01)}, 3.2), arm("bce-sum-3.2", {"ssim": around(0.0, 0.01)}))
    whole = plan_of(pair)
    assert single(TWIN, pair, planned=whole).verdict == "supported"
    lost = {"loss": "mae", "reduction": "mean", "beta": 1.0, "beta_eff": 3.2, "arm": "mae-mean-b1"}
    twin = {"loss": "mae", "reduction": "sum", "beta": 3.2, "beta_eff": 3.2, "arm": "mae-sum-b3.2"}
    without = single(TWIN, pair, planned=plan_of(pair, lost, twin))
    assert without.verdict == "insufficient"
    assert "mae-mean-b1: 0 cells done, 8 missing." in without.evidence
    cells = ladder("mse")
    gone = {"loss": "mse", "reduction": "sum", "beta": 8.0, "beta_eff": 8.0, "arm": "mse-sum-b8"}
    trend = single(TREND, cells, planned=plan_of(cells, gone))
    assert trend.verdict == "supported"
    assert "mse-sum-b8: 0 cells done, 8 missing." in trend.evidence


def test_what_rests_on_a_collapsed_model_says_so_in_its_sentence() -> None:
    cells = frame(arm("mae-sum-1", {"ssim": around(5.0), "rate": [0.02] * 8}), arm("mse-sum-1", {"ssim": around(0.0)}))
    assert single(one(), cells).sentence.count(". mae-sum-b1 is collapsed, at a rate of 0.02 nats. ") == 1


def test_one_beta_is_no_trend() -> None:
    cells = ladder("mse")
    assert "a trend needs two betas or more; the study has 1" in single(TREND, cells[cells["beta"] == 1]).sentence


def test_twins_trained_for_another_claim_stay_out_of_trends_and_curves() -> None:
    extra = arm("mse-sum-3.92", {"rate": [50.0] * 8, "ssim": [9.0] * 8}, origin="claims")
    with_twin = frame(ladder("mse"), extra)
    assert single(TREND, with_twin).per_seed == single(TREND, ladder("mse")).per_seed


# Equal rate.

EQUAL_RATE = one("equivalent", margin=0.005, extra='places = ["matched-rate"]')


def test_at_equal_rate_a_metric_of_the_rate_alone_is_equal_and_at_one_beta_it_is_not() -> None:
    cells = frame(ladder("mae"), ladder("mse"))
    assert single(EQUAL_RATE, cells).verdict == "supported"
    assert single(EQUAL_RATE.replace("matched-rate", "nominal"), cells).verdict == "refuted"


def test_a_gain_at_equal_rate_is_found_with_its_size() -> None:
    verdict = single(EQUAL_RATE, frame(ladder("mae", gain=0.05), ladder("mse")))
    assert verdict.verdict == "refuted"
    assert verdict.effect == pytest.approx(0.05, abs=0.002)
    assert verdict.rates == (10, 15, 20, 25, 30)
    assert ". At equal rates of 10, 15, 20, 25 and 30 nats, the SSIM of MAE" in verdict.sentence


def test_rates_outside_the_common_support_are_left_out_and_named() -> None:
    cells = frame(ladder("mae"), ladder("mse"))
    verdict = single(EQUAL_RATE, cells[~((cells["loss"] == "mse") & (cells["beta"] < 0.3))])
    assert verdict.rates == (10, 15)
    assert "Not compared at 20, 25 and 30 nats: not every curve reaches them." in verdict.evidence


def test_without_common_rates_there_is_no_verdict() -> None:
    cells = frame(ladder("mae"), ladder("mse"))
    verdict = single(EQUAL_RATE, cells[cells["beta"] > 1])
    assert verdict.verdict == "insufficient"
    assert "mae-sum and mse-sum share none of the rates 10, 15, 20, 25 and 30 nats" in verdict.sentence


def test_all_cells_of_a_curve_must_have_started_alike() -> None:
    cells = frame(ladder("mae"), ladder("mse"))
    cells.loc[(cells["loss"] == "mae") & (cells["beta"] == 4) & (cells["seed"] == 6), "init_hash"] = "other"
    assert "the cells of seed 6 cannot be paired" in single(EQUAL_RATE, cells).sentence


def test_a_number_can_be_met_at_equal_rate_too() -> None:
    text = EQUAL_RATE.replace('b = { loss = "mse", reduction = "sum", beta = 1 }', "reference = 0.7")
    (measured,) = measured_by(text, frame(ladder("mae"), ladder("mse")), MATCHED)
    rates = np.array([10, 15, 20, 25, 30])
    expected = np.mean(0.93 - 0.72 * np.exp(-rates / 14)) - 0.7
    assert measured.rates == (10, 15, 20, 25, 30)
    assert np.mean(list(measured.by_seed.values())) == pytest.approx(expected, abs=0.002)


# Tuned arms.

TUNED = """
[[claim]]
id = "tuned"
quote = "B against D"
kind = "equivalent"
metric = "ssim"
margin = 0.005
reason = "made up"
a = { loss = "bce", reduction = "sum", beta = 1, posterior = "full-logvar" }
b = { loss = "bce", reduction = "sum", beta = "tuned" }
"""


def test_a_tuned_arm_spends_the_rate_of_the_other() -> None:
    slip = ladder("bce", posterior="full-logvar", shift=9.0)
    verdict = single(TUNED, frame(ladder("bce"), slip[slip["beta"] == 1]))
    assert verdict.verdict == "supported"  # the metric hangs on the rate alone
    assert verdict.arms == ("bce-sum-b1-full-logvar", "bce-sum tuned to the same rate")
    assert "at the beta of equal rate" in verdict.sentence
    (note,) = verdict.evidence
    assert "bce-sum spends the rate of bce-sum-b1-full-logvar lies between 0.4" in note
    plain = TUNED.replace('"tuned" }', "1 }")
    assert single(plain, frame(ladder("bce"), slip[slip["beta"] == 1])).verdict == "refuted"


def test_at_one_rate_the_true_kl_wins_its_own_distortion_by_construction() -> None:
    slip = ladder("bce", posterior="full-logvar", shift=9.0)
    table = frame(ladder("bce"), slip[slip["beta"] == 1])
    verdict = single(TUNED.replace('"ssim"', '"neg_elbo"'), table.assign(neg_elbo=table["ssim"]))
    assert verdict.won_by == "bce-sum tuned to the same rate"
    assert (verdict.verdict, verdict.counted) == ("insufficient", False)


def test_a_rate_that_no_beta_spends_gives_no_tuned_arm() -> None:
    slip = ladder("bce", posterior="full-logvar", shift=90.0)
    verdict = single(TUNED, frame(ladder("bce"), slip[slip["beta"] == 1]))
    assert "no beta of bce-sum spends the rate of bce-sum-b1-full-logvar" in verdict.sentence


# Anchors.


@pytest.mark.parametrize(("value", "word"), [(105.8, "supported"), (106.2, "refuted"), (104.9, "refuted")])
@pytest.mark.parametrize("seeds", [1, 3])
def test_an_anchor_is_decided_by_value_at_any_number_of_seeds(value: float, word: str, seeds: int) -> None:
    verdict = single(ANCHOR, arm("bce-sum-1", {"neg_elbo": around(value, 0.05, seeds)}))
    assert (verdict.verdict, verdict.n, verdict.p_in, verdict.reference) == (word, seeds, None, 105.6)
    assert verdict.effect == pytest.approx(value - 105.6, abs=0.1)


# Other factors than the objective's.


def against(factor: str, value: object, other: object, extra: str = "") -> str:
    """BCE at beta 1 with two values of a factor."""
    arms = "\n".join(
        f'{side} = {{ loss = "bce", beta = 1, "{factor}" = {setting} }}'
        for side, setting in (("a", value), ("b", other))
    )
    return (
        '[[claim]]\nid = "own"\nquote = "own"\nkind = "greater"\nmetric = "ssim"\nmargin = 0.2\nreason = "made up"\n'
        f"{arms}\n{extra}"
    )


def with_values(factor: str, values: dict[Any, float], hashed: bool = True, **fields: Any) -> pd.DataFrame:
    """BCE at beta 1 with these values of a factor: value -> how much its SSIM lies above the others'."""
    base = np.linspace(0, 3, 8)
    arms = []
    for value, gain in values.items():
        cells = arm("bce-sum-1", {"ssim": base + np.array(around(gain)) if gain else base}, **{factor: value}, **fields)
        if hashed:  # of models of their own: weights of their own
            cells["init_hash"] = [f"i{seed}-{value}" for seed in cells["seed"]]
        arms.append(cells)
    return frame(*arms)


def test_a_claim_over_latents_is_judged_and_says_that_weights_differ() -> None:
    cells = with_values("model.latents", {2: 1.0, 20: 0.0})
    verdict = single(against("model.latents", 2, 20), cells)
    assert (verdict.verdict, verdict.shared) == ("supported", ("batch order",))
    assert verdict.arms == ("bce-sum-b1-latents2", "bce-sum-b1")
    numbers = (
        "For BCE with ‘sum’ at beta 1, the SSIM of the arm with 2 latents is 1.00 higher than that of the arm with"
    )
    assert verdict.sentence.startswith(f"It holds, by more than the 0.2 that matters. {numbers}")
    assert " The arms are of different models, so their initial weights differ. The 95 % interval" in verdict.sentence


def test_arms_of_different_models_must_still_share_the_batch_order() -> None:
    cells = with_values("model.latents", {2: 1.0, 20: 0.0})
    cells.loc[(cells["model.latents"] == 2) & (cells["seed"] == 3), "order_hash"] = "other"
    assert "the cells of seed 3 cannot be paired" in single(against("model.latents", 2, 20), cells).sentence


def test_arms_of_one_model_with_different_weights_are_refused_and_with_the_same_are_not() -> None:
    text, values = against("training.learning_rate", 3e-4, 1e-3), {3e-4: 1.0, 1e-3: 0.0}
    assert "cannot be paired" in single(text, with_values("training.learning_rate", values)).sentence
    verdict = single(text, with_values("training.learning_rate", values, hashed=False, noise_hash="n"))
    assert (verdict.verdict, verdict.shared) == ("supported", ("initial weights", "batch order", "noise"))
    assert "the SSIM of the arm with learning rate 0.0003 is 1.00 higher" in verdict.sentence
    assert "weights" not in verdict.sentence


def test_what_a_claim_does_not_name_is_the_bases() -> None:
    cells = frame(two_arms(5.0).assign(**{"model.latents": 2}), two_arms(-5.0).assign(**{"model.latents": 20}))
    for latents, word in ((2, "supported"), (20, "refuted")):
        base = Arm(latents=latents)
        cells["arm"] = [f"{row['loss']}-{row['model.latents']}" for row in cells.to_dict("records")]
        (verdict,) = judge(claims(one()), cells, base=base)
        assert (verdict.verdict, verdict.arms) == (word, (f"mae-{latents}", f"mse-{latents}"))
        assert "latents" not in verdict.sentence


def test_what_both_arms_have_and_the_base_has_not_is_named_before_them() -> None:
    text = one().replace("beta = 1 }", "beta = 1, model = { latents = 2, conditional = true } }")
    cells = two_arms(5.0).assign(**{"model.latents": 2, "model.conditional": True})
    numbers = " With ‘sum’ at beta 1, 2 latents and labels, the SSIM of MAE is 5.00 higher than that of MSE"
    assert numbers in single(text, cells).sentence


def test_an_arm_that_two_selectors_name_in_this_study_is_not_compared_with_itself() -> None:
    verdict = single(
        against("model.latents", 20, 20).replace(', "model.latents" = 20 }', " }", 1),
        with_values("model.latents", {2: 1.0, 20: 0.0}),
    )
    assert verdict.verdict == "insufficient"
    assert "a and b are one arm in this study, bce-sum-b1" in verdict.sentence


def test_trends_and_curves_run_through_arms_that_differ_in_beta_alone() -> None:
    cells = frame(ladder("mse"), ladder("mse", gain=9.0, shift=30.0).assign(**{"model.latents": 2.0}))
    assert single(TREND, cells).per_seed == single(TREND, ladder("mse")).per_seed
    own = TREND.replace('reduction = "sum"', '"model.latents" = 2')
    assert single(own, cells).label == "rate: slope of rate on ln beta, mse-sum-latents2"
    assert single(own, cells).per_seed == pytest.approx(single(TREND, ladder("mse", shift=30.0)).per_seed)


def test_numbers_that_pandas_made_floats_are_what_they_were() -> None:
    cells = with_values("model.latents", {2: 1.0, 20: 0.0})
    cells.loc[cells["model.latents"] == 20, "model.latents"] = math.nan  # absent: the base's
    assert cells["model.latents"].dtype == float
    assert single(against("model.latents", 2, 20), cells).verdict == "supported"

"""The verdicts: each rule of the statistics section seen from outside, on frames made up to show it."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

from reports.claims import load, model
from reports.claims.kinds import KINDS, Kind
from reports.claims.load import load_claims
from reports.claims.needs import needed_arms
from reports.claims.regions import Region
from reports.judging.decisions import conjunction
from reports.judging.differences import MEASURES
from reports.judging.judge import headlines, judge
from reports.judging.statistics import holm, p_values, seeds_to_settle
from reports.judging.verdict import SCHEMA, SCHEMA_VERSION, WORDS, Verdict, document
from tests.claim_samples import arm, around, claims, frame, one, resolved, two_arms
from tests.report_samples import metrics_of
from vae.arms import Arm
from vae.errors import UserError

LEG = """
[[claim.leg]]
metric = "{metric}"
margin = 0.2
reason = "made up"
a = {{ loss = "{a}", reduction = "sum", beta = 1 }}
b = {{ loss = "{b}", reduction = "sum", beta = 1 }}
{extra}
"""
HEAD = '[[claim]]\nid = "both"\nquote = "Both"\nkind = "greater"\n'


def legs(*pairs: tuple[str, str], metric: str = "ssim", extra: str = "") -> str:
    return HEAD + "".join(LEG.format(metric=metric, a=a, b=b, extra=extra) for a, b in pairs)


def single(text: str, cells: pd.DataFrame, **options: Any) -> Verdict:
    (verdict,) = judge(claims(text), cells, **options)
    return verdict


# The region rule.


@pytest.mark.parametrize(
    ("kind", "difference", "word"),
    [
        ("greater", 1.0, "supported"),
        ("greater", -1.0, "refuted"),
        ("greater", -0.3, "refuted"),
        ("greater", 0.2, "inconclusive"),
        ("less", -1.0, "supported"),
        ("less", 1.0, "refuted"),
        ("equivalent", 0.0, "inconclusive"),
        ("equivalent", 1.0, "refuted"),
        ("equivalent", -1.0, "refuted"),
    ],
)
def test_the_region_decides(kind: str, difference: float, word: str) -> None:
    assert single(one(kind), two_arms(difference)).verdict == word


def test_a_positive_effect_below_the_margin_is_refuted_as_not_mattering() -> None:
    verdict = single(one("greater", margin=0.5), two_arms(0.1, sd=0.05))
    assert verdict.verdict == "refuted"
    assert verdict.effect is not None
    assert verdict.effect > 0
    assert "less than the 0.5 that would matter, in either direction" in verdict.sentence


def test_a_difference_that_is_not_significant_is_not_called_equal() -> None:
    noisy, tight = two_arms(0.0, sd=2.0), two_arms(0.0, sd=0.05)
    assert single(one("equivalent"), noisy).verdict == "inconclusive"
    assert single(one("equivalent"), tight).verdict == "supported"


def test_the_numbers_are_those_of_the_paired_differences() -> None:
    cells = two_arms(1.0)
    verdict = single(one(), cells)
    wide = cells.pivot(index="seed", columns="loss", values="ssim")
    d = wide["mae"] - wide["mse"]
    assert verdict.per_seed == pytest.approx(dict(d))
    assert (verdict.effect, verdict.sd, verdict.n) == (pytest.approx(d.mean()), pytest.approx(d.std()), 8)
    p_in, p_out = p_values(d, Region.above(0.2))
    assert (verdict.p_in, verdict.p_out) == (pytest.approx(float(p_in)), pytest.approx(float(p_out)))
    assert verdict.levels == pytest.approx({"mae-sum-b1": wide["mae"].mean(), "mse-sum-b1": wide["mse"].mean()})
    assert verdict.region == (0.2, None)
    assert verdict.d_z == pytest.approx(d.mean() / d.std())


def test_pairing_by_seed_and_not_by_row() -> None:
    cells = two_arms(1.0)
    shuffled = cells.sample(frac=1, random_state=3)
    assert single(one(), shuffled).per_seed == single(one(), cells).per_seed


# Few seeds, no spread, disagreement.


@pytest.mark.parametrize("seeds", [1, 2, 4])
def test_too_few_seeds_decide_nothing_and_still_show_the_effect(seeds: int) -> None:
    verdict = single(one(), two_arms(5.0, sd=0.01, seeds=seeds))
    assert verdict.verdict == "insufficient"
    assert "5 are the fewest that can decide at 0.05" in verdict.reason
    assert verdict.effect == pytest.approx(5.0, abs=0.1)
    assert "So far:" in verdict.sentence


def test_five_seeds_can_decide_from_one_side_and_cannot_refute_an_equality() -> None:
    assert single(one(), two_arms(5.0, seeds=5)).verdict == "supported"
    apart = single(one("equivalent"), two_arms(5.0, seeds=5))
    assert apart.verdict == "inconclusive"
    assert apart.p_exact_out == 0.0625
    assert "5 seeds cannot refute an equality at 0.05; 6 can" in apart.sentence
    assert apart.seeds_to_settle == 6
    assert single(one("equivalent"), two_arms(5.0, seeds=6)).verdict == "refuted"


def test_the_exact_test_overrules_t_and_says_so() -> None:
    # One seed far off in the claimed direction: the t test is swayed by size, the sign flips count signs.
    values = [-0.02, 1.1, 1.0, 1.2, 0.9, 1.1]
    cells = frame(arm("mae-sum-1", {"ssim": values}), arm("mse-sum-1", {"ssim": [0.0] * 6}))
    text = one(margin=0.4)
    t_alone = float(p_values(values, Region.above(0.4))[0])
    exact = float(p_values(values, Region.above(0.4), test="signs")[0])
    assert t_alone < 0.05 / 2
    assert exact == pytest.approx(0.03125)
    for alpha, word in ((0.05, "supported"), (0.03, "inconclusive")):
        verdict = single(text, cells, alpha=alpha)
        assert verdict.verdict == word
        assert ("disagree" in verdict.sentence) == (word == "inconclusive")


@pytest.mark.parametrize(
    ("difference", "kind", "word"),
    [
        (0.5, "greater", "supported"),
        (0.1, "greater", "refuted"),
        (0.0, "equivalent", "supported"),
        (0.5, "equivalent", "refuted"),
    ],
)
def test_without_spread_the_value_decides(difference: float, kind: str, word: str) -> None:
    verdict = single(one(kind), two_arms(difference, sd=0.0))
    assert verdict.verdict == word
    assert verdict.d_z is None


def test_seeds_to_settle_are_given_for_what_is_open_only() -> None:
    open_one = single(one(), two_arms(0.35))
    assert open_one.verdict == "inconclusive"
    assert open_one.effect is not None
    assert open_one.sd is not None
    expected = seeds_to_settle(open_one.effect, open_one.sd, Region.above(0.2), alpha=0.05)
    assert open_one.seeds_to_settle == expected
    assert f"about {expected} seeds would be needed to decide" in open_one.sentence
    assert single(one(), two_arms(1.0)).seeds_to_settle is None


# The family.


def test_holm_runs_over_all_claims_separately_for_in_and_out() -> None:
    texts = [one(name=f"c{i}", margin=m) for i, m in enumerate((0.2, 0.35, 0.8))]
    verdicts = judge(claims("".join(texts)), two_arms(0.55))
    assert [v.p_in_adj for v in verdicts] == pytest.approx(list(holm([v.p_in for v in verdicts])))
    assert [v.p_out_adj for v in verdicts] == pytest.approx(list(holm([v.p_out for v in verdicts])))


def test_a_claim_can_lose_its_support_to_the_family() -> None:
    cells, border = two_arms(0.45), one(margin=0.22, name="border")
    alone = single(border, cells)
    assert alone.verdict == "supported"
    beside = "".join(one(name=f"n{i}", margin=0.45) for i in range(4))
    among = judge(claims(border + beside), cells)[0]
    assert (among.verdict, among.p_in) == ("inconclusive", alone.p_in)


def test_what_cannot_be_tested_is_not_in_the_family() -> None:
    alone = single(one(), two_arms(1.0))
    unknown = one(name="other", metric="legibility")
    fact = '[[claim]]\nid = "f"\nquote = "f"\nkind = "fact"\ncheck = "sigmoid-range"\n'
    first, second, third = judge(claims(one() + unknown + fact), two_arms(1.0))
    assert first.p_in_adj == alone.p_in_adj
    assert (second.verdict, second.reason) == ("insufficient", "the study did not measure legibility")
    assert (third.verdict, third.place) == ("refuted", "computed")


# Conjunctions.


def three_arms(mae: float, bce: float, sd: float = 0.3) -> pd.DataFrame:
    base = np.linspace(0, 3, 8)
    values = {"mae": base + np.array(around(mae, sd)), "mse": base, "bce": base + bce}
    return frame(*(arm(f"{loss}-sum-1", {"ssim": v}) for loss, v in values.items()))


@pytest.mark.parametrize(
    ("mae", "bce", "word"),
    [(1.0, 0.0, "supported"), (1.0, 3.0, "refuted"), (0.35, -3.0, "inconclusive"), (0.35, 3.0, "refuted")],
)
def test_all_legs_must_hold_and_one_refuted_refutes(mae: float, bce: float, word: str) -> None:
    verdict = single(legs(("mae", "mse"), ("mae", "bce")), three_arms(mae, bce))
    assert verdict.verdict == word
    assert conjunction(leg.verdict for leg in verdict.legs) == word


def test_each_leg_is_judged_at_alpha_without_sharing_it() -> None:
    cells = three_arms(0.45, 0.0)
    alone = single(legs(("mae", "mse")), cells)
    both = single(legs(("mae", "mse"), ("mae", "bce")), cells)
    assert both.legs[0].p_in_adj == alone.p_in_adj
    assert both.p_in_adj == max(leg.p_in_adj or 0 for leg in both.legs)
    assert (both.verdict, both.p_in) == (alone.verdict, alone.p_in)


@pytest.mark.parametrize(
    ("region", "legs"), [(Region.above(1.0), 4), (Region.above(1.0), 12), (Region.within(1.0), 12)]
)
def test_many_comparisons_do_not_refute_a_claim_by_their_number(region: Region, legs: int) -> None:
    """Every comparison on its margin, where the claim is all but true: simulated, by t, as the family counts them."""
    rng = np.random.default_rng(7)
    _, p_out = p_values(1.0 + rng.standard_normal((4000, legs, 8)), region)
    alone = float((p_out.min(axis=1) < 0.05).mean())
    together = float((legs * p_out.min(axis=1) < 0.05).mean())
    assert together < 0.06 < alone


def test_a_refuted_leg_pays_for_the_chances_that_its_claim_had() -> None:
    cells = three_arms(-0.05, -1.0)
    alone, both = single(legs(("mae", "mse")), cells), single(legs(("mae", "mse"), ("mae", "bce")), cells)
    assert both.legs[0].p_out == alone.p_out
    assert both.legs[0].p_out_adj == pytest.approx(2 * (alone.p_out or 1))
    assert both.p_out_adj == min(leg.p_out_adj or 1 for leg in both.legs)


def test_the_family_holds_a_conjunction_once_by_its_worst_leg() -> None:
    text = legs(("mae", "mse"), ("mae", "bce")) + one(name="third", margin=0.3)
    both, third = judge(claims(text), three_arms(0.6, -1.0))
    worst = max(leg.p_in or 0 for leg in both.legs)
    assert [both.p_in_adj, third.p_in_adj] == pytest.approx(list(holm([worst, third.p_in])))
    assert both.effect == both.legs[0].effect  # the numbers of the leg that decides


def test_the_others_see_the_worst_leg_of_a_conjunction() -> None:
    # p_in of the third lies between those of the two legs: what it is multiplied by tells which leg stands for both.
    text = legs(("mae", "mse"), ("mae", "bce")) + one(name="third", margin=0.3)
    both, third = judge(claims(text), three_arms(0.7, 0.3))
    best, worst = sorted(leg.p_in or 0 for leg in both.legs)
    assert third.p_in is not None
    assert best < third.p_in < worst
    assert third.p_in_adj == pytest.approx(2 * third.p_in)


def test_a_conjunction_that_lacks_a_leg_stands_in_the_family_as_unsupported() -> None:
    text = legs(("mae", "mse"), ("mae", "bce")) + one(name="third", margin=0.3)
    both, third = judge(claims(text), two_arms(0.7))
    assert both.verdict == "insufficient"
    assert both.legs[0].p_in is not None
    assert third.p_in is not None
    assert both.legs[0].p_in < third.p_in
    assert third.p_in_adj == pytest.approx(2 * third.p_in)


def test_a_leg_that_lacks_data_keeps_a_conjunction_from_support_but_not_from_refutation() -> None:
    for mae, word in ((1.0, "insufficient"), (-1.0, "refuted")):
        verdict = single(legs(("mae", "mse"), ("mae", "gone")).replace("gone", "bce"), two_arms(mae))
        assert verdict.verdict == word
    assert "the study has no arm bce-sum-b1" in verdict.legs[1].sentence


def test_an_uncounted_leg_is_shown_and_does_not_decide() -> None:
    text = legs(("mae", "mse")) + LEG.format(metric="ssim", a="mae", b="bce", extra="counted = false")
    verdict = single(text, three_arms(1.0, 3.0))
    assert (verdict.verdict, verdict.legs[1].verdict, verdict.legs[1].counted) == ("supported", "refuted", False)
    assert verdict.legs[1].p_in_adj is None
    assert verdict.p_in_adj == single(legs(("mae", "mse")), three_arms(1.0, 3.0)).p_in_adj


# A kind is a value.


def test_a_new_kind_of_claim_is_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    """No worse: above minus the margin. It is read, measured, tested and worded without another line of code."""

    def not_below(margin: float, direction: str) -> Region:
        return Region(low=-margin)

    added = replace(KINDS["greater"], name="no-worse", region=not_below)
    for module in (model, load):
        monkeypatch.setattr(module, "KINDS", {**KINDS, added.name: added})
    verdict = single(one("no-worse"), two_arms(-0.05, sd=0.05))
    assert (verdict.verdict, verdict.kind, verdict.region) == ("supported", "no-worse", (-0.2, None))
    assert single(one("no-worse"), two_arms(-1.0)).verdict == "refuted"


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_each_kind_is_measured_in_a_way_that_there_is(kind: Kind) -> None:
    assert kind.measure in MEASURES
    assert not set(kind.needs) & set(kind.forbids)
    assert {*kind.needs, *kind.forbids, *kind.one_of} <= set(model.Leg.model_fields)


# Sensitivity.


def test_sensitivity_repeats_the_rule_under_other_settings() -> None:
    cells = two_arms(0.5)
    verdict = single(one(), cells)
    sensitivity = verdict.sensitivity
    assert sensitivity is not None
    for alpha in (0.01, 0.05, 0.10):
        assert sensitivity.alpha[f"{alpha:.2f}"] == single(one(), cells, alpha=alpha).verdict
    for factor in (0.5, 1, 2):
        assert sensitivity.margin[f"{factor:g}"] == single(one(margin=0.2 * factor), cells).verdict
    assert not sensitivity.stable
    on_edge = single(one(), two_arms(0.42)).sensitivity
    assert on_edge is not None
    for seed in range(8):
        without = two_arms(0.42).query("seed != @seed")
        assert on_edge.leave_one_out[str(seed)] == single(one(), without).verdict
    assert len(set(on_edge.leave_one_out.values())) == 2


def test_a_strong_effect_is_stable_though_five_seeds_cannot_do_without_one() -> None:
    sensitivity = single(one(), two_arms(3.0, seeds=5)).sensitivity
    assert sensitivity is not None
    assert set(sensitivity.leave_one_out.values()) == {"insufficient"}
    assert sensitivity.stable


def test_the_sensitivity_of_a_conjunction_is_the_conjunction_of_the_settings() -> None:
    verdict = single(legs(("mae", "mse"), ("mae", "bce")), three_arms(0.5, -3.0))
    assert verdict.sensitivity is not None
    for factor, word in verdict.sensitivity.margin.items():
        assert word == conjunction(leg.sensitivity.margin[factor] for leg in verdict.legs if leg.sensitivity)


# The record.


@cache
def everything(seeds: int = 8) -> pd.DataFrame:
    """A made-up study of the notes' grid with all that the notes' claims pull."""

    def beta_eff(arm: Arm) -> float:
        return arm.effective_beta(784)

    grid = [
        Arm(loss, reduction=reduction, beta=beta)
        for loss in ("bce", "mse", "mae")
        for reduction in ("sum", "mean")
        for beta in (0.1, 0.25, 0.5, 1, 2, 4)
    ]
    pulled = needed_arms(load_claims("notes"), grid, base=Arm(), effective_beta=beta_eff)
    rng = np.random.default_rng(5)
    shared, arms = rng.standard_normal((seeds, 6)), []
    for wanted in [*grid, *pulled]:
        at = beta_eff(wanted)
        rows = [metrics_of(wanted.loss, at, shared[seed], rng.standard_normal(6)) for seed in range(seeds)]
        values = {metric: [row[metric] for row in rows] for metric in rows[0]}
        label = f"{wanted.loss}-{wanted.reduction}-{wanted.beta!r}-{wanted.posterior}"
        arms.append(arm(label, values, at, origin="grid" if wanted in grid else "claims"))
    return frame(*arms)


@cache
def judged_notes() -> tuple[Verdict, ...]:
    """The notes' claims, judged on all that they pull."""
    return tuple(judge(resolved("notes"), everything()))


def test_the_notes_are_judged_whole() -> None:
    verdicts, notes = judged_notes(), load_claims("notes")
    assert len(everything()) == 472
    assert [v.claim.id for v in headlines(verdicts)] == [claim.id for claim in notes]
    words = {v.claim.id: v.verdict for v in headlines(verdicts)}
    for claim in ("mae-acutance", "mse-blurs", "beta-is-the-weight", "mean-is-a-reweighting"):
        assert words[claim] == "supported", claim
    assert (words["sigmoid-range"], words["code-as-printed"]) == ("refuted", "refuted")


def test_a_study_without_cells_still_has_a_verdict_for_each_claim() -> None:
    verdicts = judge(resolved("notes"), everything(1).head(0))
    words = {v.verdict for v in verdicts if v.place != "computed"}
    assert words == {"insufficient"}


def test_the_record_is_json_with_exactly_the_documented_keys() -> None:
    def check(record: dict[str, Any]) -> None:
        assert list(record) == list(SCHEMA)
        assert record["verdict"] in WORDS
        assert record["sentence"].endswith(".")
        for leg in record["legs"]:
            check(leg)

    for verdict in judged_notes():
        text = json.dumps(verdict.to_dict(), allow_nan=False)
        check(json.loads(text))


def test_the_document_holds_the_verdicts_and_the_level_they_were_judged_at() -> None:
    verdicts = judge(claims(one()), two_arms(1.0), alpha=0.01)
    content = document(verdicts, study="s", dataset="d", claims_hash="0", notes=("n",), alpha=0.01)
    assert list(content) == [
        "schema",
        "alpha",
        "study",
        "dataset",
        "claims_hash",
        "registered",
        "normality",
        "notes",
        "verdicts",
    ]
    assert (content["schema"], content["alpha"], content["notes"]) == (SCHEMA_VERSION, 0.01, ["n"])
    assert content["verdicts"] == [verdict.to_dict() for verdict in verdicts]


def test_a_claim_of_two_places_is_answered_for_both_together_first() -> None:
    verdicts = [v for v in judged_notes() if v.claim.id == "better-than-bce"]
    assert [v.reading for v in verdicts] == ["", *["reconstructions"] * 3, *["samples"] * 3]
    assert [v.place for v in verdicts] == ["overall", *["overall", "nominal", "matched-rate"] * 2]
    whole, reconstructions, *places = verdicts[:4]
    assert reconstructions.verdict == conjunction(v.verdict for v in places)
    assert [leg.place for leg in reconstructions.legs] == ["nominal", "matched-rate"]
    assert [leg.reading for leg in whole.legs] == ["reconstructions", "samples"]
    assert (reconstructions.verdict, verdicts[4].verdict, whole.verdict) == ("refuted", "insufficient", "insufficient")


def test_frames_that_cannot_be_judged_are_refused_by_name() -> None:
    cells = two_arms(1.0)
    with pytest.raises(UserError, match=r"frame lacks the columns \['status'\]"):
        single(one(), cells.drop(columns="status"))
    with pytest.raises(UserError, match="frame holds two cells for arm mae-sum-b1, seed 0"):
        single(one(), frame(cells, cells.head(1)))
    with pytest.raises(UserError, match="alpha=2 must lie between 0 and 1"):
        single(one(), cells, alpha=2)

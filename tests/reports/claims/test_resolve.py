"""Shares become margins in units and predictions become numbers, on one data set."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.claims.kinds import KINDS, Measure
from reports.claims.load import claims_from_json, claims_hash, load_claims
from reports.claims.model import Claim, Leg
from reports.claims.predictions import significant
from reports.claims.regions import Region
from reports.claims.resolve import at_least_one_image, needs_references, resolve
from tests.claim_samples import PREDICTED, claims, one, references
from vae.arms import Arm
from vae.errors import UserError


def share(value: float = 0.01, of: str = "floor to ceiling", metric: str = "ssim", kind: str = "greater") -> str:
    """A claims file whose margin is a share."""
    return one(kind, metric=metric).replace("margin = 0.2", f'share = {value}\nof = "{of}"')


def leg(text: str, base: Arm | None = None, **changes: Any) -> Leg:
    """The one leg of a file, resolved on made-up references."""
    return resolve(claims(text), references(**changes), base=base)[0].legs[0]


@pytest.mark.parametrize(
    ("metric", "value", "of", "margin"),
    [
        ("ssim", 0.01, "floor to ceiling", 0.008),
        ("kid", 0.01, "floor to ceiling", 0.3),
        ("legibility", 0.01, "chance to all", 0.009),
        ("rate", 0.05, "rate at beta 1", 0.49),
        ("rate", 0.0001, "rate at beta 1", 0.1),  # no less than what counts as collapsed
        ("legibility", 1e-6, "floor to ceiling", 0.0001),  # no less than one test image
    ],
)
def test_a_share_becomes_units_and_stays_beside_them(metric: str, value: float, of: str, margin: float) -> None:
    resolved = leg(share(value, of, metric))
    assert resolved.margin == pytest.approx(margin)
    assert (resolved.share, resolved.of) == (value, of)
    assert resolved.region == Region.above(margin)


def test_a_margin_in_units_is_left_as_it_is() -> None:
    for text in (one(), one(metric="legibility", margin=1e-6)):
        assert resolve(claims(text), references()) == claims(text)
        assert not needs_references(claims(text))


@pytest.mark.parametrize(
    ("metric", "margin", "least"),
    [("legibility", 1e-6, 0.0028), ("legibility", 0.01, 0.01), ("legibility", 0.0, 0.0028), ("ssim", 1e-6, 1e-6)],
)
def test_no_margin_in_units_is_below_one_test_image(metric: str, margin: float, least: float) -> None:
    (claim,) = at_least_one_image(claims(one(metric=metric, margin=margin)), 360)
    assert claim.legs[0].margin == least
    assert at_least_one_image([claim], 360) == (claim,)


def test_models_with_labels_start_from_the_floor_with_labels() -> None:
    assert leg(share(), Arm(conditional=True)).margin == 0.007
    text = share().replace('a = { loss = "mae"', 'a = { "model.conditional" = true, loss = "mae"')
    assert leg(text).margin == 0.007


@given(value=st.floats(1e-6, 1), floor=st.floats(0, 0.99), images=st.integers(10, 10**5))
def test_a_margin_is_near_its_share_and_never_below_one_image(value: float, floor: float, images: int) -> None:
    made = references(floor={"legibility": floor}, ceiling={"legibility": 1.0}, test_images=images)
    text = share(metric="legibility").replace("share = 0.01", f"share = {value!r}")
    margin = resolve(claims(text), made)[0].legs[0].margin
    assert margin is not None
    assert margin >= 1 / images
    assert margin == significant(margin, 2)
    wanted = value * (1 - floor)
    assert margin == pytest.approx(wanted, rel=0.06) or margin <= 1.1 / images


@pytest.mark.parametrize(
    ("text", "changes", "message"),
    [
        (
            share(metric="mtf50"),
            {},
            r"claim 'sample', mtf50: share=0\.01 of 'floor to ceiling': this data set does not give that range of "
            r"mtf50; write margin = \.\.\. in the metric's units instead",
        ),
        (share(), {"floor": {"ssim": math.nan}}, "does not give that range of ssim"),
        (share(), {"ceiling": {"ssim": 0.2}}, "on this data set that range of ssim is 0"),
        (share(metric="legibility", of="chance to all"), {"classes": 1}, "that range of legibility is 0"),
        (share(metric="rate", of="rate at beta 1"), {"ppca": {}}, "does not give that range of rate"),
        (PREDICTED, {"ppca": {"eigenvalues": [0.0]}}, "the training images do not differ"),
        (PREDICTED.replace("beta = 1", "beta = 11"), {}, "share=0.25 of 'prediction': .* that range of rate is 0"),
    ],
)
def test_a_range_that_is_unknown_or_nothing_is_refused(text: str, changes: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        leg(text, **changes)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("metric", ["legibility", "kid"])
def test_what_a_data_set_cannot_be_measured_by_is_left_open_and_never_judged(metric: str) -> None:
    unlabelled = {"classes": 0, "floor": {"ssim": 0.2}, "ceiling": {"ssim": 1.0}}
    resolved = leg(share(metric=metric), **unlabelled)
    assert (resolved.margin, resolved.resolved) == (None, False)
    with pytest.raises(UserError, match=f"{metric}: share=0.01 of 'floor to ceiling' is no number yet"):
        assert resolved.region
    assert leg(share(), **unlabelled).resolved


def test_predictions_become_numbers_of_the_data_set() -> None:
    rates, collapse = resolve(load_claims("ppca"), references())
    assert [leg.reference for leg in rates.legs] == [21.5, 9.73]
    assert [leg.margin for leg in rates.legs] == [5.4, 2.4]
    assert rates.legs[1].region == Region.within(2.4)
    assert collapse.legs[0].reference == 8.55  # 2 · 5.22 · e^(−0.2)
    assert (collapse.kind, collapse.legs[0].kind.measure) == (KINDS["predicted"], Measure.CROSSING)
    assert not needs_references((rates, collapse))
    assert needs_references(load_claims("ppca"))
    assert needs_references(load_claims("notes"))
    assert not needs_references(load_claims("anchor"))


def test_a_prediction_knows_the_latents_and_the_weight_of_its_arm() -> None:
    few = PREDICTED.replace("beta = 1", 'beta_eff = 1, "model.latents" = 2')
    assert leg(few).reference == significant(0.5 * math.log(10.44) + 0.5 * math.log(7.48), 3)
    assert leg(PREDICTED, Arm(latents=2)).reference == leg(few).reference
    with pytest.raises(UserError, match=r"is of models without labels: set model\.conditional = false"):
        leg(PREDICTED, Arm(conditional=True))


def test_an_option_of_another_family_is_told_with_its_claim() -> None:
    text = share().replace('loss = "mae"', 'loss = "mae", "model.channels" = [8]')
    with pytest.raises(UserError, match=r"claim 'sample' .*channels is not an option of family='mlp'"):
        leg(text)


@st.composite
def files(draw: st.DrawFn) -> tuple[Claim, ...]:
    metric = draw(st.sampled_from(["ssim", "kid", "legibility"]))
    text = share(draw(st.floats(0.001, 1)), metric=metric) + draw(st.sampled_from(["", PREDICTED]))
    if draw(st.booleans()):
        text = f"[matched_rate]\nshares = [{draw(st.floats(0.1, 0.9))}]\n{text}"
    return claims(text)


@given(read=files(), ssim=st.floats(-1, 0.9), values=st.lists(st.floats(1, 50), min_size=1, max_size=5))
def test_resolved_claims_come_back_from_the_log_the_same(
    read: tuple[Claim, ...], ssim: float, values: list[float]
) -> None:
    usual = references()
    made = references(floor={**usual.floor, "ssim": ssim}, ppca={"eigenvalues": sorted(values, reverse=True)})
    resolved = resolve(read, made)
    again = claims_from_json([claim.model_dump(mode="json") for claim in resolved])
    assert again == resolved
    assert claims_hash(again) == claims_hash(resolved) != claims_hash(read)
    assert resolve(resolved, references(floor={"ssim": 0.0}, classes=2)) == resolved  # what is fixed stays fixed


def test_the_bundled_files_resolve_whole_and_come_back() -> None:
    resolved = resolve(load_claims("notes", "anchor", "ppca"), references())
    assert not needs_references(resolved)
    assert claims_from_json([claim.model_dump(mode="json") for claim in resolved]) == resolved
    assert all(leg.region for claim in resolved for leg in claim.legs)

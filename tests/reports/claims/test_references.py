"""What a data set gives: ranges, and the way through JSON."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.claims.references import References
from tests.claim_samples import EIGENVALUES, references
from vae.errors import UserError

VALUES = st.dictionaries(st.text(max_size=8), st.floats(allow_nan=False, allow_infinity=False), max_size=3)


def test_a_range_is_the_way_from_floor_to_ceiling_whatever_the_direction() -> None:
    one = references()
    assert one.range_of("ssim") == pytest.approx(0.8)
    assert one.range_of("kid") == 30.0
    assert one.range_of("ssim", conditional=True) == pytest.approx(0.7)
    assert one.eigenvalues == EIGENVALUES


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_range_with_an_unknown_end_is_unknown(value: float) -> None:
    assert references(ceiling={"ssim": value}).range_of("ssim") is None
    assert references(floor={"ssim": value}).range_of("ssim") is None
    assert references().range_of("psnr") is None
    assert references(floor_with_labels={}).range_of("ssim", conditional=True) is None


@given(floor=VALUES, ceiling=VALUES, eigenvalues=st.lists(st.floats(0, 1e3)), count=st.integers(1, 10**6))
def test_references_come_back_from_json_the_same(floor: Any, ceiling: Any, eigenvalues: Any, count: int) -> None:
    one = references(floor=floor, ceiling=ceiling, ppca={"eigenvalues": eigenvalues}, test_images=count)
    assert References.from_json(one.to_json()) == one


def test_nan_is_null_and_what_is_infinite_is_left_out() -> None:
    text = references(ceiling={"psnr": math.inf, "mtf50": math.nan, "ssim": 1.0}).to_json()
    assert json.loads(text)["ceiling"] == {"mtf50": None, "ssim": 1.0}
    assert math.isnan(References.from_json(text).ceiling["mtf50"])


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"foor": {}}', references().to_json().replace("10000", '"many"'), '{"floor": {"ssim": "x"}}'],
)
def test_what_is_no_references_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="the references of this study cannot be read by this version"):
        References.from_json(text)

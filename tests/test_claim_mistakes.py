"""Claims that would decide nothing, or the same thing twice, are refused by name."""

from __future__ import annotations

import pytest

from tests.test_claims import GOOD, HERE, LEG, LEGS, B, parsed, swap
from vae.errors import UserError

FACT = '[[claim]]\nid = "f"\nquote = "f"\nkind = "fact"\ncheck = "sigmoid-range"\n'
MISTAKES = {
    "an arm against itself": (
        swap(B, B.replace("mse", "mae")),
        rf"{HERE}: a and b both name {{'loss': 'mae'.*there is nothing to compare",
    ),
    "a sum arm's own twin": (
        swap(B, "twin = true"),
        rf"{HERE}: a\.reduction='sum' with twin=true: a ‘sum’ arm is its own twin",
    ),
    "twin that is a word": (swap(B, 'twin = "yes"'), rf"{HERE}: twin='yes': input should be a valid boolean"),
    "a fact with a reason": (FACT + 'reason = "since"\n', r"claim 'f': reason='since' has no meaning for kind='fact'"),
    "a fact with a twin": (FACT + "twin = true\n", r"claim 'f': twin=True has no meaning for kind='fact'"),
    "needs that name no arm": (
        swap(B, f'{B}\nneeds = [{{ loss = "bce" }}]'),
        rf"{HERE}: needs {{'loss': 'bce'.*must name one arm to train",
    ),
    "needs that are tuned": (
        swap(B, f"{B}\nneeds = [{B[4:].replace('1 }', chr(34) + 'tuned' + chr(34) + ' }')}]"),
        rf"{HERE}: needs .*must name one arm to train",
    ),
    "a beta twice": (swap(B, f"{B}\nbetas = [1, 2, 1.0]"), rf"{HERE}: betas=\[1\.0, 2\.0, 1\.0\] holds 1 twice"),
    "a rate twice": (swap(B, f"{B}\nrates = [10, 10]"), rf"{HERE}: rates=\[10\.0, 10\.0\] holds 10 twice"),
    "a rate that is text": (swap(B, f'{B}\nrates = ["10"]'), rf"{HERE}: rates='10': input should be a valid number"),
    "a blank quote": (swap('"MAE is sharper"', '"  "'), rf"{HERE}: quote='  ' is blank"),
    "a blank reason": (swap(B, f'{B}\nmargin = 1\nreason = " "'), rf"{HERE}: reason=' ' is blank"),
    "a leg twice": (GOOD + LEGS + LEG + LEG, r"leg 2 repeats an earlier one"),
    "an id twice": (GOOD + GOOD[GOOD.index("[[claim]]") :], rf"{HERE}: id='mae-sharper' is used twice"),
    "beta 0 on a curve": (
        swap("beta = 1 }", "beta = 0 }").replace('["nominal"]', '["matched-rate"]'),
        rf"{HERE}: places='matched-rate': beta=0 has no logarithm",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_each_is_refused_by_name(name: str) -> None:
    text, message = MISTAKES[name]
    with pytest.raises(UserError, match=message):
        parsed(text)

"""Claims that decide nothing or count twice, and values of the wrong type: refused, with what was likely meant."""

from __future__ import annotations

import pytest

from reports.claims.load import claims_from_json, load_claims
from tests.claim_samples import PREDICTED
from tests.reports.claims.test_load import GOOD, HERE, LEG, LEGS, B, parsed, swap
from vae.errors import UserError

TREND = swap('"greater"', '"trend"').replace(B, 'direction = "falls"')
ONE_LEG = GOOD[: GOOD.index("metric =")] + LEG
ANCHOR = """
[[claim]]
id = "x"
quote = "x"
kind = "anchor"
metric = "neg_elbo"
a = { loss = "bce", reduction = "sum", beta = 1 }
reference = 105.6
margin = 0.5
reason = "x"
"""


def against(b: str, reduction: str = "sum", beta: str = "beta = 1") -> str:
    """The good file with MAE arms alone: `a` of that reduction and weight, `b` of that reduction and of weight `b`."""
    text = swap(B, f'b = {{ loss = "mae", reduction = "sum", {b} }}').replace("beta = 1 }\nb", f"{beta} }}\nb")
    return text.replace('"sum"', f'"{reduction}"')


SAME = rf"{HERE}: a and b both name {{'loss': 'mae'.*nothing to compare\. Was another loss, .* or beta meant for b\?"
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
    "the same beta": (against("beta = 1.0"), SAME),
    "the same beta, to rounding": (against("beta = 1.0000000000001"), SAME),
    "beta_eff is beta under sum": (against("beta_eff = 1"), SAME),
    "beta_eff is beta under batch-mean": (against("beta_eff = 1", "batch-mean"), SAME),
    "the same beta_eff": (against("beta_eff = 2", "mean", "beta_eff = 2"), SAME),
    "weight 0 under any reduction": (against("beta_eff = 0", "mean", "beta = 0"), SAME),
    "tuned to itself": (against('beta = "tuned"'), SAME),
    "a leg again, under another label": (
        GOOD + LEGS + LEG + LEG + 'label = "again"\n',
        r"claim 'both': leg 2 repeats an earlier one: .* Was another metric or arm meant than {'kind': 'greater', ",
    ),
    "a leg again, not counted": (GOOD + LEGS + LEG + LEG + "counted = false\n", r"leg 2 repeats an earlier one"),
    "an anchor with a twin": (ANCHOR + "twin = true\n", r"claim 'x': twin=True has no meaning for kind='anchor'"),
    "a trend with a twin": (
        TREND.replace(", beta = 1 }", " }") + "twin = true\n",
        rf"{HERE}: twin=True has no meaning for kind='trend'",
    ),
    "a trend at beta 0": (TREND.replace("beta = 1 }", "beta = 0 }"), rf"{HERE}: a=.*'beta': 0.0.* leave beta open"),
    "beta_eff 0 on a curve": (
        swap("beta = 1 }", "beta_eff = 0 }").replace('["nominal"]', '["matched-rate"]'),
        rf"{HERE}: places='matched-rate': beta=0 has no logarithm",
    ),
    "twin that is a number": (swap(B, "twin = 1"), rf"{HERE}: twin=1: .*valid boolean\. Did you mean true\?"),
    "counted that is a word": (
        ONE_LEG + 'counted = "no"\n',
        rf"{HERE}: counted='no': .*valid boolean\. Did you mean false\?",
    ),
    "counted that is any text": (ONE_LEG + 'counted = "x"\n', r"counted='x': .*\. Did you mean true or false\?"),
    "a rate in quotes": (swap(B, f'{B}\nrates = ["10"]'), rf"{HERE}: rates='10': .*valid number\. Did you mean 10\?"),
    "a beta that is true": (swap(B, f"{B}\nbetas = [1, true]"), rf"{HERE}: betas=True: .*valid number"),
    "a reference in quotes": (
        ANCHOR.replace("105.6", '"105.6"'),
        r"claim 'x': reference='105\.6': .*valid number\. Did you mean 105\.6\?",
    ),
    "a reference that is true": (swap(B, "reference = true"), rf"{HERE}: reference=True: .*valid number"),
    "a margin and a share": (
        swap(B, f'{B}\nmargin = 0.1\nshare = 0.01\nof = "floor to ceiling"\nreason = "x"'),
        rf"{HERE}: margin=0\.1 and share=0\.01: give one, a margin in the metric's units or a share",
    ),
    "a margin and a share of a metric": (
        swap("margin = 0.02", 'margin = 0.02\nshare = 0.01\nof = "floor to ceiling"'),
        r"mine\.toml, \[margins\.acutance_ratio\]: margin=0\.02 and share=0\.01: give one",
    ),
    "a share of nothing": (
        swap("margin = 0.02", "share = 0.01"),
        r"\[margins\.acutance_ratio\]: of is missing: share=0\.01 needs the range .*'floor to ceiling'",
    ),
    "a range without a share": (
        swap("margin = 0.02", 'of = "floor to ceiling"'),
        r"\[margins\.acutance_ratio\]: share is missing: of='floor to ceiling' needs",
    ),
    "a share of an unknown range": (
        swap("margin = 0.02", 'share = 0.01\nof = "floor to ceilings"'),
        r"\[margins\.acutance_ratio\]: of='floor to ceilings' is not one of .*Did you mean 'floor to ceiling'\?",
    ),
    "a share in per cent": (
        swap("margin = 0.02", 'share = 5\nof = "floor to ceiling"'),
        r"\[margins\.acutance_ratio\]: share=5 must be a share, at most 1\. Was 0\.05 meant, 5 per cent\?",
    ),
    "a share of zero": (
        swap("margin = 0.02", 'share = 0\nof = "floor to ceiling"'),
        r"share=0 must be a finite number, above 0",
    ),
    "nats of a pure number": (
        swap("margin = 0.02", 'share = 0.1\nof = "rate at beta 1"'),
        rf"{HERE}: of='rate at beta 1' is in nats, and acutance_ratio is not; was 'floor to ceiling' meant\?",
    ),
    "classes of no classifier": (
        swap("margin = 0.02", 'share = 0.1\nof = "chance to all"'),
        rf"{HERE}: of='chance to all' is of classes read rightly, and acutance_ratio is not",
    ),
    "a picture's range of the latents": (
        GOOD.replace("acutance_ratio", "rate").replace("margin = 0.02", 'share = 0.1\nof = "floor to ceiling"'),
        rf"{HERE}: of='floor to ceiling': rate is of the latents, .* was 'rate at beta 1' meant\?",
    ),
    "a share of no prediction": (
        swap("margin = 0.02", 'share = 0.1\nof = "prediction"'),
        rf"{HERE}: of='prediction': only a claim of kind 'predicted' has a prediction; was 'floor to ceiling' meant\?",
    ),
    "rates and shares": (
        swap(B, f"{B}\nrates = [10]\nshares = [0.5]"),
        rf"{HERE}: rates=\[10\.0\] and shares=\[0\.5\]: give one",
    ),
    "rates and shares of a file": (
        "[matched_rate]\nrates = [10]\nshares = [0.5]\n" + GOOD,
        rf"{HERE}: rates=\[10\.0\] and shares=\[0\.5\]: give one",
    ),
    "a share of the support twice": (
        swap(B, f"{B}\nshares = [0.5, 0.5]"),
        rf"{HERE}: shares=\[0\.5, 0\.5\] holds 0\.5 twice",
    ),
    "the end of the support": (
        swap(B, f"{B}\nshares = [0.5, 1]"),
        rf"{HERE}: shares=1: input should be less than 1",
    ),
    "no rates": (swap(B, f"{B}\nrates = []"), rf"{HERE}: rates=\[\] and shares=\[\]: give one"),
    "a leg without a reading": (
        ONE_LEG + 'reading = "samples"\n' + LEG.replace('"bce"', '"mse"'),
        rf"{HERE}: leg 2 has no reading, and others have: name its reading, such as 'samples'",
    ),
    "a reading that nothing decides": (
        ONE_LEG + 'reading = "a"\n' + LEG.replace('"bce"', '"mse"') + 'reading = "b"\ncounted = false\n',
        rf"{HERE}: reading='b': every leg of it has counted=false",
    ),
    "a blank reading": (ONE_LEG + 'reading = " "\n', rf"{HERE}: reading=' ' is blank"),
    "a prediction of another kind": (
        swap(B, f'{B}\nprediction = "ppca-rate"'),
        rf"{HERE}: prediction='ppca-rate' has no meaning for kind='greater'",
    ),
    "a prediction without its name": (
        PREDICTED.replace('prediction = "ppca-rate"\n', ""),
        r"claim 'p': prediction is missing: kind='predicted' needs it",
    ),
    "an unknown prediction": (
        PREDICTED.replace("ppca-rate", "pca-rate"),
        r"claim 'p': prediction='pca-rate' is not one of .* Did you mean 'ppca-rate'\?",
    ),
    "a prediction of another metric": (
        PREDICTED.replace('"rate"', '"ssim"').replace('of = "prediction"', 'of = "floor to ceiling"'),
        r"claim 'p': metric='ssim': prediction='ppca-rate' is of metric='rate'",
    ),
    "a prediction of another loss": (
        PREDICTED.replace('"mse"', '"bce"'),
        r"claim 'p': a=.*'bce'.*: prediction='ppca-rate' is of the loss 'mse' with reduction 'sum'",
    ),
    "a prediction of another reduction": (
        PREDICTED.replace('loss = "mse"', 'loss = "mse", reduction = "mean"'),
        r"claim 'p': a=.*'mean'.*: prediction='ppca-rate' is of the loss 'mse' with reduction 'sum'",
    ),
    "a prediction of a posterior at fault": (
        PREDICTED.replace("beta = 1", 'beta = 1, posterior = "full-logvar"'),
        r"claim 'p': a=.*: prediction='ppca-rate' is of a posterior whose KL is that of what it samples",
    ),
    "a predicted rate at any beta": (
        PREDICTED.replace(", beta = 1", ""),
        r"claim 'p': a=.*: prediction='ppca-rate' is of one arm: name a beta above 0",
    ),
    "a predicted rate at beta 0": (
        PREDICTED.replace("beta = 1", "beta = 0"),
        r"claim 'p': a=.*: prediction='ppca-rate' is of one arm: name a beta above 0",
    ),
    "a predicted beta at a beta": (
        PREDICTED.replace("ppca-rate", "ppca-collapse-beta").replace('share = 0.25\nof = "prediction"', "margin = 0.2"),
        r"claim 'p': a=.*: prediction='ppca-collapse-beta' is a beta, so leave beta open",
    ),
    "a share of a predicted beta": (
        PREDICTED.replace("ppca-rate", "ppca-collapse-beta").replace(", beta = 1", ""),
        r"claim 'p': share=0\.25 of 'prediction': prediction='ppca-collapse-beta' is compared in ln beta",
    ),
    "a prediction with its number": (
        PREDICTED + "reference = 10\n",
        r"claim 'p': reference=10 stands beside prediction='ppca-rate', which computes it .*use kind 'equivalent'",
    ),
    "a blank label": (ONE_LEG + 'label = " "\n', rf"{HERE}: label=' ' is blank; it must hold words"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_each_is_refused_with_what_was_meant(name: str) -> None:
    text, message = MISTAKES[name]
    with pytest.raises(UserError, match=message) as caught:
        parsed(text)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "text",
    [
        against("beta = 2"),
        against("beta_eff = 1", "mean"),  # which beta that is depends on the model
        against("beta_eff = 2"),
        swap(B, 'b = { loss = "mae", reduction = "sum", beta = 1, posterior = "log-std" }'),
        swap(B, 'b = { loss = "mae", reduction = "sum", beta = "tuned", posterior = "log-std" }'),
        GOOD + LEGS + LEG + LEG + 'margin = 0.5\nreason = "coarser"\n',
        PREDICTED,
        PREDICTED.replace("beta = 1", "beta_eff = 1"),
    ],
)
def test_what_only_looks_the_same_is_let_through(text: str) -> None:
    assert parsed(text)


def test_logged_claims_pass_what_files_must_pass() -> None:
    claims = load_claims("notes", "anchor", "ppca") + parsed(against("beta = 2"))
    assert claims_from_json([claim.model_dump(mode="json") for claim in claims]) == claims

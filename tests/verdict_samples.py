"""Claims about the made-up study of `report_samples`, one of each outcome and form, judged by the judge itself."""

from __future__ import annotations

import tomllib
from typing import Any

import pandas as pd

from reports.claims.load import parse_claims
from reports.judging.judge import judge
from reports.judging.verdict import Verdict

CLAIMS = """
[[claim]]
id = "better-than-bce"
quote = "Both [MAE, MSE] work better than BCE"
kind = "greater"
places = ["nominal", "matched-rate"]
expect = "False at one beta."

[[claim.leg]]
label = "MAE − BCE"
metric = "ssim"
margin = 0.005
reason = "half a point of SSIM"
a = { loss = "mae", reduction = "sum", beta = 1 }
b = { loss = "bce", reduction = "sum", beta = 1 }

[[claim.leg]]
label = "MSE − BCE"
metric = "ssim"
margin = 0.005
reason = "half a point of SSIM"
a = { loss = "mse", reduction = "sum", beta = 1 }
b = { loss = "bce", reduction = "sum", beta = 1 }

[[claim]]
id = "mae-acutance"
quote = "MAE is of larger acutance"
kind = "greater"
places = ["nominal", "matched-rate"]
expect = "True in direction."

[[claim.leg]]
label = "MAE − MSE"
metric = "acutance_ratio"
margin = 0.02
reason = "least difference a reader can see"
a = { loss = "mae", reduction = "sum", beta = 1 }
b = { loss = "mse", reduction = "sum", beta = 1 }

[[claim.leg]]
label = "MAE − BCE"
metric = "acutance_ratio"
margin = 0.02
reason = "least difference a reader can see"
a = { loss = "mae", reduction = "sum", beta = 1 }
b = { loss = "bce", reduction = "sum", beta = 1 }

[[claim]]
id = "beta-is-the-weight"
quote = "adding an ratio between BCE and KLD … is beta-VAE"
kind = "trend"
metric = "rate"
direction = "falls"
margin = 0.5
reason = "half a nat"
a = { loss = "bce", reduction = "sum" }

[[claim]]
id = "mean-is-a-reweighting"
quote = "`mean` and `sum`: … just right modifying the ratio of weight"
kind = "equivalent"
metric = "ssim"
margin = 0.02
reason = "two points of SSIM"
a = { loss = "bce", reduction = "mean", beta = 0.1 }
b = { loss = "bce", reduction = "sum", beta = 4 }

[[claim]]
id = "mse-blurs"
quote = "there's still bluring strokes for MSE"
kind = "greater"
metric = "acutance_ratio"
margin = 0.2
reason = "as large as the difference itself, so that nothing can be decided"
a = { loss = "mse", reduction = "sum", beta = 1 }
b = { loss = "mse", reduction = "sum", beta = 4 }

[[claim]]
id = "mae-is-better"
quote = "MAE works better than BCE"
kind = "greater"

[[claim.leg]]
reading = "sharpness"
metric = "acutance_ratio"
margin = 0.02
reason = "least difference a reader can see"
a = { loss = "mae", reduction = "sum", beta = 1 }
b = { loss = "bce", reduction = "sum", beta = 1 }

[[claim.leg]]
reading = "legibility"
metric = "legibility"
margin = 0.003
reason = "three digits of a thousand"
a = { loss = "mae", reduction = "sum", beta = 1 }
b = { loss = "bce", reduction = "sum", beta = 1 }

[[claim.leg]]
reading = "legibility"
label = "at equal weight"
metric = "legibility"
margin = 0.003
reason = "three digits of a thousand"
a = { loss = "mae", reduction = "sum", beta = 2 }
b = { loss = "bce", reduction = "sum", beta = 2 }

[[claim]]
id = "sigmoid-range"
quote = "back to [0,1) region"
kind = "fact"
check = "sigmoid-range"

[[claim]]
id = "half-is-a-must"
quote = "0.5 mul is a must"
kind = "equivalent"
metric = "neg_elbo"
margin = 1
reason = "a nat"
a = { loss = "bce", reduction = "sum", beta = 1, posterior = "log-std" }
b = { loss = "bce", reduction = "sum", beta = 1 }
"""


def verdicts(frame: pd.DataFrame, **known: Any) -> tuple[Verdict, ...]:
    """Each claim of `CLAIMS` at each of its places. known: what else `judge` is given."""
    return tuple(judge(parse_claims(tomllib.loads(CLAIMS), file="samples.toml"), frame, **known))


def compared(
    frame: pd.DataFrame,
    metric: str,
    arms: tuple[str, str],
    margin: float,
    kind: str = "greater",
    name: str = "sample",
    **known: Any,
) -> Verdict:
    """One claim about two arms, named by their labels, such as "mae-sum-b1", judged alone.

    known: what else `judge` is given.
    """
    first, second = (_selector(arm) for arm in arms)
    claim = {
        "id": name,
        "quote": f"[{arms[0]}] is {kind} than [{arms[1]}]",
        "expect": "True in direction.",
        "kind": kind,
        "metric": metric,
        "margin": margin,
        "reason": "least difference a reader can see",
        "a": first,
        "b": second,
    }
    (verdict,) = judge(parse_claims({"claim": [claim]}, file="samples.toml"), frame, **known)
    return verdict


def _selector(arm: str) -> dict[str, Any]:
    loss, reduction, beta = arm.split("-")
    return {"loss": loss, "reduction": reduction, "beta": float(beta.removeprefix("b"))}

"""Made-up verdicts on the made-up study: real statistics on its cells, one claim of each outcome and form."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd

from reports.judging import verdict as record
from reports.judging.statistics import Region, estimate, holm_among, p_values
from reports.judging.verdict import ClaimRef, Count, Sensitivity, Verdict

WORDS = {
    "mae-acutance": "MAE is of larger acutance",
    "better-than-bce": "Both [MAE, MSE] work better than BCE",
    "mse-blurs": "there's still bluring strokes for MSE",
    "beta-is-the-weight": "adding an ratio between BCE and KLD … is beta-VAE",
    "mean-is-a-reweighting": "`mean` and `sum`: … just right modifying the ratio of weight",
    "sigmoid-range": "back to [0,1) region",
    "half-is-a-must": "0.5 mul is a must",
}


def compare(
    frame: pd.DataFrame,
    claim: str,
    kind: str,
    metric: str,
    arms: tuple[str, str],
    margin: float,
    place: str = record.NOMINAL,
    shift: float = 0.0,
) -> Verdict:
    """First arm minus second, judged by the statistics of the project; `shift` moves every difference."""
    cells = frame[frame["status"] == "done"].pivot(index="seed", columns="arm", values=metric)
    pairs = cells[list(arms)].dropna()
    d = pairs[arms[0]] - pairs[arms[1]] + shift
    region = Region.of(kind, margin)
    found, (p_in, p_out) = estimate(d), p_values(d, region)
    exact_in, exact_out = p_values(d, region, exact=True)
    word = "supported" if p_in < 0.05 else "refuted" if p_out < 0.05 else "inconclusive"
    low, high = (None if abs(end) == float("inf") else end for end in (region.low, region.high))
    names = " − ".join(arm.split("-")[0].upper() for arm in arms)
    return Verdict(
        claim=ClaimRef(claim, WORDS[claim], kind, "True in direction."),
        place=place,
        label=f"{names}, {place}",
        verdict=word,
        sentence=f"{names} differs by {found.mean:+.3f} in {metric}: {word}.",
        kind=kind,
        arms=arms,
        metric=metric,
        unit="1",
        effect=found.mean,
        ci_low=found.low,
        ci_high=found.high,
        sd=found.sd,
        d_z=found.d_z,
        levels={arm: float(pairs[arm].mean()) for arm in arms},
        margin=margin,
        margin_reason="least difference a reader can see",
        region=(low, high),
        n=found.n,
        p_in=float(p_in),
        p_out=float(p_out),
        p_in_adj=holm_among(float(p_in), [0.001] * 6),
        p_out_adj=holm_among(float(p_out), [1.0] * 6),
        p_exact_in=float(exact_in),
        p_exact_out=float(exact_out),
        seeds_to_settle=14 if word == "inconclusive" else None,
        per_seed={int(seed): float(value) for seed, value in d.items()},
        rates=(10.0, 15.0, 20.0, 25.0, 30.0) if place == record.MATCHED else (),
        sensitivity=Sensitivity(
            alpha={"0.01": "inconclusive", "0.05": word, "0.1": word},
            margin={"0.5": word, "1": word, "2": "inconclusive"},
            leave_one_out={str(seed): word for seed in d.index},
        ),
        counts=tuple(Count(arm, found.n, reasons=()) for arm in arms),
    )


def joined(legs: tuple[Verdict, ...], place: str, sentence: str) -> Verdict:
    """All legs must hold: one refuted leg refutes."""
    words = [leg.verdict for leg in legs]
    word = "refuted" if "refuted" in words else "supported" if set(words) == {"supported"} else "inconclusive"
    decided = next(leg for leg in legs if leg.verdict == word or word == "inconclusive")
    return replace(decided, place=place, verdict=word, sentence=sentence, legs=legs)


def computed(claim: str, verdict: str, sentence: str, evidence: tuple[str, ...]) -> Verdict:
    ref = ClaimRef(claim, WORDS[claim], "fact", "False in float32.")
    return Verdict(ref, record.COMPUTED, "float32 sigmoid", verdict, sentence, kind="fact", evidence=evidence)


def verdicts(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """One claim of each outcome and form."""
    bce, mse, mae = (f"{loss}-sum-b1" for loss in ("bce", "mse", "mae"))
    return [verdict.to_dict() for verdict in _verdicts(frame, bce, mse, mae)]


def _verdicts(frame: pd.DataFrame, bce: str, mse: str, mae: str) -> list[Verdict]:
    sharper = tuple(
        compare(frame, "mae-acutance", "greater", "acutance_ratio", (mae, other), 0.02, place)
        for place in (record.NOMINAL, record.MATCHED)
        for other in (mse, bce)
    )
    better = tuple(
        compare(frame, "better-than-bce", "greater", "ssim", (arm, bce), 0.005, place, shift)
        for place, shift in ((record.NOMINAL, 0.0), (record.MATCHED, 0.1))
        for arm in (mae, mse)
    )
    short = Verdict(
        ClaimRef("half-is-a-must", WORDS["half-is-a-must"], "equivalent"),
        record.NOMINAL,
        "C − A",
        record.INSUFFICIENT,
        "Two seeds are too few to judge: at least five are needed.",
        reason="n = 2, least n is 5",
        metric="neg_elbo",
        n=2,
        counts=(Count("bce-sum-b1-log-std", 2, failed=1, reasons=("Loss became NaN.",)),),
    )
    beyond = "At logit 16.64 the float32 sigmoid is exactly 1."
    return [
        joined(better, record.OVERALL, "MAE and MSE do not both score higher SSIM than BCE at β = 1."),
        joined(sharper, record.OVERALL, "MAE draws sharper edges than MSE and BCE, at β = 1 and at equal rate."),
        compare(frame, "beta-is-the-weight", "less", "rate", ("bce-sum-b4", "bce-sum-b0.1"), 0.5),
        compare(frame, "mean-is-a-reweighting", "equivalent", "ssim", ("bce-mean-b0.1", "bce-sum-b4"), 0.005),
        compare(frame, "mse-blurs", "greater", "ssim", ("mse-mean-b4", "mse-mean-b2"), 0.0003, shift=0.00045),
        computed("sigmoid-range", "refuted", "In float32 the sigmoid reaches 1.", (beyond,)),
        short,
    ]

"""The comparability gate: which metrics may rank arms of different losses, and the reason where one may not.

A model wins its own objective by construction: an arm trained on squared error has the lower squared error at its
rate, whatever its pictures look like. Such a metric is shown for every arm, but it never orders arms of different
losses (`refusal`). Arms of one loss may differ in what else makes an objective: the weight of KL, and whether the KL
is that of what is sampled. `winner` compares a metric with the whole objective of two arms.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from vae.arms import Arm
from vae.metrics.catalogue import CATALOGUE
from vae.posteriors import POSTERIORS

FIRST: Final = "first"
SECOND: Final = "second"
# A loss with a fitted scale is a monotone function of the plain one, image set by image set: it owns the same metrics.
# Its weight of KL has another meaning, since the scale is fitted beside it.
SAME_AS: Final[Mapping[str, str]] = MappingProxyType({"gaussian-calibrated": "mse", "laplace-calibrated": "mae"})


def refusal(metric: str, losses: Iterable[str]) -> str:
    """Why `metric` cannot rank arms of these losses; empty where it can.

    >>> refusal("mse", ["mse", "mae"])
    'mse is what the mse arms are trained on: they win it by construction, so it cannot rank them against mae arms.'
    >>> refusal("mse", ["mse"]), refusal("mse", ["bce", "mae"]), refusal("ssim", ["mse", "mae"])
    ('', '', '')
    >>> refusal("mse", ["mylosses:huber", "bce"])[:46], refusal("ssim", ["mylosses:huber", "bce"])
    ('mse may be what mylosses:huber, a loss of your', '')
    """
    owner = CATALOGUE[metric].own_objective if metric in CATALOGUE else ""
    owners = {SAME_AS.get(loss, loss) for loss in losses}
    foreign = next((loss for loss in sorted(owners) if ":" in loss), "")
    if owner and foreign and len(owners) > 1:
        return (
            f"{metric} may be what {foreign}, a loss of your own, is trained on, and then its arms win it by "
            "construction; so it cannot rank them against others."
        )
    others = sorted(owners - {owner})
    if not owner or owner not in owners or not others:
        return ""
    rivals = " and ".join(others)
    return (
        f"{metric} is what the {owner} arms are trained on: they win it by construction, "
        f"so it cannot rank them against {rivals} arms."
    )


def by_construction_along_beta(metric: str, arm: Arm) -> str:
    """Why a trend over beta says nothing: arms that minimise distortion + beta · rate have a distortion that rises with
    beta. Empty for any other metric.

    >>> by_construction_along_beta("mse", Arm(loss="mse"))
    'mse arms minimise squared error + beta · rate, so it rises with beta by construction'
    >>> by_construction_along_beta("mse", Arm()), by_construction_along_beta("ssim", Arm())
    ('', '')
    """
    if not _of_its_loss(metric, arm, arm)[0] or CATALOGUE[metric].own_beta_eff is not None:
        return ""
    return f"{arm.loss} arms minimise {CATALOGUE[metric].label} + beta · rate, so it rises with beta by construction"


def winner(metric: str, a: Arm, b: Arm, beta_eff_a: float | None, beta_eff_b: float | None) -> str:
    """Which of two arms wins the metric by construction: 'first', 'second', or '' for neither.

    beta_eff_a, beta_eff_b: the weights of KL when both terms are summed; None where not known.

    A metric that is a distortion: arms of its loss win it against others; of two such arms, the one with the smaller
    weight of KL, since the distortion at the optimum does not fall with the weight. A metric that is a whole objective,
    distortion + w · rate: an arm that minimises just this wins it against any that does not; where none does, arms of
    the loss win against others, and of two such arms, both weights on one side of w, the one nearer to w. Arms of one
    loss are ordered only where their models are alike; what a larger model does is no construction.

    >>> paper, collapsed = Arm(), Arm(reduction="mean")
    >>> winner("neg_elbo", paper, collapsed, 1.0, 39.2), winner("ssim", paper, collapsed, 1.0, 39.2)
    ('first', '')
    """
    own = _of_its_loss(metric, a, b)
    if not any(own):
        return ""
    target = CATALOGUE[metric].own_beta_eff
    if target is not None:
        weights = (beta_eff_a, beta_eff_b)
        least = [of_loss and _minimises(arm, at, target) for of_loss, arm, at in zip(own, (a, b), weights)]
        if any(least):
            return _of(*least)
    if own[0] != own[1]:
        return _of(*own)
    if not all(own) or not _on_one_path(a, b, true_rate=target is not None):
        return ""
    return _nearer(beta_eff_a, beta_eff_b, target or 0.0)


def winner_at_equal_rate(metric: str, a: Arm, b: Arm) -> str:
    """The same of two arms compared at one rate, whatever their weights of KL: 'first', 'second', or ''.

    Of all arms at a rate, those that minimise distortion + weight · that rate have the least distortion. So arms of the
    metric's loss win it against others, and of two such arms with like models the one whose KL is the true one.

    >>> winner_at_equal_rate("neg_elbo", Arm(posterior="full-logvar"), Arm())
    'second'
    """
    own = _of_its_loss(metric, a, b)
    if own[0] != own[1]:
        return _of(*own)
    return _of(_true_rate(a), _true_rate(b)) if all(own) and _alike(a, b) else ""


def _of_its_loss(metric: str, a: Arm, b: Arm) -> tuple[bool, bool]:
    """Whether each arm is trained on the metric, or on the distortion in it."""
    owner = CATALOGUE[metric].own_objective if metric in CATALOGUE else ""
    first, second = (bool(owner) and SAME_AS.get(arm.loss, arm.loss) == owner for arm in (a, b))
    return first, second


def _alike(a: Arm, b: Arm) -> bool:
    return a.loss == b.loss and a.model == b.model


def _of(first: bool, second: bool) -> str:
    return "" if first == second else FIRST if first else SECOND


def _minimises(arm: Arm, beta_eff: float | None, target: float) -> bool:
    """Whether an arm of the metric's loss has the metric's weight of KL, and the true KL."""
    return beta_eff is not None and _same(beta_eff, target) and _true_rate(arm)


def _on_one_path(a: Arm, b: Arm, *, true_rate: bool) -> bool:
    """Whether two arms of one loss differ, as far as their objective goes, in the weight of KL alone."""
    true = _true_rate(a) and _true_rate(b)
    return _alike(a, b) and (true or (not true_rate and a.posterior == b.posterior))


def _true_rate(arm: Arm) -> bool:
    """Whether the KL term is that of what is sampled. A model's own posterior is taken at its word."""
    return POSTERIORS[arm.posterior].consistent


def _nearer(first: float | None, second: float | None, target: float) -> str:
    """Which weight lies nearer to the target, both on one side of it."""
    if first is None or second is None or _same(first, second) or (first - target) * (second - target) < 0:
        return ""
    return FIRST if abs(first - target) < abs(second - target) else SECOND


def _same(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-6)

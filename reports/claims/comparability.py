"""The comparability gate: which metrics may rank arms of different losses, and the reason where one may not.

A model wins its own objective by construction: an arm trained on squared error has the lower squared error at its
rate, whatever its pictures look like. Such a metric is shown for every arm, but it never orders arms of different
losses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from vae.metrics.catalogue import CATALOGUE

# A loss with a fitted scale is a monotone function of the plain one: it owns the same metrics.
SAME_AS: Final[Mapping[str, str]] = MappingProxyType({"gaussian-calibrated": "mse", "laplace-calibrated": "mae"})


def refusal(metric: str, losses: Iterable[str]) -> str:
    """Why `metric` cannot rank arms of these losses; empty where it can.

    >>> refusal("mse", ["mse", "mae"])
    'mse is what the mse arms are trained on: they win it by construction, so it cannot rank them against mae arms.'
    >>> refusal("mse", ["mse"]), refusal("mse", ["bce", "mae"]), refusal("ssim", ["mse", "mae"])
    ('', '', '')
    """
    owner = CATALOGUE[metric].own_objective if metric in CATALOGUE else ""
    owners = {SAME_AS.get(loss, loss) for loss in losses}
    others = sorted(owners - {owner})
    if not owner or owner not in owners or not others:
        return ""
    rivals = " and ".join(others)
    return (
        f"{metric} is what the {owner} arms are trained on: they win it by construction, "
        f"so it cannot rank them against {rivals} arms."
    )

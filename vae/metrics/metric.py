"""One entry of the catalogue: all that must be known of a number before it is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Direction = Literal["higher", "lower", "closer to 1", "none"]
Where = Literal["reconstructions", "samples", "latents", "likelihood"]


@dataclass(frozen=True)
class Metric:
    """What a metric is, which way is better, and what makes it lie.

    unit: "1" for a pure number. direction: "none" describes without judging. low, high: the range, ends included.
    source: who defined it. fools: what changes it without the change it is read for. where: what is measured.
    label: short, for an axis or a heading. about: one sentence.
    """

    name: str
    unit: str
    direction: Direction
    low: float
    high: float
    source: str
    fools: str
    where: Where
    label: str
    about: str

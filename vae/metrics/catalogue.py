"""The catalogue: of every metric its name, unit, direction, range, source, and what fools it. In display order."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from vae.metrics.catalogue_images import RECONSTRUCTIONS
from vae.metrics.catalogue_models import LATENTS, LIKELIHOOD, SAMPLES
from vae.metrics.metric import Direction, Metric, Where

__all__ = ["CATALOGUE", "Direction", "Metric", "Where"]

# name -> entry. Names are the columns of a study's frame; a released name never changes its meaning.
CATALOGUE: Final[Mapping[str, Metric]] = MappingProxyType(
    {entry.name: entry for entry in (*RECONSTRUCTIONS, *LIKELIHOOD, *LATENTS, *SAMPLES)}
)

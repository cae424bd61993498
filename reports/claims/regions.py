"""The region that a claim names: the open interval in which it says that the mean difference lies."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Region:
    """The open interval (low, high). Metric units.

    `above`, `below` and `within` make the usual ones from a margin >= 0, the least difference that matters.

    >>> Region.above(0.5), Region.below(0.02)
    (Region(low=0.5, high=inf), Region(low=-inf, high=-0.02))
    """

    low: float = -math.inf
    high: float = math.inf

    @classmethod
    def above(cls, margin: float) -> Region:
        return cls(low=margin)

    @classmethod
    def below(cls, margin: float) -> Region:
        return cls(high=-margin)

    @classmethod
    def within(cls, margin: float) -> Region:
        return cls(-margin, margin)

    @property
    def ends(self) -> tuple[float, ...]:
        """The finite ends."""
        return tuple(end for end in (self.low, self.high) if math.isfinite(end))

    def scaled(self, factor: float) -> Region:
        """The region of the same claim with its margin times `factor`."""
        return Region(self.low * factor, self.high * factor)

    def holds(self, value: ArrayLike) -> NDArray[np.bool_]:
        """Whether each value lies inside.

        >>> Region.above(0.5).holds([0.5, 0.6]).tolist()
        [False, True]
        """
        import numpy as np  # here, so that claims are checked without it

        values = np.asarray(value, dtype=float)
        return np.asarray((values > self.low) & (values < self.high))

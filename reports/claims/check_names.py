"""The names of the computations that a claim of kind `fact` or `identity` may have. Imports no torch.

The computation of a name is the function of that name in `reports.claims.checks`.
"""

from __future__ import annotations

from typing import Final

CHECK_NAMES: Final = (
    "sigmoid-range",
    "code-as-printed",
    "gradients-proportional",
    "gradient-of-the-bound",
    "trajectories-equal",
)

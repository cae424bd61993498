"""Where a claim is judged. A claims file names the first two; the judge alone names the others."""

from __future__ import annotations

from typing import Final

NOMINAL: Final = "nominal"  # at the settings that the selectors name
MATCHED: Final = "matched-rate"  # at equal rate, interpolated
COMPUTED: Final = "computed"  # by code when the report is made: no cell is read
OVERALL: Final = "overall"  # all places of a claim together: each must hold
PLACES: Final = (NOMINAL, MATCHED, COMPUTED, OVERALL)
CLAIM_PLACES: Final = (NOMINAL, MATCHED)

"""Claims meet the frame: judge(claims, frame) -> verdicts. (Being written: the record is final, see reports/record.py.)"""

from __future__ import annotations

from reports.record import (
    COMPUTED,
    INCONCLUSIVE,
    INSUFFICIENT,
    MATCHED,
    NOMINAL,
    OVERALL,
    REFUTED,
    SCHEMA,
    SCHEMA_VERSION,
    SUPPORTED,
    WORDS,
    ClaimRef,
    Count,
    Sensitivity,
    Verdict,
)

__all__ = [
    "COMPUTED",
    "INCONCLUSIVE",
    "INSUFFICIENT",
    "MATCHED",
    "NOMINAL",
    "OVERALL",
    "REFUTED",
    "SCHEMA",
    "SCHEMA_VERSION",
    "SUPPORTED",
    "WORDS",
    "ClaimRef",
    "Count",
    "Sensitivity",
    "Verdict",
]

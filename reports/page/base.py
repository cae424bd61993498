"""What a study varies besides loss, reduction, beta and posterior, and the rows that keep to the study's base.

A figure against beta or against the rate shows the arms whose other settings are the base's; its caption names them.
Frames have one column for each further factor that varies; a factor without a column has the base's value everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import pandas as pd

from reports.numbers import listed
from vae.arms import Arm
from vae.factors import NONE, Factor, Value, factors, same_value

ALWAYS_THERE: Final = ("loss", "reduction", "beta", "posterior")  # the factors of which every frame has columns


def further_factors(rows: pd.DataFrame) -> tuple[Factor, ...]:
    """The factors beyond `ALWAYS_THERE` that the frame has columns of, in the order of the registry."""
    return tuple(factor for name, factor in factors().items() if name in rows.columns and name not in ALWAYS_THERE)


def at_base(rows: pd.DataFrame, base: Arm, *, free: str = "") -> pd.DataFrame:
    """The rows whose posterior and further factors have the base's values. free: a factor that may have any value.

    rows: one row per cell, or per arm and metric.
    """
    kept = (rows["posterior"] == base.posterior).to_numpy()
    for factor in further_factors(rows):
        if factor.name != free:
            value = base.get(factor.name)
            kept = kept & np.array([same_value(value_of(entry), value) for entry in rows[factor.name]], dtype=bool)
    return rows[kept]


def value_of(entry: Any) -> Value:
    """A frame's entry as the factor's value: None where a frame has NaN; numpy's numbers as Python's own."""
    value = entry.item() if hasattr(entry, "item") else entry
    return None if isinstance(value, float) and value != value else value


def base_in_words(rows: pd.DataFrame, base: Arm) -> str:
    """The base's values of the further factors that its model family has, separated by commas; empty without any."""
    known = (factor for factor in further_factors(rows) if factor.name in base.settings)
    return ", ".join(factor.phrase(base[factor.name]) for factor in known)


def caption_clause(rows: pd.DataFrame, base: Arm) -> str:
    """The sentence that a caption ends with where a study varies further factors; empty where it does not."""
    known = base_in_words(rows, base)
    return f" Other settings as in the study’s base: {known}." if known else ""


def without_base(rows: pd.DataFrame, base: Arm) -> str:
    """Why nothing is drawn against beta or the rate: no arm of the grid has the base's settings. Empty where one has.

    rows: one row per cell, or per arm and metric.
    """
    grid = rows[rows["origin"] == "grid"]
    if grid.empty or not at_base(grid, base).empty:
        return ""
    known = [base_in_words(rows, base)]
    if base.posterior not in set(grid["posterior"]):
        known.insert(0, f"posterior {base.posterior}")
    return (
        f"No arm of the grid has the settings of the study’s base ({', '.join(filter(None, known))}), so nothing is "
        "drawn against β or the rate."
    )


def values_varied(rows: pd.DataFrame, base: Arm) -> list[tuple[str, str]]:
    """Each further factor and its values as label and text, for the list of facts."""
    facts = []
    for factor in further_factors(rows):
        having = rows[rows["model.family"].map(factor.applies).astype(bool)] if "model.family" in rows else rows
        values = in_text(factor, distinct(having, factor))
        family = f"not an option of family {base['model.family']}"
        usual = in_text(factor, [base[factor.name]]) if factor.name in base.settings else family
        facts.append((f"{factor.title}, varied", f"{values} (base: {usual})"))
    return facts


def in_text(factor: Factor, values: Iterable[Value]) -> str:
    """Values of a factor as a study file has them, listed.

    >>> in_text(factors()["model.latents"], [2, 10]), in_text(factors()["training.clip_norm"], [None])
    ('2 and 10', 'none')
    """
    return listed(factor.text(value) or NONE for value in values)


def distinct(rows: pd.DataFrame, factor: Factor) -> list[Value]:
    """The factor's values in these rows, each once, in the order of the frame."""
    return list(dict.fromkeys(value_of(entry) for entry in rows[factor.name]))

"""What a study varies besides loss, reduction, beta and posterior, and the rows that keep to the study's base.

A figure against beta or against the rate shows the arms whose other settings are the base's; its caption names them.
Frames have one column for each further factor that varies; a factor without a column has the base's value everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from reports.numbers import listed
from vae.arms import Arm
from vae.factors import Factor, Value, factors, same_value

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


def arm_of(row: Mapping[Any, Any], base: Arm) -> Arm:
    """The arm of a frame's row. Factors of which the row has no value have the base's."""
    given = {name: value_of(row[name]) for name in factors() if name in row}
    return base.replace({name: factors()[name].canonical(v) for name, v in given.items() if v is not None})


def words(factor: Factor, value: Value) -> str:
    """A factor's value in words.

    >>> words(factors()["model.latents"], 2), words(factors()["training.clip_norm"], None)
    ('2 latents', 'no clipping norm')
    """
    return f"no {factor.title}" if value is None else factor.phrase(value)


def base_in_words(rows: pd.DataFrame, base: Arm) -> str:
    """The base's values of the further factors, separated by commas; empty where there are no such factors."""
    return ", ".join(words(factor, base.get(factor.name)) for factor in further_factors(rows))


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
        values = listed(factor.text(value) or "none" for value in distinct(rows, factor))
        facts.append((f"{factor.title}, varied", f"{values} (base: {factor.text(base.get(factor.name)) or 'none'})"))
    return facts


def distinct(rows: pd.DataFrame, factor: Factor) -> list[Value]:
    """The factor's values in these rows, each once, in the order of the frame."""
    return list(dict.fromkeys(value_of(entry) for entry in rows[factor.name]))


def differences(first: Arm, second: Arm) -> list[str]:
    """One sentence for each factor in which the bases of two studies differ.

    >>> differences(Arm(latents=2), Arm(latents=5))
    ['The studies differ in latents: 2 latents in the first, 5 latents in the second.']
    """
    return [
        f"The studies differ in {factor.title}: {words(factor, first.get(name))} in the first, "
        f"{words(factor, second.get(name))} in the second."
        for name, factor in factors().items()
        if not same_value(first.get(name), second.get(name))
    ]

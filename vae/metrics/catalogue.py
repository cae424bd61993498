"""The catalogue of metrics, read from `catalogue.toml`: all that must be known of a number before it is read.

Imports no torch, so that a command line can list the metrics at once.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, get_args

from vae.checks import whole_number
from vae.errors import UserError, closest, not_one_of

Direction = Literal["higher", "lower", "closer to 1", "none"]
Where = Literal["reconstructions", "samples", "latents", "likelihood"]
# The losses that can win a metric by construction. One with a fitted scale wins those of the plain loss.
Owner = Literal["", "bce", "mse", "mae", "continuous-bernoulli"]
Sees = Literal["original", "picture", "latents"]
Lattice = Literal["", "images", "whole"]

FILE: Final = Path(__file__).with_name("catalogue.toml")
_CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "direction": get_args(Direction),
    "where": get_args(Where),
    "own_objective": get_args(Owner),
    "sees": get_args(Sees),
    "lattice": get_args(Lattice),
}
_LEAST: Final = {"headline": 0, "version": 1}


@dataclass(frozen=True)
class Metric:
    """What a metric is, which way is better, and what changes it for the wrong reason. `catalogue.toml` says of every
    field what it means."""

    name: str
    label: str
    about: str
    where: Where
    unit: str
    direction: Direction
    low: float
    high: float
    source: str
    fools: str
    own_objective: Owner = ""
    own_beta_eff: float | None = None
    sees: Sees = "original"
    lattice: Lattice = ""
    by_classifier: bool = False
    headline: int = 0
    depends_on_size: bool = False
    always: bool = False
    version: int = 1


def load(file: Path) -> Mapping[str, Metric]:
    """The metrics of a catalogue file by name, in its order. Raises UserError, naming file, metric and key."""
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{file.name} is not valid TOML: {error}") from error
    return MappingProxyType({name: _metric(f"{file.name}, [{name}]", name, table) for name, table in tables.items()})


def _metric(place: str, name: str, table: object) -> Metric:
    fields = {field.name: field for field in dataclasses.fields(Metric) if field.name != "name"}
    if not isinstance(table, dict):
        raise UserError(f"{place} is {table!r}: it must be a table with the keys of a metric")
    for key in table:
        if key not in fields:
            raise UserError(f"{place}: {key!r} is not a key of a metric.{closest(key, fields)}")
    for key, field in fields.items():
        if key not in table and field.default is dataclasses.MISSING:
            raise UserError(f"{place}: the key {key!r} is missing")
    values = {key: _value(f"{place}: {key}", key, value, fields[key].type) for key, value in table.items()}
    if not values["low"] < values["high"]:
        raise UserError(f"{place}: low={values['low']:g} must be below high={values['high']:g}")
    return Metric(name=name, **values)


def _value(place: str, key: str, value: Any, kind: object) -> Any:
    """The value, checked, as `Metric` holds it. kind: the annotation of its field."""
    if key in _CHOICES:
        if value not in _CHOICES[key]:
            raise not_one_of(place, value, _CHOICES[key])
    elif key in _LEAST:
        whole_number(place, value, least=_LEAST[key])
    elif kind in ("float", "float | None"):
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise UserError(f"{place}={value!r} must be a number, or inf or -inf")
        return float(value)
    elif kind == "bool":
        if not isinstance(value, bool):
            raise UserError(f"{place}={value!r} must be true or false")
    elif not isinstance(value, str) or not value:
        raise UserError(f"{place}={value!r} must be text")
    return value


# name -> metric, in the order in which metrics are shown. Names are the columns of a study's frame.
CATALOGUE: Final = load(FILE)

# The metrics that a reader sees first, in their own order.
HEADLINE: Final = tuple(
    sorted((name for name in CATALOGUE if CATALOGUE[name].headline), key=lambda name: CATALOGUE[name].headline)
)


def versions() -> dict[str, int]:
    """name -> version of every metric: with evaluation settings, what determines the numbers of a trained cell."""
    return {name: metric.version for name, metric in CATALOGUE.items()}

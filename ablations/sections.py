"""The sections of a study file: what each may hold, checked as it is read.

A typo is an error where it is written, and a value of the wrong type is not converted. The keys
of [model], [training] and [grid] are the factors of the registry (`vae.factors`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationInfo, field_validator

from vae.arms import Arm
from vae.checks import finite_number, whole_number
from vae.errors import UserError, closest, not_one_of
from vae.factors import Factor, Scope, Value, factor, factors, same_value
from vae.posteriors import USUAL

MOST_SEEDS = 10_000  # more are a typing mistake
MAX_MINUTES = "max_minutes"  # of [training], and no factor: it decides whether there are weights, and not which
KEPT = ("all", "best", "none")  # whose weights are kept
GRID: Mapping[str, tuple[Value, ...]] = MappingProxyType(
    {"loss": ("bce", "mse", "mae"), "reduction": ("sum",), "beta": (1.0,), "posterior": (USUAL,)}
)


class Section(BaseModel):
    """Strict: the text "3" is no number, and true is no 1. (A whole number is a number.)"""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def as_section(value: object, info: ValidationInfo) -> object:
    """A section as it is. Raises UserError for what is none."""
    if not isinstance(value, Mapping | Section):
        raise UserError(f"{info.field_name}={value!r} must be a section, written [{info.field_name}]")
    return value


def as_text(value: object, info: ValidationInfo) -> str:
    """A text as it is. Raises UserError for what is none."""
    if not isinstance(value, str):
        raise UserError(f"{info.field_name}={value!r} must be text, in quotation marks")
    return value


def _as_flag(value: object, info: ValidationInfo) -> bool:
    if not isinstance(value, bool):
        raise UserError(f"{info.field_name}={value!r} must be true or false, without quotation marks")
    return value


def _whole(*, least: int) -> BeforeValidator:
    """A check for whole numbers; None, which no file can hold, passes."""

    def check(value: object, info: ValidationInfo) -> int | None:
        return None if value is None else whole_number(str(info.field_name), value, least=least)

    return BeforeValidator(check)


Count = Annotated[int, _whole(least=0)]


class Images(Section):
    """Which images of the dataset, and in what form. None: all of them, as they are."""

    train: Annotated[int | None, _whole(least=2)] = None
    test: Annotated[int | None, _whole(least=2)] = None
    held_out: Count = 0
    size: Annotated[int | None, _whole(least=7)] = None
    colour: Annotated[bool, BeforeValidator(_as_flag)] = False


def _shares(value: object, info: ValidationInfo) -> tuple[float, ...]:
    """Shares of training, increasing and in (0, 1], the last of them 1; or none."""
    shares = as_list(value)
    numbers = [float(share) for share in shares if isinstance(share, int | float) and not isinstance(share, bool)]
    rising = all(low < high for low, high in pairwise((0.0, *numbers)))
    if len(numbers) < len(shares) or not rising or (numbers and numbers[-1] != 1):
        raise UserError(
            f"{info.field_name}={list(shares)!r} must be shares of the epochs, increasing and above 0, the last of "
            f"them 1, such as [0.25, 0.5, 1.0]; or [] for none"
        )
    return tuple(numbers)


class Evaluation(Section):
    """How much is measured. Expensive metrics see a part of the test images, drawn at random once for the data set.

    per_epoch_images: the first test images, scored after every epoch of training.
    points, point_images: shares of training after which every metric is measured on that many test images, the
    importance bound excepted. Both, and per_epoch_images, decide what later training records; what is trained keeps the
    history that it has.
    iwae_images, iwae_samples: of the importance bound, and draws for each image. The defaults take a
    quarter of the time that measuring a cell of MNIST takes, and serve to compare arms on the same images. For the
    bound itself take 2000 images and 1000 draws, as the study "reference" does: eight times the time of all else.
    generated: samples from the prior. blur_images: of the blur effect. classifiers: how many read the pictures; each
    metric is their mean. kept_images: test images whose own values are kept with each cell.
    """

    per_epoch_images: Count = 1000
    points: Annotated[tuple[float, ...], BeforeValidator(_shares)] = (0.25, 0.5, 1.0)
    point_images: Annotated[int, _whole(least=2)] = 500
    iwae_images: Count = 150
    iwae_samples: Annotated[int, _whole(least=2)] = 512
    generated: Count = 2000
    blur_images: Count = 1000
    classifiers: Annotated[int, _whole(least=1)] = 3
    kept_images: Count = 1000

    @field_validator("iwae_samples")
    @classmethod
    def _can_be_halved(cls, value: int) -> int:
        """The bound at half the samples tells whether more of them would still help."""
        if value % 2:
            raise UserError(f"iwae_samples={value} must be an even number, such as {value + 1}")
        return value

    def point_epochs(self, epochs: int) -> tuple[int, ...]:
        """The epochs after which a cell of that many epochs is measured: of few epochs, fewer than there are shares.

        >>> Evaluation().point_epochs(30), Evaluation().point_epochs(2)
        ((8, 15, 30), (1, 2))
        """
        # A share such as .1 of 30 epochs is 3, and comes out a little above.
        return tuple(dict.fromkeys(max(1, math.ceil(share * epochs - 1e-9)) for share in self.points))


class Storage(Section):
    """What is kept of a trained cell besides its numbers and pictures.

    weights: of every cell, of the best seed of each arm (the lowest −ELBO over all runs of the study), or of none. Kept
    weights are measured again without training, when a metric is added or an evaluation setting changes. A best seed's
    weights are deleted when a better seed is trained; those that were kept under "all" never are.
    """

    weights: str = "all"

    @field_validator("weights", mode="before")
    @classmethod
    def _is_known(cls, value: object) -> object:
        if value not in KEPT:
            raise not_one_of("weights", value, KEPT)
        return value


def parse_seeds(value: object) -> tuple[int, ...]:
    """Seeds as a list, or as text: single numbers and ranges, both ends included.

    >>> parse_seeds("0-2,7")
    (0, 1, 2, 7)
    """
    if isinstance(value, str):
        seeds = [seed for part in filter(None, map(str.strip, value.split(","))) for seed in _seed_range(value, part)]
    elif isinstance(value, Sequence):
        seeds = list(value)
    else:
        raise UserError(f"seeds={value!r} must be text such as '0-7' or a list such as [0, 1, 2]")
    if not seeds:
        raise UserError(f"seeds={value!r} names no seed; a study needs at least one, such as '0-7'")
    for seed in seeds:
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise UserError(f"seeds: {seed!r} must be a whole number, 0 or more")
    _refuse_repeats("seeds", seeds)
    return tuple(seeds)


def _seed_range(value: str, part: str) -> range:
    first, dash, last = part.partition("-")
    if not first.isdecimal() or (dash and not last.isdecimal()):
        raise UserError(f"seeds={value!r} is not a list like '0-7' or '0,2,5' of whole numbers, 0 or more")
    seeds = range(int(first), int(last or first) + 1)
    if not seeds:
        raise UserError(f"seeds={value!r}: the range {part!r} runs backwards")
    if seeds.stop - seeds.start > MOST_SEEDS:
        raise UserError(f"seeds={value!r}: the range {part!r} is longer than {MOST_SEEDS:,} seeds")
    return seeds


def _refuse_repeats(name: str, values: Sequence[object]) -> None:
    for i, value in enumerate(values):
        if any(same_value(value, earlier) for earlier in values[:i]):
            raise UserError(f"{name} holds {value!r} twice; each value makes its own arm, so name it once")


def parse_claims(value: object) -> tuple[str, ...]:
    """The claims files of a study: a list, or a single one."""
    claims = as_list(value)
    for item in claims:
        if not isinstance(item, str):
            raise UserError(f"claims: {item!r} must be text: a bundled set such as 'notes', or the path of a file")
    return tuple(map(str, claims))


def as_list(value: object) -> tuple[object, ...]:
    """A list as a tuple; a single value as a tuple of one."""
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def base_section(name: str, value: object) -> dict[str, Value]:
    """The section [model] or [training]: the base values of its factors, each with its default where it is left out.

    >>> base_section("model", {"latents": 5, "hidden": [30]})
    {'family': 'mlp', 'latents': 5, 'conditional': False, 'hidden': (30,)}
    """
    if not isinstance(value, Mapping):
        raise UserError(f"{name}={value!r} must be a section, written [{name}]")
    keys = [one.key for one in factors().values() if one.name.startswith(f"{name}.")]
    if name == "training" and MAX_MINUTES in value:
        rest = {key: setting for key, setting in value.items() if key != MAX_MINUTES}
        return {**base_section(name, rest), MAX_MINUTES: _minutes(value[MAX_MINUTES])}
    unknown = next((str(key) for key in value if key not in keys), None)
    if unknown is not None and name == "training":
        known = [*keys, MAX_MINUTES]
        raise UserError(f"the key 'training.{unknown}' is not known; known here: {known}.{closest(unknown, known)}")
    given = {f"{name}.{key}": setting for key, setting in value.items() if setting is not None}  # None: not given
    arm = Arm.of({"loss": "bce", **given})
    return {key.removeprefix(f"{name}."): setting for key, setting in arm.items if key.startswith(f"{name}.")}


def _minutes(value: object) -> float:
    return float(finite_number(MAX_MINUTES, value, above=0))


def grid_section(value: object) -> dict[str, tuple[Value, ...]]:
    """The section [grid]: factor -> its values, in the order of the registry. Every combination is an arm.

    >>> grid_section({"loss": "mae", "model.latents": [2, 10]})["model.latents"]
    (2, 10)
    """
    if not isinstance(value, Mapping):
        raise UserError(f"grid={value!r} must be a section, written [grid]")
    given: dict[str, tuple[Value, ...]] = {}
    known = list(factors())
    for written, values in flattened(value):
        if not any(_same_factor(written, name) for name in known):
            raise UserError(f"the key 'grid.{written}' is not known; known here: {known}.{closest(written, known)}")
        one = factor(written)
        if one.name in given:
            raise UserError(f"{one.name} is given twice; give all its values in one list")
        given[one.name] = _values(one, values)
    given = {**GRID, **given}
    return {name: given[name] for name in known if name in given}


def flattened(grid: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The factors of a grid, as they are written, with their values: "model.latents" may be a table of its own.

    >>> dict(flattened({"beta": 1, "latents": 2, "model": {"latents": 3}}))
    {'beta': 1, 'latents': 2, 'model.latents': 3}
    """
    for key, values in grid.items():
        if isinstance(values, Mapping):
            yield from flattened(values, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", values


def without(name: str, grid: Mapping[str, Any]) -> dict[str, Any]:
    """A grid without the values of one factor, however that is written there."""
    return {key: values for key, values in flattened(grid) if not (_same_factor(key, name) or _same_factor(name, key))}


def _same_factor(written: str, name: str) -> bool:
    """Whether a factor is written with its whole name, or with the short one, without the section."""
    return written == name or name.endswith(f".{written}")


def _values(one: Factor, given: object) -> tuple[Value, ...]:
    values = as_list(given)
    if not values:
        raise UserError(f"{one.name}=[] is an empty list, so the grid has no arm; name at least one value")
    checked = tuple(map(one.check, values))
    _refuse_repeats(one.name, checked)
    return checked


def base_arm(model: Mapping[str, Value], training: Mapping[str, Value], grid: Mapping[str, tuple[Value, ...]]) -> Arm:
    """The base of a study: what arms are labelled and selected against, and what figures keep to.

    The sections' values, and the defaults of the objective. Where the grid does not hold such a value, the first value
    that it holds of that factor takes its place.

    >>> base_arm(base_section("model", {}), base_section("training", {}), grid_section({"posterior": "log-std"}))
    Arm(bce-sum-b1-log-std)
    """
    settings: dict[str, Value] = {
        **{name: one.default for name, one in factors().items() if one.scope is Scope.OBJECTIVE},
        **{f"model.{key}": value for key, value in model.items()},
        **{f"training.{key}": value for key, value in training.items() if key != MAX_MINUTES},
    }
    first = {name: values[0] for name, values in grid.items() if not _among(settings.get(name), values)}
    family = first.get("model.family", settings["model.family"])
    applying = {name: value for name, value in first.items() if factors()[name].applies(family)}
    # The base may have a loss of one's own that is not at hand when a report is made.
    kept = {name: value for name, value in settings.items() if factors()[name].applies(family)}
    return Arm.of({**kept, **applying}, recorded=True)


def _among(value: Value, values: Sequence[Value]) -> bool:
    return any(same_value(value, other) for other in values)

"""A study: one frozen, checked description of what to train and on what. Read from TOML, overridden by options.

A typo is an error where it is written: every message names the file, the key, the value and what is allowed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from itertools import product
from typing import Annotated, Any

import tomli_w
from pydantic import BeforeValidator, ValidationError, ValidationInfo, field_validator, model_validator

from ablations.sections import (
    MAX_MINUTES,
    Evaluation,
    Images,
    Section,
    Storage,
    as_section,
    as_text,
    base_arm,
    base_section,
    grid_section,
    parse_claims,
    parse_seeds,
    without,
)
from ablations.studies import table_of
from reports.validation import sentence
from vae.arms import Arm
from vae.errors import UserError
from vae.factors import Value, factor, factors, no_option
from vae.losses import loss

LONGEST_NAME = 100
SECTIONS: Mapping[str, type[Section]] = {"images": Images, "evaluation": Evaluation, "storage": Storage}

Text = Annotated[str, BeforeValidator(as_text)]
Base = dict[str, Value]
Grid = Mapping[str, tuple[Value, ...]]


class Study(Section):
    """What to train, on what, how, and what to measure.

    model, training: the base values of the factors of these sections. grid: factor -> its values.
    """

    name: Text
    title: Text = ""
    description: Text = ""
    dataset: Text = "digits"
    seeds: Annotated[tuple[int, ...], BeforeValidator(parse_seeds)] = tuple(range(8))
    claims: Annotated[tuple[str, ...], BeforeValidator(parse_claims)] = ("notes",)
    images: Annotated[Images, BeforeValidator(as_section)] = Images()
    model: Annotated[Base, BeforeValidator(partial(base_section, "model"))] = base_section("model", {})
    training: Annotated[Base, BeforeValidator(partial(base_section, "training"))] = base_section("training", {})
    grid: Annotated[dict[str, tuple[Value, ...]], BeforeValidator(grid_section)] = grid_section({})
    evaluation: Annotated[Evaluation, BeforeValidator(as_section)] = Evaluation()
    storage: Annotated[Storage, BeforeValidator(as_section)] = Storage()

    @field_validator("name")
    @classmethod
    def _names_a_folder(cls, value: str) -> str:
        """A study's report and files lie in folders of its name, so it must be one, and lead nowhere else."""
        plain = value.strip() == value and value.isprintable() and not set(value) & set("/\\")
        if not value or not plain or value in (".", "..") or len(value) > LONGEST_NAME:
            raise UserError(
                f"name={value!r} must be 1 to {LONGEST_NAME} printable characters without slashes: it names a folder"
            )
        return value

    @field_validator("grid")
    @classmethod
    def _losses_can_be_used(
        cls, value: dict[str, tuple[Value, ...]], info: ValidationInfo
    ) -> dict[str, tuple[Value, ...]]:
        for name in () if (info.context or {}).get("recorded") else value["loss"]:
            loss(str(name))
        return value

    @model_validator(mode="after")
    def _some_arm_has_each_factor(self) -> Study:
        families = _families(self.grid, self.model)
        for one in map(factor, self.grid):
            if not any(map(one.applies, families)):
                raise UserError(f"[grid] {no_option(one.key, str(families[0]))}")
        return self

    def with_grid(self, grid: Grid) -> Study:
        """The same study with another grid, less the factors that none of its families has."""
        families = _families(grid, self.model)
        kept = {name: values for name, values in grid.items() if any(map(factor(name).applies, families))}
        return Study.model_validate({**self.model_dump(), "grid": kept})

    @property
    def max_minutes(self) -> float | None:
        """How long a stack may train; None for as long as it takes."""
        minutes = self.training.get(MAX_MINUTES)
        return None if minutes is None else float(minutes)  # type: ignore[arg-type]

    @cached_property
    def base(self) -> Arm:
        """The arm that labels, claims and figures are relative to; see `ablations.sections.base_arm`."""
        return base_arm(self.model, self.training, self.grid)

    @cached_property
    def arms(self) -> tuple[Arm, ...]:
        """The arms of the grid, in the order of the registry of factors: the last factor varies fastest.

        A setting that a model family does not have is left out for the arms of that family.

        >>> study = Study(name="x", grid={"loss": "mae", "beta": [1, 2], "model.latents": [5, 20]})
        >>> [arm.label(study.base) for arm in study.arms]
        ['mae-sum-b1-latents5', 'mae-sum-b1', 'mae-sum-b2-latents5', 'mae-sum-b2']
        """
        combinations = (dict(zip(self.grid, values)) for values in product(*self.grid.values()))
        return tuple(dict.fromkeys(self._arm(settings) for settings in combinations))

    def _arm(self, settings: Mapping[str, Value]) -> Arm:
        family = settings.get("model.family", self.base["model.family"])
        return self.base.replace({k: value for k, value in settings.items() if factors()[k].applies(family)})


def _families(grid: Grid, model: Base) -> Sequence[Value]:
    return grid.get("model.family", (model["family"],))


def load(study: str, overrides: Mapping[str, Any] | None = None) -> Study:
    """The checked study of that name or path. overrides: dotted key -> value, as from ``--set``.

    >>> load("digits", {"training.epochs": 2}).training["epochs"]
    2
    """
    where, table = table_of(study)
    for key, value in (overrides or {}).items():
        _override(table, key, value)
    return checked(table, where)


def to_toml(study: Study) -> str:
    """The study as a file that gives the same study again, overrides and defaults included.

    >>> import tomllib
    >>> checked(tomllib.loads(to_toml(load("digits"))), "again") == load("digits")
    True
    """
    return tomli_w.dumps(_written(study.model_dump(mode="json", exclude_none=True)))


def _written(value: Any) -> Any:
    """As TOML can hold it: no null; in a list, where one is a factor's value, the text "none"."""
    if isinstance(value, Mapping):
        return {key: _written(item) for key, item in value.items() if item is not None}
    return ["none" if item is None else item for item in value] if isinstance(value, list) else value


def _override(table: dict[str, Any], key: str, value: Any) -> None:
    if key.startswith("grid.") and isinstance(table.get("grid"), Mapping):
        table["grid"] = without(key.removeprefix("grid."), table["grid"])
    *sections, last = key.split(".")
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise UserError(f"--set {key}: {section!r} is a single value, not a section")
    table[last] = value


def checked(table: Mapping[str, Any], where: str, *, recorded: bool = False) -> Study:
    """A study from a plain table. Every mistake becomes one sentence that names file, key and value.

    recorded: it was run already, so a loss of one's own need not be at hand.
    """
    try:
        return Study.model_validate(dict(table), context={"recorded": recorded})
    except ValidationError as error:
        detail = error.errors()[0]
        path = [str(part) for part in detail["loc"]]
        message = sentence(detail, key=".".join(path), allowed=_allowed(path[:-1]))
        is_section = detail["type"] == "value_error" and path and path[0] in ("model", "training", "grid", *SECTIONS)
        prefix = f"[{path[0]}] " if is_section and not message.startswith((path[0], "the key")) else ""
        raise UserError(f"{where}: {prefix}{message}") from None


def _allowed(path: Sequence[str]) -> list[str]:
    section: type[Section] = SECTIONS[path[0]] if path and path[0] in SECTIONS else Study
    return list(section.model_fields)

"""A study: one frozen, checked description of what to train and on what. Read from TOML, overridden by options.

A typo is an error where it is written: every message names the file, the key, the value and what is allowed.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import tomli_w
from pydantic import BeforeValidator, ValidationError, field_validator

import vae
from ablations.sections import (
    Evaluation,
    Grid,
    Images,
    Many,
    Model,
    Section,
    lower_first,
    parse_seeds,
    training_section,
)
from vae.errors import UserError, closest
from vae.objectives import Objective

LONGEST_NAME = 100


class Study(Section):
    """What to train, on what, how, and what to measure."""

    name: str
    title: str = ""
    description: str = ""
    dataset: str = "digits"
    seeds: Annotated[tuple[int, ...], BeforeValidator(parse_seeds)] = tuple(range(8))
    claims: Annotated[tuple[str, ...], Many] = ("notes",)
    images: Images = Images()
    model: Model = Model()
    training: Annotated[vae.Training, BeforeValidator(training_section)] = vae.Training()
    grid: Grid = Grid()
    evaluation: Evaluation = Evaluation()

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

    def objectives(self) -> tuple[Objective, ...]:
        """The arms of the grid, in the order of the file.

        >>> [each.label for each in Study(name="x", grid=Grid(loss="mae", beta=(1, 2))).objectives()]
        ['mae-sum-b1', 'mae-sum-b2']
        """
        grid = self.grid
        return tuple(
            Objective(name, reduction, float(beta), posterior)
            for name in grid.loss
            for reduction in grid.reduction
            for beta in grid.beta
            for posterior in grid.posterior
        )


def bundled() -> tuple[str, ...]:
    """The names of the studies that come with the package."""
    folder = resources.files("ablations") / "studies"
    return tuple(sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml")))


def read(study: str) -> tuple[str, str]:
    """(where it stands, its text) of a study given by bundled name or by path."""
    if study in bundled():
        return f"{study}.toml", (resources.files("ablations") / "studies" / f"{study}.toml").read_text("utf-8")
    path = Path(study)
    if not path.suffix and not path.exists():
        raise UserError(
            f"study={study!r} is neither a bundled study {list(bundled())} nor a file.{closest(study, bundled())}"
        )
    try:
        return str(path), path.read_text("utf-8")
    except FileNotFoundError:
        raise UserError(f"study={study!r}: there is no such file; bundled studies are {list(bundled())}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"study={study!r} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def name_of(study: str) -> str:
    """The name under which a study given by name or by file is tracked.

    >>> name_of("mnist"), name_of("elsewhere/mine.toml"), name_of("my.v2")
    ('mnist', 'mine', 'my.v2')
    """
    path = Path(study)
    if path.suffix != ".toml":
        return study
    return load(study).name if path.is_file() else path.stem


def load(study: str, overrides: Mapping[str, Any] | None = None) -> Study:
    """The checked study of that name or path. overrides: dotted key -> value, as from ``--set``.

    >>> load("digits", {"training.epochs": 2}).training.epochs
    2
    """
    where, text = read(study)
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{where} is not TOML: {error}") from None
    table.setdefault("name", Path(where).stem)
    for key, value in (overrides or {}).items():
        _override(table, key, value)
    return checked(table, where)


def to_toml(study: Study) -> str:
    """The study as a file that gives the same study again, overrides and defaults included.

    >>> checked(tomllib.loads(to_toml(load("digits"))), "again") == load("digits")
    True
    """
    return tomli_w.dumps(study.model_dump(mode="json", exclude_none=True))


def _override(table: dict[str, Any], key: str, value: Any) -> None:
    *sections, last = key.split(".")
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise UserError(f"--set {key}: {section!r} is a single value, not a section")
    table[last] = value


def checked(table: Mapping[str, Any], where: str) -> Study:
    """A study from a plain table. Every mistake becomes one sentence that names file, key and value."""
    try:
        return Study.model_validate(dict(table))
    except ValidationError as error:
        raise UserError(f"{where}: {_sentence(error.errors()[0])}") from None


def _sentence(error: Any) -> str:
    path = [str(part) for part in error["loc"]]
    key = ".".join(path)
    if error["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        valid = _valid_keys(path[:-1])
        return f"the key {key!r} is not known; known here: {valid}.{closest(path[-1], valid)}"
    if error["type"] == "value_error":
        section = ".".join(path)
        message = str(error["ctx"]["error"])
        return f"[{section}] {message}" if section and not message.startswith(section) else message
    if error["type"] == "missing":
        return f"the key {key!r} is missing"
    value = error["input"]
    shown = "NaN" if isinstance(value, float) and math.isnan(value) else repr(value)
    return f"{key}={shown}: {lower_first(error['msg'])}"


def _valid_keys(path: Sequence[str]) -> list[str]:
    sections: dict[str, Any] = {
        "images": Images,
        "grid": Grid,
        "evaluation": Evaluation,
    }
    if not path:
        return list(Study.model_fields)
    if path[0] == "training":
        return list(vae.Training.__dataclass_fields__)
    return list(sections[path[0]].model_fields)

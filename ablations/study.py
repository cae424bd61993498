"""A study: one frozen, checked description of what to train and on what. Read from TOML, overridden by options.

A typo is an error where it is written: every message names the file, the key, the value and what is allowed.
"""

from __future__ import annotations

import inspect
import math
import tomllib
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import tomli_w
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)
from torch import nn

import vae
from vae.errors import UserError, closest, not_one_of
from vae.losses import loss
from vae.models import FAMILIES
from vae.objectives import POSTERIORS, REDUCTIONS, Objective

MOST_SEEDS = 10_000  # a slip of the finger, beyond
LONGEST_NAME = 100


class _Section(BaseModel):
    """Strict: the text "3" is no number, and true is no 1. (A whole number is a number.)"""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def parse_seeds(value: object) -> tuple[int, ...]:
    """Seeds as a list, or as text: single numbers and ranges, both ends included.

    >>> parse_seeds("0-2,7")
    (0, 1, 2, 7)
    """
    if isinstance(value, str):
        seeds: list[int] = []
        for part in filter(None, (piece.strip() for piece in value.split(","))):
            first, dash, last = part.partition("-")
            if not first.isdecimal() or (dash and not last.isdecimal()):
                raise UserError(f"seeds={value!r} is not a list like '0-7' or '0,2,5' of whole numbers, 0 or more")
            if dash and int(last) < int(first):
                raise UserError(f"seeds={value!r}: the range {part!r} runs backwards")
            if dash and int(last) - int(first) >= MOST_SEEDS:
                raise UserError(f"seeds={value!r}: the range {part!r} is longer than {MOST_SEEDS:,} seeds")
            seeds.extend(range(int(first), int(last if dash else first) + 1))
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


def _refuse_repeats(name: str, values: Sequence[object]) -> None:
    seen: set[object] = set()
    repeated = next((value for value in values if value in seen or seen.add(value)), None)  # type: ignore[func-returns-value]
    if repeated is not None:
        raise UserError(f"{name} holds {repeated!r} twice; each value makes its own arm, so name it once")


def _as_list(value: object) -> object:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


class Images(_Section):
    """Which images of the dataset, and in what form. None: all of them, as they are."""

    train: int | None = Field(None, ge=2)
    test: int | None = Field(None, ge=2)
    held_out: int = Field(0, ge=0)
    size: int | None = Field(None, ge=7)
    colour: bool = False


class Model(_Section):
    """A family and its sizes. The options of a family are the keyword-only arguments of its constructor.

    >>> Model(family="conv", channels=[8, 16]).channels
    (8, 16)
    """

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    family: str = "mlp"
    latents: int = Field(20, ge=1)
    conditional: bool = False

    @model_validator(mode="before")
    @classmethod
    def _options_of_its_family(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        family = values.get("family", "mlp")
        if not isinstance(family, str) or family not in FAMILIES:
            raise not_one_of("family", family, FAMILIES)
        options, found = family_options(family), dict(values)
        for name in values.keys() - cls.model_fields.keys():
            if name not in options:
                raise _no_option(name, family, list(options))
            value = found.pop(name)
            if value is not None:  # as good as not given
                found[name] = _of_type(name, value, options[name])
        return found

    @model_serializer(mode="wrap")
    def _with_absent_options(self, plain: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        """The keys of cells were first made with these two there in any case, and stay what they are."""
        absent = {} if info.exclude_none else dict.fromkeys(("hidden", "channels"))
        return {**absent, **plain(self)}

    def build(self, image_shape: Sequence[int], classes: int) -> nn.Module:
        """One fresh model for images of that shape; classes count only where it is conditional."""
        if self.conditional and not classes:
            raise UserError("conditional=true needs a dataset with labels, and this one has none")
        family = FAMILIES[self.family]
        return family(image_shape, self.latents, classes if self.conditional else 0, **(self.model_extra or {}))


def family_options(family: str) -> dict[str, Any]:
    """The options that a family takes beside its latents, and their types.

    >>> list(family_options("conv"))
    ['channels']
    """
    parameters = inspect.signature(FAMILIES[family], eval_str=True).parameters.values()
    return {each.name: each.annotation for each in parameters if each.kind is each.KEYWORD_ONLY}


def _no_option(name: str, family: str, options: Sequence[str]) -> UserError:
    """The error for what a family does not take: a slip in some key, or else an option of another family, for which
    this one's nearest is told however far that is."""
    slip = closest(name, [*Model.model_fields, *options])
    nearest = max(options, key=lambda each: SequenceMatcher(None, name, each).ratio(), default="")
    hint = slip or (nearest and f" Did you mean {nearest!r}?")
    return UserError(f"{name} is no option of family={family!r}.{hint}")


def _of_type(name: str, value: object, wanted: Any) -> Any:
    """The value as the type wanted; lists as tuples, which nobody changes."""
    try:
        found = TypeAdapter(Any if wanted is inspect.Parameter.empty else wanted).validate_python(value, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        said = "input should be a list" if first["type"] == "is_instance_of" else _lower_first(first["msg"])
        raise UserError(f"{name}={value!r}: {said}") from None
    return tuple(found) if isinstance(found, list) else found


Many = BeforeValidator(_as_list)


class Grid(_Section):
    """Every combination of these is an arm."""

    loss: Annotated[tuple[str, ...], Many] = ("bce", "mse", "mae")
    reduction: Annotated[tuple[str, ...], Many] = ("sum",)
    beta: Annotated[tuple[float, ...], Many] = (1.0,)
    posterior: Annotated[tuple[str, ...], Many] = ("half-logvar",)

    @model_validator(mode="after")
    def _checked(self) -> Grid:
        for name in ("loss", "reduction", "beta", "posterior"):
            values = getattr(self, name)
            if not values:
                raise UserError(f"{name}=[] is an empty list, so the grid has no arm; name at least one value")
            _refuse_repeats(name, values)
        for name in self.loss:
            loss(name)
        for name in self.reduction:
            if name not in REDUCTIONS:
                raise not_one_of("reduction", name, REDUCTIONS)
        for name in self.posterior:
            if name not in POSTERIORS:
                raise not_one_of("posterior", name, POSTERIORS)
        for beta in self.beta:
            Objective(beta=beta)
        return self


class Evaluation(_Section):
    """How much is measured. Expensive rulers run on the first images of the test set, and the report says so."""

    per_epoch_images: int = Field(1000, ge=0)
    iwae_images: int = Field(100, ge=0)
    iwae_samples: int = Field(512, ge=2, multiple_of=2)
    generated: int = Field(2000, ge=0)
    blur_images: int = Field(1000, ge=0)


def _training(value: object) -> vae.Training:
    """The section as `vae.Training`, which checks its own values and their types."""
    if isinstance(value, vae.Training):
        return value
    if not isinstance(value, Mapping):
        raise UserError(f"training={value!r} must be a section of keys, such as [training] epochs = 10")
    known = list(vae.Training.__dataclass_fields__)
    unknown = next((str(key) for key in value if key not in known), None)
    if unknown is not None:
        raise UserError(f"the key 'training.{unknown}' is not known; known here: {known}.{closest(unknown, known)}")
    return vae.Training(**{str(key): each for key, each in value.items()})


class Study(_Section):
    """What to train, on what, how, and what to measure."""

    name: str
    title: str = ""
    description: str = ""
    dataset: str = "digits"
    seeds: Annotated[tuple[int, ...], BeforeValidator(parse_seeds)] = tuple(range(8))
    claims: Annotated[tuple[str, ...], Many] = ("notes",)
    images: Images = Images()
    model: Model = Model()
    training: Annotated[vae.Training, BeforeValidator(_training)] = vae.Training()
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
    return f"{key}={shown}: {_lower_first(error['msg'])}"


def _lower_first(message: str) -> str:
    return f"{message[0].lower()}{message[1:]}"


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

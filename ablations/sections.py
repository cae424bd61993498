"""The sections of a study file: what each may hold, checked as it is read.

A typo is an error where it is written, and a value of the wrong kind is not made into one of the right kind.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    TypeAdapter,
    ValidationError,
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


class Section(BaseModel):
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


class Images(Section):
    """Which images of the dataset, and in what form. None: all of them, as they are."""

    train: int | None = Field(None, ge=2)
    test: int | None = Field(None, ge=2)
    held_out: int = Field(0, ge=0)
    size: int | None = Field(None, ge=7)
    colour: bool = False


class Model(Section):
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
        said = "input should be a list" if first["type"] == "is_instance_of" else lower_first(first["msg"])
        raise UserError(f"{name}={value!r}: {said}") from None
    return tuple(found) if isinstance(found, list) else found


Many = BeforeValidator(_as_list)


class Grid(Section):
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


class Evaluation(Section):
    """How much is measured. Expensive rulers run on the first images of the test set, and the report says so."""

    per_epoch_images: int = Field(1000, ge=0)
    iwae_images: int = Field(100, ge=0)
    iwae_samples: int = Field(512, ge=2, multiple_of=2)
    generated: int = Field(2000, ge=0)
    blur_images: int = Field(1000, ge=0)


def training_section(value: object) -> vae.Training:
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


def lower_first(message: str) -> str:
    """A message as it stands behind a colon."""
    return f"{message[0].lower()}{message[1:]}"

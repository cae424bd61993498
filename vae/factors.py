"""Factors: the named settings in which the arms of a study may differ. One registry, which everything else reads.

    objective    loss, reduction, beta, posterior       a number per arm: arms that differ in these train in one stack
    optimiser    learning rate, weight decay, ...       likewise
    shape        model options, batch size, epochs ...  arms that differ in these form stacks of their own

The training factors are the fields of `vae.training.settings.Training`; the model factors are the options of the
families in `vae.families.FAMILIES`. So a new option of either is a factor at once. To add an objective factor: one
entry in `_OBJECTIVE`, and the code in `vae.objectives` that reads it. Neither this module nor those that it reads
import torch, so that a study is checked at once.
"""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import SequenceMatcher
from enum import StrEnum
from functools import cache, partial
from types import MappingProxyType
from typing import Any, get_type_hints

from vae import families
from vae.checks import finite_number, whole_number
from vae.errors import UserError, closest, not_one_of
from vae.kinds import NONE as NONE  # this and Value: other packages import them from here
from vae.kinds import Value as Value
from vae.kinds import canonical, checked, kind_of, not_none
from vae.losses import LOSSES
from vae.objectives import REDUCTIONS
from vae.posteriors import POSTERIORS, USUAL
from vae.training.settings import Training


class Scope(StrEnum):
    """What arms that differ in a factor can share: one stack, or only the batch order of their seed."""

    OBJECTIVE = "objective"
    OPTIMISER = "optimiser"
    SHAPE = "shape"


@dataclass(frozen=True)
class Factor:
    """One setting in which arms may differ.

    name: as in a study's grid, "beta" or "model.latents". title: words for a column.
    kind: the type of its values, see `vae.kinds`.
    check: any value -> the value in its canonical type; UserError for one that is not allowed.
    label: value -> its part of an arm's label. phrase: value -> words for a sentence.
    families: of a model option, the default in each family that has the option; None where every arm has the factor.
    """

    name: str
    scope: Scope
    default: Value
    kind: Any
    title: str
    check: Callable[[Any], Value]
    label: Callable[[Any], str]
    phrase: Callable[[Any], str]
    families: Mapping[str, Value] | None = None

    @property
    def key(self) -> str:
        """The part of the name after the dot: `latents` of `model.latents`."""
        return self.name.rpartition(".")[2]

    def applies(self, family: object) -> bool:
        """Whether arms of that model family have this factor."""
        return self.families is None or family in self.families

    @property
    def may_be_none(self) -> bool:
        """Whether None is one of its values, and not the sign of an arm whose family lacks it."""
        return self.families is None and not_none(self.kind) is not self.kind

    def default_in(self, family: object) -> Value:
        """The default for arms of that model family."""
        return self.default if self.families is None else self.families[str(family)]

    def canonical(self, value: Any) -> Value:
        """The value in its own type, not checked: a recorded value may be one that today's code does not allow."""
        return canonical(self.kind, value)

    def text(self, value: Value) -> str:
        """The value as text, which `parse` reads back.

        >>> factor("model.hidden").text((400, 200)), factor("model.conditional").text(True), factor("loss").text("mae")
        ('[400, 200]', 'true', 'mae')
        """
        if value is None:
            return ""
        return value if isinstance(value, str) else json.dumps(value)

    def parse(self, text: str) -> Value:
        """The value of a text, not checked; empty text is None.

        >>> factor("model.hidden").parse("[400, 200]"), factor("beta").parse("1.0"), factor("loss").parse("mae")
        ((400, 200), 1.0, 'mae')
        """
        if not text:
            return None
        if not_none(self.kind) is str:
            return text
        try:
            return self.canonical(json.loads(text))
        except json.JSONDecodeError:
            if self.kind is not Any:
                raise
            return text


def same_value(one: object, other: object) -> bool:
    """Whether two values are one setting: numbers that agree to rounding, other values that are equal.

    >>> same_value(3.92, 0.1 * 784 / 20), same_value(True, 1), same_value((400,), (400,))
    (True, False, True)
    """
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=1e-9)
    return one == other


def factors() -> Mapping[str, Factor]:
    """Every factor by name, in display order.

    >>> list(factors())[:6]
    ['loss', 'reduction', 'beta', 'posterior', 'model.family', 'model.latents']
    """
    return _registry(tuple(families.FAMILIES.items()))


def factor(name: str) -> Factor:
    """The factor of that name; the part after the dot is enough.

    >>> factor("latents").name
    'model.latents'
    >>> factor("training.learning_rat")
    Traceback (most recent call last):
    vae.errors.UserError: factor='training.learning_rat' is not one of [...]. Did you mean 'training.learning_rate'?
    """
    known = factors()
    if name in known:
        return known[name]
    matching = next((candidate for candidate in known.values() if candidate.key == name), None)
    if matching is None:
        raise not_one_of("factor", name, known)
    return matching


def no_option(name: str, family: str) -> UserError:
    """The error for a model option that the family does not have, with a likely intention.

    That is a model setting with a similar name, or else the family's option with the least different name.
    """
    options = [factor.key for factor in factors().values() if factor.families is not None and factor.applies(family)]
    similar = closest(name, ["family", "latents", "conditional", *options])
    nearest = max(options, key=lambda option: SequenceMatcher(None, name, option).ratio(), default="")
    hint = similar or (nearest and f" Did you mean {nearest!r}?")
    return UserError(f"{name} is not an option of family={family!r}.{hint}")


@cache
def _registry(families: tuple[tuple[str, type], ...]) -> Mapping[str, Factor]:
    in_order = (*_OBJECTIVE, *_model_factors(families), *_options(families), *_training_factors())
    return MappingProxyType({factor.name: factor for factor in in_order})


def _member(name: str, allowed: Sequence[str], value: Any) -> Value:
    if not isinstance(value, str) or value not in allowed:
        raise not_one_of(name, value, allowed)
    return value


def _loss(value: Any) -> Value:
    """A built-in loss, or `package.module:function`, which is imported when a stack needs it."""
    if isinstance(value, str) and (":" in value or value in LOSSES):
        return value
    raise not_one_of("loss", value, [*LOSSES, "package.module:function"])


def _beta(value: Any) -> Value:
    return float(finite_number("beta", value, least=0))


def _spread_in_words(name: str) -> str:
    return POSTERIORS[name].words if name in POSTERIORS else name


_reduction = partial(_member, "reduction", tuple(REDUCTIONS))
_posterior = partial(_member, "posterior", tuple(POSTERIORS))
_OBJECTIVE = (
    Factor("loss", Scope.OBJECTIVE, "bce", str, "loss", _loss, str, str),
    Factor("reduction", Scope.OBJECTIVE, "sum", str, "reduction", _reduction, str, "‘{}’".format),
    Factor("beta", Scope.OBJECTIVE, 1.0, float, "β", _beta, "b{:g}".format, "beta {:g}".format),
    Factor("posterior", Scope.OBJECTIVE, USUAL, str, "posterior", _posterior, str, _spread_in_words),
)


def _last_batch(value: Any) -> str:
    return f"the last partial batch {'kept' if value == 'keep' else 'dropped'}"


# name -> (scope, title, label, phrase) of the fields of `Training`
_TRAINING: Mapping[str, tuple[Scope, str, Callable[[Any], str], Callable[[Any], str]]] = MappingProxyType(
    {
        "epochs": (Scope.SHAPE, "epochs", "epochs{}".format, "{} epochs".format),
        "batch_size": (Scope.SHAPE, "batch size", "batch{}".format, "batches of {}".format),
        "learning_rate": (Scope.OPTIMISER, "learning rate", "lr{:g}".format, "learning rate {:g}".format),
        "last_batch": (Scope.SHAPE, "last partial batch", "last-{}".format, _last_batch),
        "weight_decay": (Scope.OPTIMISER, "weight decay", "wd{:g}".format, "weight decay {:g}".format),
        "clip_norm": (
            Scope.OPTIMISER,
            "clipping norm",
            lambda norm: "unclipped" if norm is None else f"clip{norm:g}",
            lambda norm: "gradients not clipped" if norm is None else f"gradients clipped at {norm:g}",
        ),
        "adam_eps": (Scope.OPTIMISER, "Adam’s eps", "eps{:g}".format, "Adam’s eps {:g}".format),
        "precision": (Scope.SHAPE, "precision", "{}".format, "{}".format),
        "log_every": (
            Scope.SHAPE,
            "steps between logged losses",
            "log{}".format,
            "losses logged every {} steps".format,
        ),
    }
)


def _training_factors() -> list[Factor]:
    kinds = get_type_hints(Training)
    return [
        Factor(
            f"training.{field.name}",
            scope,
            getattr(Training, field.name),
            kinds[field.name],
            title,
            partial(_setting, field.name, kinds[field.name]),
            label,
            phrase,
        )
        for field in fields(Training)
        for scope, title, label, phrase in [_TRAINING[field.name]]
    ]


def _setting(name: str, kind: Any, value: Any) -> Value:
    if value == NONE and getattr(Training, name) is None:
        return None
    return canonical(kind, getattr(Training(**{name: value}), name))


def _model_factors(families: Sequence[tuple[str, type]]) -> list[Factor]:
    names = [name for name, _ in families]
    family, latents = partial(_member, "family", names), partial(whole_number, "latents", least=1)
    conditional, shape = partial(checked, "conditional", bool), Scope.SHAPE
    return [
        Factor("model.family", shape, names[0], str, "model family", family, str, "family {}".format),
        Factor("model.latents", shape, 20, int, "latents", latents, "latents{}".format, _latents_phrase),
        Factor("model.conditional", shape, False, bool, "conditional", conditional, _conditional_label, _labels_phrase),
    ]


def _latents_phrase(value: int) -> str:
    return "1 latent" if value == 1 else f"{value} latents"


def _conditional_label(value: bool) -> str:
    return "conditional" if value else "unconditional"


def _labels_phrase(value: bool) -> str:
    return "with labels" if value else "without labels"


def _options(families: Sequence[tuple[str, type]]) -> list[Factor]:
    """A factor for each option of each family: the keyword-only arguments of what builds it, with their types."""
    of_families: dict[str, dict[str, inspect.Parameter]] = {}
    for family, build in families:
        for option in inspect.signature(build, eval_str=True).parameters.values():
            if option.kind is option.KEYWORD_ONLY:
                of_families.setdefault(option.name, {})[family] = option
    return [_option(name, options) for name, options in of_families.items()]


def _option(name: str, options: Mapping[str, inspect.Parameter]) -> Factor:
    """The factor of an option. options: family -> the argument of what builds it."""
    family, first = next(iter(options.items()))
    kind = _kind(first)
    for other, option in options.items():
        if option.default is option.empty:
            raise UserError(f"option {name!r} of family={other!r} has no default: give it one in the family's class")
        if _kind(option) != kind:
            raise UserError(
                f"option {name!r} is {_written(first)} in family={family!r} and {_written(option)} in "
                f"family={other!r}: give it one type in both, or another name in one of them"
            )
    defaults = {of: canonical(kind, option.default) for of, option in options.items()}
    checks = dict.fromkeys(
        check for option in options.values() for check in getattr(option.annotation, "__metadata__", ())
    )
    return Factor(
        f"model.{name}",
        Scope.SHAPE,
        defaults[family],
        kind,
        name.replace("_", " "),
        partial(_checked_option, name, kind, tuple(checks)),
        partial(_option_label, name),
        partial(_option_phrase, name),
        MappingProxyType(defaults),
    )


def _checked_option(name: str, kind: Any, checks: Sequence[Callable[[str, Any], object]], value: Any) -> Value:
    """The value in its type, if it also passes what its families' `Annotated` types ask of it."""
    typed = checked(name, kind, value)
    for check in checks:
        check(name, typed)
    return typed


def _kind(option: inspect.Parameter) -> Any:
    """The type of an option as a factor has it; without an annotation, the type of its default."""
    annotation = getattr(option.annotation, "__origin__", None) if _annotated(option) else option.annotation
    return kind_of(type(option.default) if annotation is option.empty else annotation)


def _annotated(option: inspect.Parameter) -> bool:
    return hasattr(option.annotation, "__metadata__")


def _written(option: inspect.Parameter) -> str:
    """The type of an option as its family writes it."""
    annotation = option.annotation.__origin__ if _annotated(option) else option.annotation
    return inspect.formatannotation(type(option.default) if annotation is option.empty else annotation)


def _option_label(name: str, value: Any) -> str:
    if isinstance(value, tuple):
        return f"{name}{'x'.join(map(str, value))}"
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{name}{value:g}" if number else f"{name}-{NONE if value is None else value}"


def _option_phrase(name: str, value: Any) -> str:
    words = ", ".join(map(str, value)) if isinstance(value, tuple) else NONE if value is None else value
    return f"{name.replace('_', ' ')} {words}"

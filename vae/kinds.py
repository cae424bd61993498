"""The types of a factor's values: bool, int, float, str, tuple[item, ...], one of these | None, or Any.

A type is read from an annotation (`kind_of`). A value that a person gives is checked (`checked`), one that was recorded
is only converted (`canonical`). So equal values are also equal as text.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import GenericAlias, NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from vae.errors import UserError

Value = str | float | int | bool | tuple[Any, ...] | None

NONE = "none"  # how a file writes None, which TOML lacks
_EXPECTED = {bool: "a valid boolean", int: "a valid integer", float: "a valid number", str: "a valid string"}


def kind_of(annotation: Any) -> Any:
    """An annotation as one of the types of this module; Any where it is none of them.

    >>> kind_of(Sequence[int]), kind_of(Literal["relu", "tanh"]), kind_of(Union[float, None]), kind_of(int | str)
    (tuple[int, ...], <class 'str'>, float | None, typing.Any)
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in _EXPECTED:
        return annotation
    if origin is Literal and len({type(value) for value in arguments}) == 1:
        return kind_of(type(arguments[0]))
    if origin in (Union, UnionType):
        inner = [kind_of(part) for part in arguments if part is not NoneType]
        return inner[0] | None if len(inner) == 1 and inner[0] is not Any else Any
    if isinstance(origin or annotation, type) and issubclass(origin or annotation, Sequence):
        items = {kind_of(part) for part in arguments if part is not Ellipsis}
        return GenericAlias(tuple, (items.pop() if len(items) == 1 else Any, Ellipsis))
    return Any


def not_none(kind: Any) -> Any:
    """The type of a factor's values other than None.

    >>> not_none(int | None), not_none(int)
    (<class 'int'>, <class 'int'>)
    """
    return next(part for part in get_args(kind) if part is not NoneType) if isinstance(kind, UnionType) else kind


def canonical(kind: Any, value: Any) -> Value:
    """The value in that type; lists within lists as tuples, which can be compared and hashed. Other types: unchanged.

    >>> canonical(int | None, 1.0), canonical(int | None, None), canonical(tuple[float, ...], [1, 2])
    (1, None, (1.0, 2.0))
    """
    kind = not_none(kind)
    if isinstance(value, list | tuple):
        item = get_args(kind)[0] if get_origin(kind) is tuple else Any
        return tuple(canonical(item, part) for part in value)
    converted: Value = value if value is None or kind not in (bool, int, float) else kind(value)
    return converted


def checked(name: str, kind: Any, value: Any) -> Value:
    """The value in that type; lists become tuples. Raises UserError, which names it, for one of another type.

    >>> checked("depth", int | None, "none"), checked("slope", float, 1), checked("widths", tuple[int, ...], [5])
    (None, 1.0, (5,))
    >>> checked("widths", tuple[int, ...], 5)
    Traceback (most recent call last):
    vae.errors.UserError: widths=5 must be a list, such as [16]
    """
    plain = not_none(kind)
    if plain is not kind and (value is None or value == NONE):
        return None
    if get_origin(plain) is tuple:
        item = get_args(plain)[0]
        if not isinstance(value, list | tuple):
            raise UserError(f"{name}={value!r} must be a list{', such as [16]' if item is int else ''}")
        if item is int and not all(_is_a(int, part) for part in value):
            raise UserError(f"{name}={value!r}: input should be {_EXPECTED[int]}")
        return tuple(checked(name, item, part) for part in value)
    if plain in _EXPECTED and not _is_a(plain, value):
        none = "" if plain is kind else f", or {NONE!r}"
        raise UserError(f"{name}={value!r}: input should be {_EXPECTED[plain]}{none}")
    return canonical(plain, value)


def _is_a(kind: type, value: object) -> bool:
    """Whether a value is of that type: a whole number is also a float, and True is not a number."""
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, int | float) if kind is float else isinstance(value, kind)

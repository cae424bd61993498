"""What a person types on the command line, turned into overrides of a study file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vae import toml
from vae.errors import UserError, closest, not_one_of
from vae.factors import same_value

if TYPE_CHECKING:
    from ablations.study import Study

DEVICES = ("auto", "cpu", "cuda")


def assignment(option: str, text: str) -> tuple[str, Any]:
    """``key=value`` as (key, value); the value is read as TOML, and as plain text where it is none.

    >>> assignment("--set", "training.batch_size=256")
    ('training.batch_size', 256)
    >>> assignment("--set", "grid.loss=['bce', 'mae']")
    ('grid.loss', ['bce', 'mae'])
    >>> assignment("--only", "loss=mae")
    ('loss', 'mae')
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip() or not value.strip():
        example = "loss=mae" if option == "--only" else "training.batch_size=256"
        raise UserError(f"{option} {text!r} is not key=value, such as {option} {example}")
    try:
        parsed = toml.parsed(f"value = {value}")["value"]
    except UserError as error:
        if not str(error).startswith("is not TOML"):
            raise UserError(f"{option} {text!r} {error}") from None
        parsed = value.strip()
    return key.strip(), parsed


def overrides(
    *, seeds: str | None = None, epochs: int | None = None, assignments: Sequence[str] = (), claims: Sequence[str] = ()
) -> dict[str, Any]:
    """Dotted key -> value; the named options win over ``--set``.

    >>> overrides(seeds="0-1", assignments=["training.epochs=3", "grid.beta=[1, 2]"])
    {'training.epochs': 3, 'grid.beta': [1, 2], 'seeds': '0-1'}
    """
    chosen = dict(assignment("--set", text) for text in assignments)
    if seeds is not None:
        chosen["seeds"] = seeds
    if epochs is not None:
        chosen["training.epochs"] = epochs
    if claims:
        chosen["claims"] = [] if list(claims) == ["none"] else list(claims)
    return chosen


def check_device(name: str) -> None:
    """Refuse what names no kind of device; whether it is there, torch says later."""
    if name not in DEVICES:
        raise UserError(f"--device {name} is not one of {list(DEVICES)}")


def check_report(names: Sequence[str], fail_on: str | None, claim_files: Sequence[str]) -> None:
    """Refuse what no report can be made of."""
    if len(names) > 2:
        raise UserError(f"report takes one study, or two to compare; {len(names)} were given: {list(names)}")
    for option, given in (("--fail-on", fail_on), ("--claims", claim_files)):
        if len(names) == 2 and given:
            raise UserError(f"{option} has no meaning for a comparison of two studies, which judges nothing anew")
    if fail_on is not None:
        from reports.judging.verdict import WORDS

        if fail_on not in WORDS:
            raise not_one_of("--fail-on", fail_on, WORDS)
    if claim_files:
        from reports.claims.load import load_claims

        load_claims(*claim_files)


def narrow(study: Study, only: Sequence[str]) -> Study:
    """The study with its grid cut down to the values named; several for one key add up.

    >>> from ablations.study import Study
    >>> narrow(Study(name="x"), ["loss=mae", "loss=bce"]).grid["loss"]
    ('bce', 'mae')
    """
    wanted: dict[str, list[Any]] = {}
    for text in only:
        key, value = assignment("--only", text)
        name = _grid_key(key, study.grid)
        values = study.grid[name]
        value = tuple(value) if isinstance(value, list) else None if value == "none" and None in values else value
        if not any(same_value(value, other) for other in values):
            raise UserError(
                f"--only {key}={value}: the study's grid has {key}={list(values)}.{closest(value, values)} "
                f"To train another value, use --set grid.{key}={value}"
            )
        wanted.setdefault(name, []).append(value)
    kept = {
        name: tuple(value for value in study.grid[name] if any(same_value(value, other) for other in others))
        for name, others in wanted.items()
    }
    return study.with_grid({**study.grid, **kept})


def _grid_key(key: str, grid: Mapping[str, Any]) -> str:
    """The factor of the grid that is meant. The short name is accepted: `latents` for `model.latents`."""
    matching = [name for name in grid if key in (name, name.rpartition(".")[2])]
    if not matching:
        raise not_one_of("--only", key, grid)
    return matching[0]

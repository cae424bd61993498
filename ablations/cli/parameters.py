"""The options that several commands share, and the commands that may come next, with the options that were given."""

from __future__ import annotations

import inspect
import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ablations.studies import bundled

if TYPE_CHECKING:
    from ablations.plan import Plan
    from ablations.setup import Setup

Claims = Annotated[
    list[str] | None, typer.Option(help="A bundled or own claims file; 'none' for no claims. May be repeated.")
]
Uri = Annotated[
    str | None,
    typer.Option("--tracking-uri", envvar="MLFLOW_TRACKING_URI", help="Default: sqlite:///mlflow.db in this folder."),
]
DataDir = Annotated[
    Path | None, typer.Option(envvar="ABLATE_DATA", help="Where data sets lie, as torchvision lays them out.")
]
Out = Annotated[Path | None, typer.Option("--out", help="Folder of the report. Default: out/STUDY.")]
Report = Annotated[bool, typer.Option(help="Write the report at the end.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object in place of the text.")]
StudyName = Annotated[
    str,
    typer.Argument(
        help="A bundled study or the path of a TOML file.", metavar="STUDY", autocompletion=lambda: list(bundled())
    ),
]


@dataclass(frozen=True)
class Commands:
    """The commands that may come next on a study, as they would be typed. Options from the environment need not be.

    >>> Commands("digits", ("--only", "loss=mae"), ("--tracking-uri", "sqlite:///my lab.db"))("report")
    "ablate report digits --tracking-uri 'sqlite:///my lab.db'"
    """

    study: str
    options: tuple[str, ...] = ()
    store: tuple[str, ...] = ()

    def __call__(self, command: str) -> str:
        options = self.options if command in ("plan", "run", "measure") else ()
        named = (self.study,) if command not in ("ui", "status") else ()
        return shlex.join(("ablate", command, *named, *options, *self.store))


def store_options(tracking_uri: str | None) -> tuple[str, ...]:
    """The option that names this store again; none where the environment names it."""
    given = tracking_uri is not None and tracking_uri != os.environ.get("MLFLOW_TRACKING_URI")
    return ("--tracking-uri", str(tracking_uri)) if given else ()


@dataclass(frozen=True)
class StudyOptions:
    """The options that plan, run and measure have in common."""

    study: StudyName = "digits"
    seeds: Annotated[str | None, typer.Option(help="Such as 0-7 or 0,2,5.")] = None
    epochs: Annotated[int | None, typer.Option(help="Passes over the training images.")] = None
    only: Annotated[list[str] | None, typer.Option(help="Keep part of the grid: loss=mae. May be repeated.")] = None
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="Override any key: training.batch_size=256. May be repeated.")
    ] = None
    claims: Claims = None
    data_dir: DataDir = None
    tracking_uri: Uri = None
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto"

    def plan(self) -> Plan:
        from ablations import options
        from ablations.studies import table_of

        # A mistake that needs no data to be seen is reported before anything heavy is imported.
        table_of(self.study)
        options.check_device(self.device)
        chosen = options.overrides(
            seeds=self.seeds, epochs=self.epochs, assignments=self.assignments or (), claims=self.claims or ()
        )
        for text in self.only or ():
            options.assignment("--only", text)
        if self.seeds is not None:
            from ablations.sections import parse_seeds

            parse_seeds(self.seeds)
        from ablations import study as studies

        narrowed = options.narrow(studies.load(self.study, chosen), self.only or ())
        from ablations.checks import check_inputs

        check_inputs(narrowed)
        from ablations.cli.console import out

        with out.status("Reading the images and the claims ..."):
            from ablations import plan  # with torch

            return plan.prepare(narrowed, data_dir=self.data_dir, cache=cache())

    def setup(self, plan: Plan) -> Setup:
        from ablations.setup import Setup, device_named

        return Setup.of(plan.study, plan.images, device_named(self.device), cache=cache())

    @property
    def commands(self) -> Commands:
        """The commands that may come next, with these options."""
        given: list[str] = []
        for name, value in ((one.name, getattr(self, one.name)) for one in fields(self)):
            option = "--set" if name == "assignments" else f"--{name.replace('_', '-')}"
            environment = os.environ.get("ABLATE_DATA") if name == "data_dir" else None
            if name in ("study", "tracking_uri") or value in (None, [], "auto") or str(value) == environment:
                continue
            for item in value if isinstance(value, list) else [value]:
                given += [option, str(item)]
        return Commands(self.study, tuple(given), store_options(self.tracking_uri))


def with_study_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command as Typer reads it: its first parameter is replaced by the fields of `StudyOptions`."""
    shared = inspect.signature(StudyOptions, eval_str=True).parameters
    _, *own = inspect.signature(command, eval_str=True).parameters.values()

    @wraps(command)
    def flat(**values: Any) -> None:
        command(StudyOptions(**{name: values.pop(name) for name in shared}), **values)

    flat.__signature__ = inspect.Signature([*shared.values(), *own])  # type: ignore[attr-defined]
    return flat


def cache() -> Path:
    """Where trained classifiers are kept between runs: the user's cache folder."""
    from vae.cache import user_cache
    from vae.errors import UserError

    base = user_cache().parent
    existing = next(folder for folder in (base, *base.parents) if folder.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise UserError(f"cache {str(base)!r}: {existing} is not a folder that can be written to; set XDG_CACHE_HOME")
    return user_cache()

"""The command line. It says what it will do, how long that takes, where the result lies and what to do next.

A mistake is one sentence and exit code 2; nothing is written before every check has passed. Commands import what they
need when they run, so that help and usage errors come at once. One file per group of commands.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from typing import Annotated

import typer
from rich.markup import escape

from ablations.cli import arms, own, running, stored
from ablations.cli.console import err, say

app = typer.Typer(
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Train every loss × reduction × beta × seed, track it in MLflow, and judge claims about VAEs.",
    epilog="Start with: ablate run digits",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        say(f"ablate {version('vae-ablations')}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", "-V", is_eager=True, callback=_print_version, help="Print the version.")
    ] = False,
) -> None:
    """Options before a command."""


for group in (running, stored, arms, own):
    group.register(app)


def main() -> None:
    """The console script: user errors as one sentence with exit code 2; 130 after Ctrl-C, 143 and 129 after signals."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character shows another
    from ablations import signals

    signals.install()
    sys.path.append(os.getcwd())  # a user's own loss may lie in the working folder; last, so that it hides no module
    sys.exit(_guarded(lambda: app(standalone_mode=False)))


def _guarded(work: Callable[[], object]) -> int:
    from tracking.errors import TrackingError
    from vae.errors import UserError, shortened

    try:
        code = work()
    except (UserError, TrackingError) as error:
        err.print(f"[red]error:[/red] {escape(shortened(str(error)))}")
        return 2
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except Exception as error:
        show = getattr(error, "show", None)  # a usage error, of click's or of the click inside typer
        if show is None:
            raise
        show()
        return 2
    if code == 130:
        from ablations import signals

        err.print(signals.SENTENCE)
        return signals.exit_code()
    return code if isinstance(code, int) else 0

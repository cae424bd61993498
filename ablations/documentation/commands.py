"""The reference page of the commands, made from the command line itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import typer

_PREFACE: Final = """# Commands

`ablate COMMAND --help` shows the same in a terminal. Commands that take a study take a bundled name or the path of a
[study file](study-file.md).

| exit code | meaning |
|---|---|
| 0 | all done |
| 1 | a claim got the verdict that `--fail-on` names, a check of a loss failed, or `status --check` found damage |
| 2 | bad input: one sentence says what, and what is allowed |
| 3 | finished, with failed cells; each is a row of the report with its reason |
| 4 | finished, and cells wait for a tracker that did not answer; `ablate sync STUDY` sends them |
| 130, 143, 129 | interrupted by Ctrl-C, SIGTERM, SIGHUP; the same command goes on from there |
"""
# Commands that parse their own options; their help is what they print.
_OWN: Final = {"bench": "Its options are its own: `ablate bench --help` lists them."}


def commands_page() -> str:
    """The page as Markdown.

    >>> "## `ablate plan`" in commands_page()
    True
    """
    from ablations.cli import app

    return "\n".join([_PREFACE, *_sections(typer.main.get_command(app), "ablate"), ""])


def _sections(command: Any, name: str) -> Iterator[str]:
    """A section for each command of a group, in their order. Duck-typed: typer may bring its own copy of click."""
    for key, one in command.commands.items():
        if getattr(one, "hidden", False):
            continue
        full = f"{name} {key}"
        if hasattr(one, "commands"):
            yield from _sections(one, full)
        else:
            yield from _section(one, full)


def _section(command: Any, name: str) -> Iterator[str]:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option" and not getattr(one, "hidden", False)]
    yield f"## `{name}`"
    yield ""
    yield _plain(command.help)
    yield ""
    yield "```text"
    yield " ".join([name, *(_usage(one) for one in arguments), *(["[OPTIONS]"] if options else [])])
    yield "```"
    yield ""
    if command.name in _OWN:
        yield _OWN[command.name]
        yield ""
    if arguments or options:
        yield "| | meaning |"
        yield "|---|---|"
        yield from (f"| `{_usage(one)}` | {_meaning(one)} |" for one in arguments)
        yield from (f"| {_names(one)} | {_meaning(one)} |" for one in options)
        yield ""


def _usage(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    many = "..." if argument.nargs == -1 and not name.endswith("...") else ""
    return f"{name}{many}" if argument.required else f"[{name}{many}]"


def _names(option: Any) -> str:
    names = [f"`{name}`" for name in (*option.opts, *option.secondary_opts)]
    return ", ".join(names)


def _meaning(parameter: Any) -> str:
    """Its help; its default, and the variable that may set it."""
    text = _plain(getattr(parameter, "help", "") or "")
    default = parameter.default
    shown = isinstance(default, str | int | float) and not isinstance(default, bool) and "Default" not in text
    variable = getattr(parameter, "envvar", None)
    parts = [text, f"Default: `{default}`." if shown else "", f"Or set `{variable}`." if variable else ""]
    return " ".join(filter(None, parts))


def _plain(text: str | None) -> str:
    """Help as one line of Markdown, without rich's markup and signs that a table would read.

    >>> _plain("[bold]Train[/bold] loss|beta")
    'Train loss\\\\|beta'
    """
    return re.sub(r"\[/?[a-z ]+\]", "", " ".join((text or "").split())).replace("|", "\\|")

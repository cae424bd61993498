"""Every command and code block of the documents runs here, in order and in one folder for each page, or says why not.

Commands that train do so on fewer images and epochs than the page says.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ablations.cli import main
from tests.docs.blocks import SHELLS, Block, blocks
from tests.paths import REPOSITORY
from tests.study_samples import IMAGE_OPTIONS, TABLE

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
TRAINS = ("plan", "run", "measure")
MEASURES = tuple(
    text
    for key, value in {**TABLE["evaluation"], "points": [1.0], "classifiers": 1}.items()
    for text in ("--set", f"evaluation.{key}={value}")
)
SHOWN_ONLY = ("", "text", "json", "markdown")

pytestmark = pytest.mark.usefixtures("blank_figures")


def name_of(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix()


def smaller(words: Sequence[str], folder: Path) -> list[str]:
    """The arguments of a command, with options that make it quick, where they do not contradict what it says."""
    _, *arguments = words
    if arguments[0] not in TRAINS:
        return arguments
    own_images = any("dataset" in line and "digits" not in line for line in _study(arguments, folder).splitlines())
    quick = [*MEASURES, *(() if own_images else IMAGE_OPTIONS), "--epochs", "1"]
    return [*arguments, *quick, *(["--no-probe"] if arguments[0] == "plan" else [])]


def _study(arguments: Sequence[str], folder: Path) -> str:
    path = folder / next((text for text in arguments[1:] if text.endswith(".toml")), "none.toml")
    return path.read_text() if path.is_file() else ""


def run_command(words: Sequence[str], folder: Path, place: str) -> None:
    """Run an ``ablate`` command in this process; it must end well."""
    assert words[0] == "ablate", f"{place}: {words} is not run by this test: mark the block with <!-- not run: why -->"
    shown = io.StringIO()
    with (
        contextlib.redirect_stdout(shown),
        contextlib.redirect_stderr(shown),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(sys, "argv", ["ablate", *smaller(words, folder)])
        with pytest.raises(SystemExit) as end:
            main()
    assert not end.value.code, f"{place}: {words} ended with {end.value.code}\n{shown.getvalue()}"


def run_block(block: Block, folder: Path, names: dict[str, Any], place: str) -> None:
    if block.title:
        (folder / block.title).write_text(block.text, encoding="utf-8")
    if block.language in SHELLS:
        for words in block.commands():
            run_command(words, folder, place)
    elif block.language == "python" and not block.title:
        exec(compile(block.text, place, "exec"), names)
    elif block.language == "toml":
        tomllib.loads(block.text)
    else:
        assert block.language in (*SHOWN_ONLY, "python"), f"{place}: blocks in {block.language!r} are not known here"


@pytest.fixture
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, as a reader has it; modules that a page writes there can be imported, and are forgotten."""
    monkeypatch.chdir(tmp_path)
    for name in ("ABLATE_DATA", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=name_of)
def test_every_block_runs_or_says_why_not(page: Path, working_folder: Path) -> None:
    names: dict[str, Any] = {"__name__": "page"}
    for block in blocks(page):
        if not block.marker:
            run_block(block, working_folder, names, f"{name_of(page)}:{block.line}")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_stand_in_fences(page: Path) -> None:
    """An indented block has no language and no marker, so it could not be told what to do with it."""
    assert not [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("    ablate ")]


def test_a_block_is_found_with_its_marker_title_and_place(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "Text.\n\n<!-- not run: slow -->\n```sh\nablate run a\n```\n"
        '\n- item\n\n  ```toml title="a.toml"\n  b = 1\n  ```\n'
        "\n```console\n$ ablate plan x --only loss=mae  # two\n# a comment\n```\n"
    )
    marked, titled, commands = blocks(page)
    assert (marked.line, marked.marker, list(marked.commands())) == (4, "slow", [["ablate", "run", "a"]])
    assert (titled.title, titled.text, titled.marker) == ("a.toml", "b = 1\n", "")
    assert list(commands.commands()) == [["ablate", "plan", "x", "--only", "loss=mae"]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("```sh\nmake demo\n```\n", "is not run by this test: mark the block"),
        ("```console\n$ ablate plan nothing.toml\n```\n", "ended with 2"),
        ("```perl\n1\n```\n", "are not known here"),
        ("```python\nassert 1 == 2, 'no'\n```\n", "no"),
    ],
)
def test_a_block_that_does_not_run_is_a_failure(text: str, message: str, working_folder: Path) -> None:
    page = working_folder / "page.md"
    page.write_text(text)
    with pytest.raises(AssertionError, match=message):
        run_block(blocks(page)[0], working_folder, {}, "page.md:1")

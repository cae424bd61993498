"""The code blocks of a Markdown page: what each holds, and whether it is marked as not run.

    ```toml title="mine.toml"      a file, written into the working folder
    ```python title="mine.py"      likewise
    ```python                      executed; the blocks of a page share their names
    ```console, ```sh              every line that begins with ``ablate`` (after ``$``) is run; any other must be marked
    ```toml                        read as TOML
    ```text, ```json, none         shown only

A block is marked by ``<!-- not run: reason -->`` on the line above it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"^( *)```+ *(\S*) *(.*)$")
TITLE = re.compile(r'title="([^"]+)"')
MARKER = re.compile(r"^<!-- not run: (\S.*) -->$")
SHELLS = ("sh", "console", "bash", "shell")


@dataclass(frozen=True)
class Block:
    """One block of a page. line: of its first fence, from 1. marker: why it is not run; empty where it is."""

    line: int
    language: str
    title: str
    text: str
    marker: str

    def commands(self) -> Iterator[list[str]]:
        """The commands of a shell block, split into words; comments are left out."""
        for line in self.text.replace("\\\n", " ").splitlines():
            words = shlex.split(line.strip().removeprefix("$ "), comments=True)
            if words:
                yield words


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, in their order."""
    lines = page.read_text(encoding="utf-8").splitlines()
    found: list[Block] = []
    start = None
    for number, line in enumerate(lines):
        fence = FENCE.match(line)
        if fence is None:
            continue
        if start is None:
            start, opening = number, fence
            continue
        before = next((text for text in reversed(lines[:start]) if text.strip()), "")
        marker, title = MARKER.match(before.strip()), TITLE.search(opening[3])
        text = "".join(f"{one.removeprefix(opening[1])}\n" for one in lines[start + 1 : number])
        found.append(
            Block(start + 1, opening[2], title[1] if title else "", text, marker[1] if marker is not None else "")
        )
        start = None
    assert start is None, f"{page}: the block that line {start} opens is not closed"
    return found

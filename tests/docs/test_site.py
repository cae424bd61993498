"""The site: it builds without a warning, and every page has its place; the notebook runs."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.paths import REPOSITORY

DOCS = REPOSITORY / "docs"
NOTEBOOK = DOCS / "library.ipynb"
MOST_BYTES = 100_000  # of the notebook: its outputs are not kept


def pages(entry: Any) -> list[str]:
    """The pages in a part of the navigation."""
    if isinstance(entry, str):
        return [entry]
    children = entry.values() if isinstance(entry, dict) else entry
    return [page for child in children for page in pages(child)]


def settings() -> Any:
    return yaml.safe_load((REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8"))


def test_every_page_stands_once_in_the_navigation() -> None:
    there = sorted(page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md"))
    assert sorted(pages(settings()["nav"])) == there


@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("mkdocs", "material", "mkdocstrings_handlers")),
    reason="the extra 'docs' is not installed: pip install '.[docs]'",
)
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    api = (tmp_path / "site" / "reference" / "api.html").read_text(encoding="utf-8")
    assert "&gt;&gt;&gt;" in api
    assert "<blockquote" not in api, "an example of a docstring is shown as a quotation, not as code"


def test_the_site_loads_nothing_from_elsewhere() -> None:
    assert settings()["theme"]["font"] is False
    assert not {"extra_javascript", "extra_css"} & settings().keys()


def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib

    matplotlib.use("agg")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "notebook"}
    for number, cell in enumerate(json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]):
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"library.ipynb:{number}", "exec"), names)
    names["plt"].close("all")
    assert names["reconstructions"][0].shape == names["originals"].shape


def test_the_notebook_is_small_and_without_outputs() -> None:
    assert NOTEBOOK.stat().st_size < MOST_BYTES
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert not [cell for cell in cells if cell.get("outputs")]

"""Shared by all tests: where the real MNIST lies, where classifiers are kept, and how Hypothesis runs."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest
from hypothesis import settings

import ablations  # noqa: F401  first: it sets how torch's threads wait
from tracking import sqlite
from tracking.store import sqlite_path

# Deadlines measure the machine, not the code: a busy one would fail at random.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")


def pytest_collection_finish() -> None:
    """What collecting made lives to the end: garbage collection need not look through it at every test."""
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder of trained classifiers for the whole run: pytest's processes share what lies above their own.

    The command line keeps its classifiers there too, also in processes that a test starts.
    """
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    os.environ["XDG_CACHE_HOME"] = str(shared / "cache")
    return shared / "cache" / "vae-ablations"


@pytest.fixture(scope="session", autouse=True)
def _one_migration(tmp_path_factory: pytest.TempPathFactory) -> None:
    """MLflow makes a database by some seventy migrations, .6 s: once in a process, and further ones are copies."""
    first, connect = tmp_path_factory.mktemp("migrated") / "mlflow.db", sqlite.connect

    def connected(uri: str) -> None:
        path = sqlite_path(uri)
        assert path is not None
        if first.exists():
            shutil.copyfile(first, path)
            return
        connect(uri)
        shutil.copyfile(path, first)
        gc.freeze()  # the imports of MLflow live to the end as well

    sqlite.connect = connected


@pytest.fixture(scope="module")
def blank_figures() -> Iterator[None]:
    """Reports have empty figures: drawing them takes most of a report's time."""
    from matplotlib.figure import Figure

    def blank(figure: Figure, file: IO[Any], *, format: str, **_: object) -> None:
        width, height = 72 * figure.get_size_inches()
        file.write(f'<svg width="{width}pt" height="{height}pt"></svg>' if format == "svg" else b"")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", blank)
        yield


@pytest.fixture(scope="session")
def mnist_root() -> Path:
    """The folder that holds MNIST/raw. Tests that use it carry `@pytest.mark.mnist`."""
    root = os.environ.get("ABLATE_DATA")
    if not root:
        pytest.skip("ABLATE_DATA does not name the folder of the real MNIST files")
    return Path(root).absolute()

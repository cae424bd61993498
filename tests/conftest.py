"""Shared by all tests: where the real MNIST lies, where classifiers are kept, and how Hypothesis runs."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest
from hypothesis import settings

import ablations  # noqa: F401  first: it sets how torch's threads wait

# Deadlines measure the machine, not the code: a busy one would fail at random.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")


def pytest_collection_finish() -> None:
    """What collecting made lives to the end: garbage collection need not look through it at every test."""
    gc.freeze()


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder of trained classifiers for the whole run: pytest's processes share what lies above their own."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    return shared / "classifiers"


@pytest.fixture(scope="session", autouse=True)
def _no_cache_of_the_user(cache: Path) -> None:
    """The command line keeps its classifiers there too, also in processes that a test starts."""
    os.environ["XDG_CACHE_HOME"] = str(cache)


@pytest.fixture(scope="session")
def mnist_root() -> Path:
    """The folder that holds MNIST/raw. Tests that use it carry `@pytest.mark.mnist`."""
    root = os.environ.get("ABLATE_DATA")
    if not root:
        pytest.skip("ABLATE_DATA does not name the folder of the real MNIST files")
    return Path(root).absolute()

"""Shared by all tests: where the real MNIST lies, and how Hypothesis runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

import ablations  # noqa: F401  first: it sets how torch's threads wait

# Deadlines measure the machine, not the code: a busy one would fail at random.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")


@pytest.fixture(scope="session")
def mnist_root() -> Path:
    """The folder that holds MNIST/raw. Tests that use it carry `@pytest.mark.mnist`."""
    root = os.environ.get("ABLATE_DATA")
    if not root:
        pytest.skip("ABLATE_DATA does not name the folder of the real MNIST files")
    return Path(root).absolute()

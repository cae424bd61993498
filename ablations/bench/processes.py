"""Programs of the bench, each in a process of its own: with which environment they start, and what they report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ablations

REPOSITORY = Path(ablations.__file__).parent.parent


@dataclass(frozen=True)
class Timing:
    """What a program reports of one round.

    seconds: per model and epoch. losses: "loss beta" -> nats per image, after training. environment: threads, version
    of torch, and the settings of threads that it was started with. routine, routines: of a ceiling, the best, and all.
    """

    seconds: float
    losses: Mapping[str, float]
    environment: Mapping[str, Any]
    routine: str = ""
    routines: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Failure:
    """A program that did not end as it should. reason: the last line that it wrote."""

    reason: str


def users_environment() -> dict[str, str]:
    """The environment as the user has it, without what this suite has set in its own process."""
    return {name: value for name, value in os.environ.items() if name not in ablations.SET_HERE}


def our_environment() -> dict[str, str]:
    """The user's, in which Python finds this copy of the suite. The suite sets its own settings when it is imported."""
    inherited = users_environment()
    path = [str(REPOSITORY), *filter(None, [inherited.get("PYTHONPATH")])]
    return {**inherited, "PYTHONPATH": os.pathsep.join(path)}


def reported(arguments: Sequence[str], environment: Mapping[str, str]) -> dict[str, Any] | Failure:
    """What a Python program says in the last line that it prints, which is JSON."""
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        return Failure(lines[-1] if lines else f"it ended with exit code {done.returncode} and said nothing")
    try:
        report = json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        return Failure("its last line is no JSON")
    return report if isinstance(report, dict) else Failure("its last line is no JSON object")


def timed(arguments: Sequence[str], *, ours: bool) -> Timing | Failure:
    """One round of a program of the bench."""
    report = reported(arguments, our_environment() if ours else users_environment())
    if isinstance(report, Failure):
        return report
    try:
        return Timing(**report)
    except TypeError as error:
        return Failure(f"its report is not one of a timing: {error}")

"""From the rounds of the bench to its figures: medians, ratios, and whether all rows did the same work."""

from __future__ import annotations

import os
import platform
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import strftime
from typing import Any

from ablations.bench.processes import Failure, Timing
from ablations.bench.rows import CEILINGS, STACK, Round, Row
from ablations.bench.setting import BATCH, EPOCH, NETWORK, Setting

# Of a loss after training, relative. Seeds differ by 1 % after four steps and less later; a loss without its KL, or a
# mean in place of a sum, is further off.
TOLERANCE = 0.05
BASES = ("example", "memory", "vmap")


def summary(setting: Setting, table: Sequence[Row], rounds: Sequence[Round]) -> dict[str, Any]:
    """All results as plain values. Seconds are of a model and an epoch of 60,000 images; a ratio is the median over
    rounds of ratios taken within one."""
    return {
        "machine": machine(setting),
        "tolerance": TOLERANCE,
        "rows": [_row(row, rounds, EPOCH / setting.count) for row in table],
    }


def machine(setting: Setting) -> dict[str, Any]:
    return {
        **machine_facts(),
        "device": device_name(setting.device),
        "dataset": setting.dataset,
        "images": setting.count,
        "steps": setting.steps,
        "network": NETWORK,
        "batch": BATCH,
        "arms": setting.arms,
        "rounds": setting.rounds,
    }


def machine_facts() -> dict[str, Any]:
    return {
        "date": strftime("%Y-%m-%d"),
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def device_name(device: str) -> str:
    """The name of the GPU, or ``cpu``."""
    if device == "cpu":
        return device
    import torch

    return torch.cuda.get_device_name()


def processor() -> str:
    """The name that the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _row(row: Row, rounds: Sequence[Round], scale: float) -> dict[str, Any]:
    about = {"row": row.key, "label": row.label, "precision": row.precision, "whose": "ours" if row.ours else "user's"}
    failures = [report.reason for turn in rounds if isinstance(report := turn[row.key], Failure)]
    if failures:
        return {**about, "failed": failures[0]}
    timings = [report for turn in rounds if isinstance(report := turn[row.key], Timing)]
    seconds = [timing.seconds * scale for timing in timings]
    return {
        **about,
        "environment": dict(timings[0].environment),
        "seconds": median(seconds),
        "spread": [min(seconds), max(seconds)],
        **{f"times_{base}": ratio(rounds, base, row.key) for base in BASES},
        "of_ceiling": ratio(rounds, CEILINGS[row.precision], row.key),
        "routine": Counter(timing.routine for timing in timings).most_common(1)[0][0],
        "routines": _medians([timing.routines for timing in timings], scale),
        "losses": dict(timings[0].losses),
        "broken": disagreement(row.key, rounds),
    }


def ratio(rounds: Sequence[Round], above: str, below: str) -> float | None:
    """Median over rounds of seconds of one row over seconds of another; None where one of them always failed."""
    pairs = [(turn.get(above), turn.get(below)) for turn in rounds]
    ratios = [a.seconds / b.seconds for a, b in pairs if isinstance(a, Timing) and isinstance(b, Timing)]
    return median(ratios) if ratios else None


def disagreement(key: str, rounds: Sequence[Round]) -> str:
    """The first loss of a row that is not the stack's for the same arm, in words; empty where all agree."""
    for turn in rounds:
        report, reference = turn[key], turn.get(STACK)
        if isinstance(report, Failure) or not isinstance(reference, Timing):
            continue
        for arm, loss in report.losses.items():
            expected = reference.losses.get(arm)
            if expected is None:
                return f"arm {arm!r} is none of the stack's {sorted(reference.losses)}"
            if not abs(loss - expected) <= TOLERANCE * abs(expected):  # NaN is broken too
                return f"{arm}: a final loss of {loss:.1f} nats per image, the stack's is {expected:.1f}"
    return ""


def _medians(tables: Sequence[Any], scale: float) -> dict[str, float]:
    names = dict.fromkeys(name for table in tables for name in table)
    return {name: median(table[name] for table in tables if name in table) * scale for name in names}

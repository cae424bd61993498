"""The figures of the bench as lines for a terminal."""

from __future__ import annotations

from typing import Any

LABEL = 52
COLUMNS = (("times_example", "× (a)"), ("times_memory", "× (b)"), ("times_vmap", "× (b2)"), ("of_ceiling", "of (d)"))


def table_text(result: dict[str, Any]) -> str:
    """What was timed, where, how fast it was, and whose environment each row had."""
    about = result["machine"]
    load = "" if about["load"] is None else f", load {about['load']:.1f}"
    cores, rounds = (f"{about[name]} {name if about[name] != 1 else name[:-1]}" for name in ("cores", "rounds"))
    head = [
        f"{about['dataset']}, {about['images']:,} images, {about['network']}, batches of {about['batch']}, "
        f"{about['arms']} arms, {rounds}, every row in turn, in a process of its own",
        f"{about['processor']}, {cores}{load}, on {about['device']}, {about['date']}",
    ]
    titles = "".join(f"{title:>8}" for _, title in COLUMNS)
    head += ["", f"{'':<{LABEL}}{'s each':>8}{'from':>8}{'to':>8}{titles}   environment"]
    notes = [
        "s each: seconds of one model and an epoch of 60,000 images, median over rounds, with the least and the most.",
        "(d): the products of the same precision, by the fastest of all routines.",
        f"Final losses of the same arm must agree within {result['tolerance']:.0%}.",
    ]
    return "\n".join([*head, *map(_line, result["rows"]), "", *notes, *_faults(result)])


def _line(row: dict[str, Any]) -> str:
    if "failed" in row:
        return f"{row['label']:<{LABEL}}{'failed':>8}"
    times = "".join(f"{value:>8.3f}" for value in (row["seconds"], *row["spread"]))
    ratios = "".join(f"{'–' if row[key] is None else format(row[key], '.2f'):>8}" for key, _ in COLUMNS)
    mark = "  BROKEN" if row["broken"] else ""
    routine = f"; by {row['routine']}" if row["routine"] else ""
    return f"{row['label']:<{LABEL}}{times}{ratios}   {environment_words(row)}{routine}{mark}"


def environment_words(row: dict[str, Any]) -> str:
    """Whose environment a row had, and what was set in it.

    >>> environment_words({"whose": "ours", "environment": {"threads": 2, "torch": "2.9",
    ...     "settings": {"OMP_WAIT_POLICY": "PASSIVE"}}})
    'ours, torch 2.9, 2 threads, OMP_WAIT_POLICY=PASSIVE'
    """
    about = row["environment"]
    settings = [f"{name}={value}" for name, value in sorted(about["settings"].items())]
    return ", ".join([row["whose"], f"torch {about['torch']}", f"{about['threads']} threads", *settings])


def _faults(result: dict[str, Any]) -> list[str]:
    rows = result["rows"]
    failed = [f"FAILED {row['label']}: {row['failed']}" for row in rows if "failed" in row]
    return failed + [f"BROKEN {row['label']}: {row['broken']}" for row in rows if row.get("broken")]


def sound(result: dict[str, Any]) -> bool:
    """Whether every row ran, and did the same work."""
    return not _faults(result)

"""The options of ``ablate bench``, and what it does with them."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from vae.errors import UserError

ARMS = {"cpu": 12, "cuda": 36}
IMAGES, QUICK_IMAGES, ROUNDS = 12_800, 1_280, 5


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; ablate bench --help lists the options")


def parser() -> argparse.ArgumentParser:
    described = _Parser(
        "ablate bench",
        description="Training throughput against what others would run, each in a process of its own, and against the "
        "machine's ceiling.",
    )
    add = described.add_argument
    add("--study", action="store_true", help="time a whole study, from plan to report, against plain loops")
    add("--quick", action="store_true", help=f"{QUICK_IMAGES:,} images and one round; with --study, a tiny study")
    add("--images", type=int, help=f"of an epoch (default: {IMAGES:,}); times are scaled to 60,000")
    add("--arms", type=int, help="of the stack and of vmap (default: 12, on a GPU 36)")
    add("--rounds", type=int, help=f"every row is timed once a round (default: {ROUNDS})")
    add("--sample", type=int, help="with --study: cells that the plain loops run; their time is scaled (default: 6)")
    add("--device", default="auto", choices=("auto", "cpu", "cuda"))
    add("--data-dir", help="where MNIST/raw lies (default: ABLATE_DATA, then ./data); without it, drawn images")
    add("--json", type=Path, metavar="FILE", help="where to write all figures")
    return described


def main(argv: Sequence[str] | None = None) -> int:
    """Run the bench and print its table. Returns the exit code, 1 where a row failed or did other work.

    Raises UserError for bad requests.
    """
    options = parser().parse_args(argv)
    _check(options)
    with tempfile.TemporaryDirectory() as folder:
        result, text, sound = (_study if options.study else _rows)(options, Path(folder))
    print(text)
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        print(f"Written to {options.json}")
    return 0 if sound else 1


def _check(options: argparse.Namespace) -> None:
    from ablations.bench.setting import BATCH

    without_meaning = ("images", "arms", "rounds") if options.study else ("sample",)
    for name in without_meaning:
        if getattr(options, name) is not None:
            raise UserError(f"--{name} has no meaning {'with' if options.study else 'without'} --study")
    for name, least, why in (
        ("images", BATCH, f", one batch of {BATCH}"),
        ("arms", 1, ""),
        ("rounds", 1, ""),
        ("sample", 1, ""),
    ):
        value = getattr(options, name)
        if value is not None and value < least:
            raise UserError(f"--{name} {value}: it must be at least {least}{why}")
    if options.json is not None:
        target = options.json.absolute()
        if target.is_dir() or not os.access(target.parent, os.W_OK):
            raise UserError(f"--json {options.json}: no file can be written there")


def device_of(name: str) -> str:
    """``cpu`` or ``cuda``. Raises UserError for a GPU that is not there."""
    import torch

    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise UserError("--device cuda: torch sees no CUDA device here; use --device cpu, or auto")
    return "cuda" if there and name != "cpu" else "cpu"


def _rows(options: argparse.Namespace, folder: Path) -> tuple[dict[str, Any], str, bool]:
    from ablations.bench import results, table
    from ablations.bench.rows import measure, rows
    from ablations.bench.setting import Setting, mnist_root, write_images

    device, root = device_of(options.device), mnist_root(options.data_dir)
    count = options.images or (QUICK_IMAGES if options.quick else IMAGES)
    rounds = options.rounds or (1 if options.quick else ROUNDS)
    dataset, file = write_images(folder, count, root)
    setting = Setting(dataset, file, root, count, options.arms or ARMS[device], rounds, device)
    timed_rows = rows(setting)
    result = results.summary(setting, timed_rows, measure(timed_rows, rounds))
    return result, table.table_text(result), table.sound(result)


def _study(options: argparse.Namespace, folder: Path) -> tuple[dict[str, Any], str, bool]:
    from ablations.bench import study
    from ablations.bench.setting import mnist_root

    study.check_installed()
    small = study.chosen(mnist_root(options.data_dir), quick=options.quick)
    result = study.compared(small, folder, device_of(options.device), options.sample or (2 if options.quick else 6))
    return result, study.study_text(result), study.sound(result)

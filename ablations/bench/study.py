"""``ablate bench --study``: a small study from plan to report, and the same work by plain loops, as cells per minute.

The suite's side is ``ablate run`` in a process of its own, its store and its cache of classifiers in a folder that
starts empty. The other side is ``peers/study.py``, which runs some of the cells; the time of a cell is multiplied by
their number, and what comes before the first cell is counted once.
"""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from statistics import mean
from time import perf_counter
from typing import Any

import numpy as np

from ablations.bench.processes import Failure, our_environment, reported, users_environment
from ablations.bench.results import device_name, machine_facts
from ablations.bench.rows import PEERS
from ablations.bench.table import environment_words
from vae.errors import UserError

NEEDED = ("mlflow", "pydantic", "skimage", "typer")
STAGES = ("start", "preparing", "training", "measuring", "tracking", "report")
# Metrics that show whether both sides did the same work: means over the cells that both ran. Their random numbers
# differ, so they agree within some per cent only.
SHARED = ("neg_elbo", "ssim", "acutance_ratio", "psnr")
TOLERANCE = 0.1


@dataclass(frozen=True)
class Small:
    """A fixed small study. betas: of the grid; the plain loops take them in this order. points: shares of training at
    which is measured as well, and on how many images."""

    dataset: str
    root: Path | None
    train: int
    test: int
    held_out: int
    hidden: int
    latents: int
    batch: int
    learning_rate: float
    epochs: int
    betas: tuple[float, ...]
    seeds: str = "0-1"
    claims: tuple[str, ...] = ("notes",)
    reductions: tuple[str, ...] = ("sum", "mean")
    points: tuple[float, ...] = (0.5, 1.0)
    point_images: int = 500
    per_epoch_images: int = 1000
    iwae_images: int = 100
    iwae_samples: int = 512
    generated: int = 1000
    blur_images: int = 1000
    classifiers: int = 3

    @property
    def evaluation(self) -> dict[str, Any]:
        names = ("per_epoch_images", "point_images", "iwae_images", "iwae_samples", "generated", "blur_images")
        return {name: getattr(self, name) for name in (*names, "classifiers")}

    def point_epochs(self, test_images: int) -> list[int]:
        """The epochs after which the suite measures too; not the last where the final measurement is that point."""
        from ablations.sections import Evaluation

        every = Evaluation(points=self.points).point_epochs(self.epochs)
        return list(every[:-1] if test_images <= self.point_images else every)

    def toml(self) -> str:
        """The study file of the suite's side."""
        listed = {name: list(getattr(self, name)) for name in ("claims", "betas", "reductions", "points")}
        lines = [
            f'name = "bench"\ndataset = "{self.dataset}"\nseeds = "{self.seeds}"\nclaims = {listed["claims"]}',
            f"[images]\ntrain = {self.train}\ntest = {self.test}\nheld_out = {self.held_out}",
            f'[model]\nfamily = "mlp"\nhidden = [{self.hidden}]\nlatents = {self.latents}',
            f"[training]\nepochs = {self.epochs}\nbatch_size = {self.batch}\nlearning_rate = {self.learning_rate}",
            f'[grid]\nloss = ["bce", "mse", "mae"]\nreduction = {listed["reductions"]}\nbeta = {listed["betas"]}',
            "[evaluation]",
            *(f"{name} = {value}" for name, value in self.evaluation.items()),
            f"points = {listed['points']}",
        ]
        return "\n".join(lines) + "\n"

    def plain_arms(self, sample: int) -> list[tuple[str, float]]:
        """(loss, beta) of the cells that the plain loops run."""
        arms = [(loss, beta) for beta in self.betas for loss in ("bce", "mse", "mae")]
        return arms[:sample]


def check_installed() -> None:
    """Refuse where the suite itself cannot run."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise UserError(
            f"--study runs `ablate run` itself, and {', '.join(missing)} is not installed here; "
            f"without --study the bench needs torch, torchvision and numpy only"
        )


def chosen(root: Path | None, *, quick: bool) -> Small:
    """The arms of the study ``mnist`` on a part of MNIST; where there is no MNIST, those of ``digits``."""
    if root is not None:
        small = Small("mnist", root, 6000, 1000, 500, 400, 20, 128, 1e-3, 2, (1, 0.25, 4, 0.1, 0.5, 2))
    else:
        small = Small("digits", None, 1437, 360, 137, 128, 8, 64, 2e-3, 10, (1, 0.25, 0.05, 0.1, 0.02, 0.5))
    if not quick:
        return small
    fewer = {"seeds": "0", "claims": (), "reductions": ("sum",), "betas": (1,), "epochs": 2, "classifiers": 1}
    fewer |= {"train": 600, "test": 100, "held_out": 100, "iwae_images": 10, "iwae_samples": 16, "generated": 100}
    return replace(small, **fewer)  # type: ignore[arg-type]


def compared(small: Small, folder: Path, device: str, sample: int) -> dict[str, Any]:
    """Both sides, one after the other, as plain values."""
    print("the study by ablate run", file=sys.stderr, flush=True)
    ours = run_suite(small, folder, device)
    print(f"the same by plain loops, {sample} cells of {ours['cells']}", file=sys.stderr, flush=True)
    plain = run_plain(small, folder, device, sample)
    facts = {**machine_facts(), "device": device_name(device), "dataset": small.dataset, "epochs": small.epochs}
    facts |= {"train": small.train - small.held_out, "test": small.test, "cells": ours["cells"]}
    if "failed" in plain:
        return {"machine": facts, "study": small.toml(), "ours": ours, "failed": plain["failed"]}
    sides = {"ours": ours, **{form: _scaled(plain, form, ours["cells"]) for form in ("loader", "memory")}}
    values = {"ours": _means(ours["metrics"], plain["arms"]), "plain": _means(plain["metrics"], plain["arms"])}
    return {"machine": facts, "study": small.toml(), **sides, "sample": len(plain["arms"]), "values": values}


def run_suite(small: Small, folder: Path, device: str) -> dict[str, Any]:
    """``ablate run`` of the study: seconds by stage, how many cells, and the metrics of the first seed's plain arms.

    Raises UserError with its last words where it fails.
    """
    file, out = folder / "bench.toml", folder / "report"
    file.write_text(small.toml(), encoding="utf-8")
    command = [sys.executable, "-m", "ablations.cli", "run", str(file), "--out", str(out), "--device", device]
    command += ["--tracking-uri", f"sqlite:///{folder / 'mlflow.db'}"]
    command += ["--data-dir", str(small.root)] if small.root else []
    started = perf_counter()
    code, lines, words = _watched(command, {**our_environment(), "XDG_CACHE_HOME": str(folder / "cache")}, folder)
    total = perf_counter() - started
    if code:
        raise UserError(f"--study: ablate run ended with exit code {code}: {words.splitlines()[-1] if words else ''}")
    with (out / "results.csv").open(encoding="utf-8", newline="") as results:
        rows = [row for row in csv.DictReader(results) if row["status"] == "done"]
    seconds = stages(lines, total)
    return {"cells": len(rows), "seconds": seconds, "metrics": rows} | _rate(seconds, len(rows))


def _watched(command: list[str], environment: dict[str, str], folder: Path) -> tuple[int, list[tuple[float, str]], str]:
    """A program's exit code, the lines that it printed with the seconds after which each came, and its last words."""
    started = perf_counter()
    with (
        (folder / "errors.txt").open("w+") as errors,
        subprocess.Popen(
            command, env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        lines = [(perf_counter() - started, line) for line in process.stdout or ()]
        code = process.wait()
        errors.seek(0)
        return code, lines, (errors.read() or "".join(line for _, line in lines)).strip()


def stages(lines: list[tuple[float, str]], total: float) -> dict[str, float]:
    """Seconds by stage, from when ``ablate run`` printed what: its plan, its shares of the run, and the end.

    >>> shares = "6 cells trained and measured in 8 s: preparing 50%, training 25%, measuring 20%, tracking 5%."
    >>> stages([(2.0, "6 cells, 0 done, 6 to train."), (10.0, shares), (13.0, "Report: x")], 14.0)
    {'start': 2.0, 'preparing': 4.0, 'training': 2.0, 'measuring': 1.6, 'tracking': 0.4, 'report': 4.0}
    """
    planned = next((when for when, line in lines if "to train." in line), 0.0)
    ran = next(((when, line) for when, line in lines if "trained and measured in" in line), (total, ""))
    shares = {name: int(share) / 100 for name, share in re.findall(r"(\w+) (\d+)%", ran[1])}
    seconds = {stage: shares.get(stage, 0.0) * (ran[0] - planned) for stage in STAGES[1:-1]}
    return {"start": planned, **seconds, "report": total - ran[0]}


def run_plain(small: Small, folder: Path, device: str, sample: int) -> dict[str, Any]:
    """The plain loops on some of the cells, in a process of their own: seconds by stage, and metrics by cell."""
    from vae.datasets.load import load

    environment = users_environment()  # before scikit-learn, which reads digits, has set things of its own
    images = load(
        small.dataset, small.root, train=small.train, test=small.test, held_out=small.held_out, download=False
    )
    arrays = {name: getattr(images, name).numpy() for name in ("train", "test", "train_labels", "test_labels")}
    np.savez(folder / "images.npz", **arrays)
    arms = small.plain_arms(sample)
    settings = {
        "images": str(folder / "images.npz"),
        "store": f"sqlite:///{folder / 'plain.db'}",
        "arms": arms,
        "point_epochs": small.point_epochs(len(arrays["test"])),
        **{name: getattr(small, name) for name in ("hidden", "latents", "batch", "learning_rate", "epochs")},
        **small.evaluation,
        "device": device,
    }
    (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    started = perf_counter()
    report = reported([str(PEERS / "study.py"), str(folder / "settings.json")], environment)
    if isinstance(report, Failure):
        return {"failed": report.reason}
    metrics = [{"loss": loss, "beta": beta, **row} for (loss, beta), row in zip(arms, report["metrics"])]
    return {**report, "wall": perf_counter() - started, "arms": arms, "metrics": metrics}


def _scaled(plain: dict[str, Any], form: str, cells: int) -> dict[str, Any]:
    """The plain loops by one of the two ways to train, as if they had run all cells."""
    spent, sample = plain["seconds"], len(plain["arms"])
    stages_of = {"training": f"training_{form}", "measuring": "measuring", "tracking": "tracking"}
    by_cell = {stage: spent[name] / sample * cells for stage, name in stages_of.items()}
    seconds = {
        "start": plain["wall"] - sum(spent.values()),
        "preparing": spent["classifiers"],
        **by_cell,
        "report": 0.0,
    }
    return {"seconds": seconds, "environment": plain["environment"]} | _rate(seconds, cells)


def _rate(seconds: dict[str, float], cells: int) -> dict[str, float]:
    total = sum(seconds.values())
    return {"total": total, "cells_per_minute": 60 * cells / total}


def _means(rows: list[dict[str, Any]], arms: list[tuple[str, float]]) -> dict[str, float]:
    """Means of the shared metrics over the cells that both sides ran."""
    usual = [
        row
        for row in rows
        if (row["loss"], float(row["beta"])) in arms
        and row.get("reduction", "sum") == "sum"
        and row.get("posterior", "half-logvar") == "half-logvar"
        and row.get("seed", "0") == "0"
    ]
    return {name: mean(float(row[name]) for row in usual) for name in SHARED}


def differing(result: dict[str, Any]) -> list[str]:
    """What is not the same work on both sides, in words."""
    ours, plain = result["values"]["ours"], result["values"]["plain"]
    return [
        f"BROKEN {name}: {plain[name]:.3g} by the plain loops, {ours[name]:.3g} by ablate run"
        for name in SHARED
        if not abs(plain[name] - ours[name]) <= TOLERANCE * abs(ours[name])
    ]


def sound(result: dict[str, Any]) -> bool:
    """Whether both sides ran, and did the same work."""
    return "failed" not in result and not differing(result)


def study_text(result: dict[str, Any]) -> str:
    """Both sides, side by side, as lines for a terminal."""
    about = result["machine"]
    load = "" if about["load"] is None else f", load {about['load']:.1f}"
    head = [
        f"A study from plan to report: {about['dataset']}, {about['train']:,} training and {about['test']:,} test "
        f"images, {about['epochs']} epochs, {about['cells']} cells",
        f"{about['processor']}, {about['cores']} cores{load}, on {about['device']}, {about['date']}",
        "",
        f"{'':<32}{'cells/min':>10}{'seconds':>9}{'×':>7}" + "".join(f"{stage:>11}" for stage in STAGES),
    ]
    if "failed" in result:
        return "\n".join([*head, _side("ablate run", result["ours"], result["ours"]), f"FAILED: {result['failed']}"])
    labels = {"ours": "ablate run", "loader": "plain loops, DataLoader", "memory": "plain loops, images in memory"}
    values, whose = result["values"], {"whose": "user's", "environment": result["memory"]["environment"]}
    shown = ", ".join(f"{name} {values['plain'][name]:.3g} / {values['ours'][name]:.3g}" for name in SHARED)
    notes = [
        f"× is how many times as long as ablate run. Stages in seconds. The plain loops ran {result['sample']} of the "
        f"cells, and are scaled to all; they write no report.",
        f"Environment of the plain loops: {environment_words(whose)}; ablate run has its own.",
        f"The same cells by plain loops / by ablate run: {shown}; they must agree within {TOLERANCE:.0%}.",
    ]
    lines = [_side(label, result[side], result["ours"]) for side, label in labels.items()]
    return "\n".join([*head, *lines, "", *notes, *differing(result)])


def _side(label: str, side: dict[str, Any], ours: dict[str, Any]) -> str:
    seconds, times = side["seconds"], side["total"] / ours["total"]
    parts = "".join(f"{seconds[stage]:>11.1f}" for stage in STAGES)
    return f"{label:<32}{side['cells_per_minute']:>10.1f}{side['total']:>9.1f}{times:>7.2f}{parts}"

"""A process that trains the small study and kills itself with SIGKILL at a moment; its results, kept in files.

Called as `python -m tests.kill_samples FOLDER CACHE SETTINGS`, of which SETTINGS is JSON, see `main`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.paths import REPOSITORY


def process(folder: Path, cache: Path, **settings: Any) -> tuple[int, str]:
    """Train in a process of its own: its exit code and what it says. For the settings see `main`."""
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "tests.kill_samples",
        str(folder),
        str(cache),
        json.dumps(settings),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=REPOSITORY, check=False)
    assert done.returncode in (0, -signal.SIGKILL, 9), done.stderr
    return done.returncode, done.stdout


def results(folder: Path) -> dict[str, str]:
    """Weights, history and metrics of each finished cell, by its label."""
    return {path.stem: path.read_text() for path in sorted((folder / "results").glob("*.cell"))}


def main(folder: Path, cache: Path, settings: Mapping[str, Any]) -> None:
    """table: changes of the study. only: the loss to keep. limit: arms of a stack at most. die: [event, count], the
    number of the event of that kind at which the process is killed. every: seconds between checkpoints. seconds: after
    which the process is killed. threads: of torch."""
    import torch

    from ablations import plan as planning
    from ablations.executors import local
    from ablations.executors.checkpoints import Checkpoints
    from ablations.executors.events import CellResult, Notice
    from ablations.setup import Setup
    from ablations.study import checked
    from tests.study_samples import TABLE

    torch.set_num_threads(settings.get("threads", 2))
    plan = planning.prepare(checked(TABLE | settings.get("table", {}), "small"))
    setup = Setup.of(plan.study, plan.images, torch.device("cpu"), cache=cache)
    setup.evaluator.prepare()
    local.WIDEST = settings.get("limit", local.WIDEST)
    target = folder / "results"
    target.mkdir(parents=True, exist_ok=True)
    cells = [
        cell
        for cell in plan.cells
        if settings.get("only") in (None, cell.arm.loss) and not (target / f"{cell.label}.cell").exists()
    ]
    done = [plan.keys[cell] for cell in plan.cells if (target / f"{cell.label}.cell").exists()]
    checkpoints = Checkpoints(setup, folder / "checkpoints", done=done, every=settings.get("every", 0.0))
    if "seconds" in settings:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        signal.setitimer(signal.ITIMER_REAL, settings["seconds"])
    kind, left = settings.get("die", ["", 0])
    for event in local.Local(setup, checkpoints).train(cells):
        left -= type(event).__name__ == kind
        if kind and left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
        if isinstance(event, Notice):
            print(event.text)
        if isinstance(event, CellResult):
            history = [{k: repr(v) for k, v in row.items() if k != "seconds"} for row in event.trained.history]
            state = {name: sha256(value.numpy().tobytes()).hexdigest() for name, value in event.state.items()}
            content = (event.failure, history, state, {k: repr(v) for k, v in event.metrics.items()})
            if event.failure and "diverged" not in event.failure:
                print("failed", event.cell.label, event.failure)
                continue
            beside = target / f"{event.cell.label}.tmp"
            beside.write_text(repr(content))  # of floats, all digits
            beside.rename(target / f"{event.cell.label}.cell")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3]))

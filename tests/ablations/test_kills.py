"""Real kills, with SIGKILL, in processes of their own: the same command goes on, and its end is the same to the bit."""

from __future__ import annotations

import random
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.kill_samples import process, results

ARMS = {"loss": ["bce", "mae", "mse"], "beta": [1.0, 4.0]}
TRAINING = {"epochs": 4, "batch_size": 32}
KINDS: dict[str, dict[str, Any]] = {
    "by hand": {},
    "bfloat16, and an arm that diverges": {
        "training": TRAINING | {"precision": "bfloat16", "learning_rate": 1e-3},
        "grid": {"loss": ["bce", "mae"], "training.learning_rate": [1e-3, 1e30]},
    },
    "by autograd": {"model": {"family": "conv", "channels": [3], "latents": 3}, "grid": {"loss": ["bce", "mae"]}},
}


def table(kind: str, seeds: str = "0") -> dict[str, Any]:
    return {"seeds": seeds, "training": TRAINING, "grid": ARMS, **KINDS[kind]}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> dict[str, dict[str, str]]:
    """The results of runs that are never killed."""
    ends = {}
    for kind in KINDS:
        folder = tmp_path_factory.mktemp("whole")
        assert process(folder, cache, table=table(kind, "0-2" if kind == "by hand" else "0"))[0] == 0
        ends[kind] = results(folder)
        assert not (folder / "checkpoints").exists()
    return ends


def of_seed(ends: dict[str, str], seed: int) -> dict[str, str]:
    return {label: content for label, content in ends.items() if label.endswith(f"-s{seed}")}


def killed(folder: Path, cache: Path, **settings: Any) -> None:
    assert process(folder, cache, **settings)[0] == -signal.SIGKILL


def finished(folder: Path, cache: Path, **settings: Any) -> str:
    code, text = process(folder, cache, **settings)
    assert code == 0
    return text


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_stack_goes_on_and_ends_as_if_it_had_not_been(
    tmp_path: Path, cache: Path, whole: dict[str, dict[str, str]], kind: str
) -> None:
    for moment in (["EpochDone", 2], ["EpochDone", 3], ["CellResult", 2]):  # epochs are told again
        killed(tmp_path, cache, table=table(kind), die=moment)
    assert finished(tmp_path, cache, table=table(kind)) == ""
    assert results(tmp_path) == of_seed(whole[kind], 0)
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_so_does_a_part_of_it(tmp_path: Path, cache: Path, whole: dict[str, dict[str, str]], kind: str) -> None:
    """Fewer arms, then all of them, cut otherwise."""
    killed(tmp_path, cache, table=table(kind), die=["EpochDone", 2])
    finished(tmp_path, cache, table=table(kind), only="mae")
    assert 0 < len(results(tmp_path)) < len(of_seed(whole[kind], 0))
    finished(tmp_path, cache, table=table(kind), limit=1)
    assert results(tmp_path) == of_seed(whole[kind], 0)
    assert not (tmp_path / "checkpoints").exists()


def test_three_stacks_killed_at_random_moments(tmp_path: Path, cache: Path, whole: dict[str, dict[str, str]]) -> None:
    moments = random.Random(7)
    for _ in range(4):  # each gets on by an epoch or a cell: twice at one place, and the stack would be at fault
        kind, least, most = moments.choice([("EpochDone", 5, 9), ("CellResult", 2, 6)])
        _, text = process(tmp_path, cache, table=table("by hand", "0-2"), die=[kind, moments.randint(least, most)])
        assert text == ""
    finished(tmp_path, cache, table=table("by hand", "0-2"))
    assert results(tmp_path) == whole["by hand"]


@pytest.mark.parametrize("damage", ["cut off", "a bit", "no file of ours"])
def test_a_damaged_checkpoint_is_refused_with_a_sentence_and_training_starts_over(
    tmp_path: Path, cache: Path, whole: dict[str, dict[str, str]], damage: str
) -> None:
    killed(tmp_path, cache, table=table("by hand"), die=["EpochDone", 2])
    (path,) = (tmp_path / "checkpoints").glob("*.safetensors")
    content = path.read_bytes()
    middle = len(content) // 2
    changed = content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :]
    path.write_bytes({"cut off": content[:middle], "a bit": changed, "no file of ours": b"nothing"}[damage])
    text = finished(tmp_path, cache, table=table("by hand"))
    assert str(path) in text
    assert "trained from their start" in text
    assert results(tmp_path) == of_seed(whole["by hand"], 0)


def test_a_checkpoint_of_other_settings_is_not_used(tmp_path: Path, cache: Path) -> None:
    killed(tmp_path, cache, table=table("by hand"), die=["EpochDone", 3])
    other = table("by hand") | {"images": {"train": 500, "test": 90, "held_out": 70}}
    assert finished(tmp_path, cache, table=other) == ""  # other cells: nobody's concern
    finished_before = tmp_path / "fresh"
    finished(finished_before, cache, table=other)
    assert results(tmp_path) == results(finished_before)
    for path in (tmp_path / "results").iterdir():
        path.unlink()
    scored = {"evaluation": {"per_epoch_images": 15, "point_images": 20, "generated": 30, "iwae_samples": 2}}
    assert "other settings" in finished(tmp_path, cache, table=table("by hand") | scored)


DEADLY = """
import os, torch

def deadly(recon, target):
    os._exit(9)
"""


def test_a_loss_that_ends_the_process_is_found_and_the_other_cells_are_trained(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deadly_losses.py").write_text(DEADLY)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    study = table("by hand") | {"grid": {"loss": ["bce", "deadly_losses:deadly", "mae", "mse"]}}
    texts = []
    for _ in range(9):
        code, text = process(tmp_path, cache, table=study)
        texts.append(text)
        if code == 0:
            break
    assert code == 0
    assert "failed deadly_losses:deadly-sum-b1-s0 its process ended without a word 2 times" in texts[-1]
    assert len(results(tmp_path)) == 3
    assert not (tmp_path / "checkpoints").exists()

"""The bench as a person runs it, in small; and alone, where nothing but torch and torchvision is installed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ablations import bench
from ablations.cli import app
from vae import UserError


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    path = tmp_path_factory.mktemp("bench") / "bench.json"
    assert bench.main(["--quick", "--dataset", "digits", "--arms", "3", "--device", "cpu", "--json", str(path)]) == 0
    written: dict[str, object] = json.loads(path.read_text())
    return written


def test_every_row_is_timed_and_compared(result: dict[str, object]) -> None:
    rows = {row["row"]: row for row in result["rows"]}  # type: ignore[attr-defined]
    expected = {"plain", "memory", "stack", "ceiling-bmm", "bfloat16", "ceiling-bfloat16"}
    assert expected <= rows.keys() <= expected | {"ceiling-onednn"}
    for row in rows.values():
        assert row["model_epochs_per_second"] > 0
        assert row["seconds_per_model_epoch"] * row["model_epochs_per_second"] == pytest.approx(1)
        assert row["peak_mib"] > 0
    assert rows["plain"]["times_plain"] == 1
    assert rows["ceiling-bmm"]["of_bmm_ceiling"] == 1
    assert rows["stack"]["of_ceiling"] <= rows["stack"]["of_bmm_ceiling"]


def test_the_machine_and_the_setting_are_written(result: dict[str, object]) -> None:
    machine = result["machine"]
    assert isinstance(machine, dict)
    assert machine["network"] == "64-128-8"
    assert machine["torch"] == torch.__version__
    assert machine["threads"] == torch.get_num_threads()


def test_ssim_is_timed_against_scikit_image(result: dict[str, object]) -> None:
    ssim_rates = result["ssim_images_per_second"]
    assert isinstance(ssim_rates, dict)
    assert ssim_rates["batched"] > ssim_rates["scikit_image"] > 0


def test_it_runs_where_only_torch_and_torchvision_are_installed(tmp_path: Path) -> None:
    """No scikit, no pandas, no pydantic, no mlflow, no MNIST: made-up images, and no SSIM row."""
    code = f"""
import sys

for name in ("skimage", "sklearn", "scipy", "pandas", "pydantic", "mlflow", "typer", "rich"):
    sys.modules[name] = None  # which makes its import fail as if it were not installed

from ablations import bench
bench.QUICK = 256
sys.exit(bench.main(["--quick", "--data-dir", "nowhere", "--arms", "1", "--json", {str(tmp_path / "b.json")!r}]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / "b.json").read_text())
    assert written["machine"]["dataset"] == "made-up"
    assert written["machine"]["network"] == "784-400-20"
    assert written["ssim_images_per_second"] is None


def test_the_eleven_products_of_a_step() -> None:
    """The notes' network: three products a layer, two in the first; 420 million operations."""
    setting = bench.Setting(bench.made_up(3), 400, 20, 128, 1, torch.device("cpu"))
    pairs = bench.operands(setting, torch.float32)
    assert len(pairs) == 11
    assert sum(2 * a.shape[1] * a.shape[2] * b.shape[2] for a, b in pairs) == 419_840_000


def test_no_clock_runs_while_operands_are_made_or_work_is_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The order of things in every row that times products: operands, the device at rest, and only then the clock."""
    calls: list[str] = []

    def noted(name: str) -> None:
        original = getattr(bench, name)
        monkeypatch.setattr(bench, name, lambda *given: (calls.append(name), original(*given))[1])

    for name in ("operands", "clock", "side_by_side"):
        noted(name)
    monkeypatch.setattr(bench, "product", lambda a, b: a @ b.T)
    setting = bench.Setting(bench.made_up(130), 4, 2, 64, 3, torch.device("cpu"))
    assert bench.products_as_called(setting) > 0
    assert calls == ["operands", "clock", "side_by_side", "clock"]
    calls.clear()
    assert bench.products_by_bmm(setting, torch.float32) > 0
    assert calls == ["operands", "clock", "clock"]


def test_the_clock_waits_for_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    bench.clock(torch.device("cpu"))
    assert waited == []
    bench.clock(torch.device("cuda"))
    assert waited == [torch.device("cuda")]


def test_help_lists_the_options_of_the_bench(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        app(["bench", "--help"], standalone_mode=False)
    assert done.value.code == 0
    shown = capsys.readouterr().out
    assert all(option in shown for option in ("--quick", "--repetitions", "--dataset", "--json"))


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"--device cuda: torch sees no CUDA device here; use --device cpu, or auto"):
        bench.main(["--device", "cuda"])

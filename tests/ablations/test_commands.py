"""The commands as a person types them, in a folder with one small study that was run for real."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tomli_w
import torch
from PIL import Image

from ablations import cli
from ablations.export import load
from ablations.studies import bundled
from ablations.study import checked
from ablations.trained import load_arm
from tests.paths import REPOSITORY
from tests.study_samples import TABLE
from vae.errors import UserError

CLAIMS = """
[[claim]]
id = "mae-sharper"
quote = "MAE is of larger acutance"
kind = "greater"
metric = "acutance_ratio"
margin = 0.02
reason = "two per cent"
a = { loss = "mae", beta = 1 }
b = { loss = "bce", beta = 1 }
"""
pytestmark = pytest.mark.usefixtures("blank_figures")


def ablate(*arguments: str) -> int:
    """The command line as `main` runs it, in this process."""
    return cli._guarded(lambda: cli.app(list(arguments), standalone_mode=False))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a study was run once, with its weights, and its report written."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "small.toml").write_text(tomli_w.dumps(TABLE | {"claims": ["claims.toml"]}))
    (folder / "claims.toml").write_text(CLAIMS)
    with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch:
        for name in ("ABLATE_DATA", "MLFLOW_TRACKING_URI"):
            patch.delenv(name, raising=False)
        assert ablate("run", "small.toml", "--quiet", "--no-report") == 0
    return folder


@pytest.fixture(autouse=True)
def here(lab: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(lab)
    for name in ("ABLATE_DATA", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    yield


def test_the_version_and_help_in_short(capsys: pytest.CaptureFixture[str]) -> None:
    assert ablate("--version") == 0
    assert re.fullmatch(r"ablate \d+\.\d+\.\d+\n", capsys.readouterr().out)
    for arguments in (["-h"], ["run", "-h"], ["check", "-h"]):
        assert ablate(*arguments) == 0
        assert "Usage" in capsys.readouterr().out


def test_a_shell_is_offered_the_bundled_studies() -> None:
    script = {"_ABLATE_COMPLETE": "complete_bash", "COMP_WORDS": "ablate plan ", "COMP_CWORD": "2"}
    code = "import sys; sys.argv = ['ablate']; from ablations.cli import app; app(prog_name='ablate')"
    path = os.environ | script | {"PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, "-c", code], env=path, capture_output=True, text=True)
    assert set(done.stdout.split()) == set(bundled()), done.stderr


def test_json_is_all_that_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert ablate("plan", "small.toml", "--json") == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["cells"], plan["done"], plan["seconds_left"]) == (4, 4, 0.0)
    assert [arm["arm"] for arm in plan["arms"]] == ["bce-sum-b1", "mae-sum-b1"]
    assert ablate("status", "--json") == 0
    assert [study["study"] for study in json.loads(capsys.readouterr().out)["studies"]] == ["small"]
    assert ablate("run", "small.toml", "--json", "--no-report") == 0
    ran = json.loads(capsys.readouterr().out)
    assert (ran["done_before"], ran["done"], ran["exit_code"], ran["report"]) == (4, 0, 0, None)


def test_a_report_says_its_verdicts_in_a_line_each_or_as_json_or_not_at_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert ablate("report", "small", "--json") == 0
    written = json.loads(capsys.readouterr().out)
    assert [one["claim"] for one in written["verdicts"]] == ["mae-sharper"]
    assert Path(written["page"]).is_file()
    assert ablate("report", "small") == 0
    first, *rest = capsys.readouterr().out.splitlines()
    assert first.startswith("0 insufficient  mae-sharper  ")
    assert rest == [f"Report: {written['page']}"]
    assert ablate("report", "small", "--quiet") == 0
    assert capsys.readouterr().out == ""


def in_terminal(columns: int, *arguments: str) -> list[str]:
    """The lines that a terminal of so many columns shows at the end, without colour."""
    read, write = pty.openpty()
    settings = {"COLUMNS": str(columns), "NO_COLOR": "1", "TERM": "xterm", "PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen(
        [sys.executable, "-m", "ablations", *arguments], stdout=write, stderr=write, env=os.environ | settings
    )
    os.close(write)
    content = b""
    with contextlib.suppress(OSError):  # the end of a terminal
        while part := os.read(read, 65536):
            content += part
    assert process.wait() == 0, content.decode()
    assert not re.search(rb"\x1b\[[0-9;]*3[0-7]m", content), "a colour"
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", content.decode())
    return [line.rpartition("\r")[2].rstrip() for line in text.replace("\r\n", "\n").split("\n")]


def test_a_terminal_of_80_columns_folds_no_name() -> None:
    shown = in_terminal(80, "plan", "digits", "--claims", "none", "--set", "grid.model.latents=[2,8]", "--no-probe")
    assert max(map(len, shown)) <= 80
    assert any(line.split()[0] == "bce-mean-b0.02-latents2" for line in shown if line.split())


def test_the_next_command_carries_what_was_given(capsys: pytest.CaptureFixture[str]) -> None:
    other = ("--only", "loss=mae", "--tracking-uri", "sqlite:///other lab.db")
    assert ablate("plan", "small.toml", "--no-probe", *other) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "Next: ablate run small.toml --only loss=mae --tracking-uri 'sqlite:///other lab.db'"


def test_a_plan_says_that_the_seeds_cannot_decide(capsys: pytest.CaptureFixture[str]) -> None:
    assert ablate("plan", "small.toml", "--no-probe") == 0
    assert "2 seeds cannot decide 1 claim of the kinds greater: 5 are the fewest" in capsys.readouterr().out
    assert ablate("plan", "small.toml", "--no-probe", "--seeds", "0-4") == 0
    assert "cannot decide" not in capsys.readouterr().out


def test_an_arm_and_a_cell_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert ablate("show", "mae-sum-b1", "--json") == 0
    arm = json.loads(capsys.readouterr().out)
    assert ablate("show", "mae-sum-b1-s1", "--study", "small.toml", "--json") == 0
    cell = json.loads(capsys.readouterr().out)
    assert (arm["seeds"], cell["seeds"], cell["study"]) == ([0, 1], [1], "small")
    assert all(Path(path).is_file() for path in arm["pictures"])
    assert arm["links"].items() >= cell["links"].items()
    for whole, one in zip(arm["numbers"], cell["numbers"]):
        assert whole["low"] <= one["mean"] <= whole["high"]
    assert ablate("show", "mea-sum-b1") == 2
    assert "Did you mean 'mae-sum-b1'?" in capsys.readouterr().err


def test_samples_are_a_picture_of_the_arms_own(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ablate("sample", "mae-sum-b1", "--count", "20", "--seed", "1", "--out", "s.png") == 0
    assert "20 samples of mae-sum-b1-s1" in capsys.readouterr().out
    shown = np.asarray(Image.open(lab / "s.png"))
    assert shown.shape == (2 * 9 * 3, 10 * 9 * 3)
    wanted = (load_arm("small", "mae-sum-b1", seed=1).sample(20) * 255).round().byte().numpy()
    np.testing.assert_array_equal(shown[1 : 8 * 3 : 3, 1 : 8 * 3 : 3], wanted[0])


def test_an_exported_arm_is_the_same_function(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ablate("export", "mae-sum-b1", "--seed", "0", "--out", "given away") == 0
    model, images = load_arm("small", "mae-sum-b1", seed=0), torch.rand(3, 8, 8)
    folder = lab / "given away"
    assert torch.equal(load(folder / "mae-sum-b1.safetensors")(images), model(images))
    program = torch.export.load(folder / "mae-sum-b1.pt2").module()
    torch.testing.assert_close(program(images), model(images))
    path = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, folder / "load_mae_sum_b1.py"], env=path, capture_output=True, text=True)
    assert done.stdout == "samples (10, 8, 8) reconstructions (10, 8, 8)\n", done.stderr
    with pytest.raises(UserError, match=r"cannot be read"):
        load(folder / "load_mae_sum_b1.py")


def test_a_report_opens_in_the_browser(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda address: bool(opened.append(address)) or True)
    assert ablate("open", "small", "--out", "nowhere") == 2
    assert "there is no report in" in capsys.readouterr().err
    assert ablate("report", "small", "-q") == 0
    assert ablate("open", "small") == 0
    assert opened == [(Path.cwd() / "out" / "small" / "report.html").as_uri()]


def test_what_init_writes_is_a_study_that_runs(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    (lab / "my pictures").mkdir()
    for i in range(60):
        Image.fromarray(rng.integers(0, 256, (90, 80 + i % 2), np.uint8)).save(lab / "my pictures" / f"{i}.png")
    assert ablate("init", "my pictures") == 0
    assert "Next: ablate plan my-pictures.toml" in capsys.readouterr().out
    text = (lab / "my-pictures.toml").read_text()
    assert "\nsize = 32  # resized to a square" in text
    offered = re.sub(r"^# (?=\[|\w+ = )", "", text, flags=re.MULTILINE)  # every key that is only named works too
    assert offered.count("\n#") < text.count("\n#")
    checked(tomllib.loads(offered) | {"name": "x"}, "offered")
    assert ablate("check", "claims", "my-pictures-claims.toml") == 0
    assert ablate("plan", "my-pictures.toml", "--no-probe") == 0
    assert "120 cells, 0 done, 120 to train" in capsys.readouterr().out
    assert ablate("init", "my pictures") == 2
    assert "my-pictures.toml is there already" in capsys.readouterr().err
    assert (lab / "my-pictures.toml").read_text() == text


def test_the_bundled_studies_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert ablate("studies", "--json") == 0
    assert {one["study"] for one in json.loads(capsys.readouterr().out)["studies"]} == set(bundled())
    assert ablate("studies") == 0
    assert "digits  digits, about 3.1 min" in capsys.readouterr().out


def test_claims_files_are_checked_whole(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    second = CLAIMS.replace('"greater"', '"graeter"') + CLAIMS.replace("acutance_ratio", "acutance_rate")
    (lab / "bad.toml").write_text(f"[margins.ssim]\nmargin = -1\nreason = 'x'\n{second}")
    assert ablate("check", "claims", "bad.toml", "nowhere.toml") == 2
    mistakes = capsys.readouterr().err.splitlines()
    parts = ["[margins.ssim]: margin=-1", "kind='graeter'", "metric='acutance_rate'", "id='mae-sharper' is used twice"]
    for part, line in zip([*parts, "'nowhere.toml' is neither a file"], sorted(mistakes, key=len), strict=False):
        assert any(part in other for other in mistakes), part
        assert line.startswith("error: claims")
    assert ablate("check", "claims", "notes", "claims.toml") == 0
    assert "11 claims, no mistake." in capsys.readouterr().out


def test_data_are_checked_before_they_are_used(capsys: pytest.CaptureFixture[str]) -> None:
    assert ablate("check", "data", "digits") == 0
    assert "digits: 1,437 training and 360 test images of 8×8" in capsys.readouterr().out
    assert ablate("check", "data", "mnist", "--data-dir", "nowhere") == 2
    assert "downloading is switched off" in capsys.readouterr().err

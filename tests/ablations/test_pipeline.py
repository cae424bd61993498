"""The whole way, for real: a study file, two arms, two seeds, a SQLite store, a report; and every door's refusals."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import mlflow
import pytest
import torch
from PIL import Image

from ablations import driver
from ablations.cli import main
from tests.study_samples import IMAGE_OPTIONS
from tracking.opening import open_store
from vae.metrics.catalogue import CATALOGUE

PROMISED = (
    "rate",
    "bce",
    "mse",
    "mae",
    "neg_elbo",
    "ssim",
    "psnr",
    "acutance",
    "acutance_ratio",
    "sigma_eq",
    "n_blank",
)
STUDY = """
title = "Small <b>but</b> real"
dataset = "digits"
seeds = "0-1"
claims = ["claims.toml"]

[images]
train = 600
test = 90
held_out = 70

[model]
hidden = [16]
latents = 3

[training]
epochs = 2
batch_size = 32

[grid]
loss = ["bce", "mae"]

[evaluation]
per_epoch_images = 20
point_images = 30
classifiers = 2
iwae_images = 4
iwae_samples = 2
generated = 50
blur_images = 20
"""

CLAIMS = """
[[claim]]
id = "mae-sharper"
quote = "MAE is of <i>larger</i> acutance"
kind = "greater"
metric = "acutance_ratio"
margin = 0.02
reason = "two per cent of the original's sharpness"
a = { loss = "mae", reduction = "sum", beta = 1 }
b = { loss = "bce", reduction = "sum", beta = 2 }
"""


pytestmark = pytest.mark.usefixtures("blank_figures")  # but in the first run, which is a process of its own


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def ablate(folder: Path, *arguments: str) -> Done:
    """The command, in this process: importing torch and MLflow anew for each would take longer than all the rest."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(sys, "argv", ["ablate", *arguments])
        for name in ("ABLATE_DATA", "MLFLOW_TRACKING_URI"):
            patch.delenv(name, raising=False)
        with pytest.raises(SystemExit) as end:
            main()
    return Done(int(end.value.code or 0), out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder in which the study was run once."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "small.toml").write_text(STUDY)
    (folder / "claims.toml").write_text(CLAIMS)
    # The first time as a person would: a process of its own, ended by its own exit code.
    command = [sys.executable, "-W", "ignore", "-m", "ablations.cli", "run", "small.toml"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 cells trained and measured" in done.stdout
    return folder


def rows(folder: Path, report: str = "out/small") -> list[dict[str, str]]:
    with (folder / report / "results.csv").open() as file:
        return list(csv.DictReader(file))


def test_results_hold_one_row_per_cell_in_the_promised_order(lab):
    cells = rows(lab)
    assert list(cells[0])[:6] == ["loss", "reduction", "beta", "beta_eff", "seed", "status"]
    assert [(row["loss"], row["beta"], row["seed"], row["status"]) for row in cells] == [
        (loss, beta, seed, "done") for seed in "01" for loss, beta in (("bce", "1.0"), ("mae", "1.0"), ("bce", "2.0"))
    ]
    assert [name for name in cells[0] if name in PROMISED] == list(PROMISED)
    for row in cells:
        assert float(row["neg_elbo"]) == pytest.approx(float(row["bce"]) + float(row["rate"]), rel=1e-9)


def test_a_claim_pulls_the_arm_that_the_grid_lacks(lab):
    assert {row["origin"] for row in rows(lab) if row["beta"] == "2.0"} == {"claims"}
    assert {row["origin"] for row in rows(lab) if row["beta"] == "1.0"} == {"grid"}


def test_the_arms_of_a_seed_are_paired(lab):
    by_seed = {(row["seed"], row["init_hash"], row["order_hash"]) for row in rows(lab)}
    assert len(by_seed) == 2


def test_the_report_is_whole_and_escapes_what_a_file_says(lab):
    out = lab / "out/small"
    page = (out / "report.html").read_text()
    assert "Small &lt;b&gt;but&lt;/b&gt; real" in page
    assert "<i>larger</i>" not in page
    verdicts = json.loads((out / "verdicts.json").read_text())["verdicts"]
    assert [verdict["claim"]["id"] for verdict in verdicts] == ["mae-sharper"]
    assert verdicts[0]["verdict"] == "insufficient"
    assert (out / "report.md").read_text().startswith("# ")
    assert {path.suffix for path in (out / "figures").iterdir()} == {".png", ".svg"}
    assert {path.suffix for path in (out / "tables").iterdir()} == {".csv", ".tex"}


def test_a_second_run_trains_nothing_and_more_seeds_train_only_the_new_ones(lab, tmp_path):
    shutil.copytree(lab, tmp_path / "lab")
    before = rows(lab)
    # The copy's artifacts stay where MLflow's absolute address is: in the first folder.
    again = ablate(lab, "run", "small.toml")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "nothing was trained" in again.stdout
    assert rows(lab) == before
    more = ablate(tmp_path / "lab", "run", "small.toml", "--seeds", "0-2", "--out", "more")
    assert more.returncode == 0, more.stdout + more.stderr
    assert "3 cells trained and measured" in more.stdout
    after = rows(tmp_path / "lab", "more")
    assert [row for row in after if row["seed"] != "2"] == before
    assert "Seed 2 was added after an earlier report" in (tmp_path / "lab/more/report.md").read_text()


def test_every_cell_carries_pictures_that_the_ui_can_show(lab):
    for name, size in (("reconstructions.png", (10 * 9 * 3, 2 * 9 * 3)), ("samples.png", (10 * 9 * 3, 2 * 9 * 3))):
        paths = [path for path in (lab / "mlartifacts/small").rglob(name) if path.parent.name == "artifacts"]
        assert len(paths) >= 6
        for path in paths:
            with Image.open(path) as picture:
                assert picture.size == size


def test_status_and_plan_say_what_is_there(lab):
    assert "small" in ablate(lab, "status").stdout
    plan = ablate(lab, "plan", "small.toml", "--seeds", "0-3")
    assert "12 cells, 6 done, 6 to train" in plan.stdout
    assert "Estimated time" in plan.stdout


def test_fail_on_makes_a_verdict_an_exit_code(lab):
    assert ablate(lab, "report", "small", "--fail-on", "insufficient").returncode == 1
    assert ablate(lab, "report", "small", "--fail-on", "refuted").returncode == 0


OWN = """
def charbonnier(recon, target):
    return ((recon - target) ** 2 + 1e-6).sqrt() - 1e-3

def signed(recon, target):
    return recon - target

def broken(recon, target):
    raise RuntimeError("no <such> luck")
"""


def test_losses_of_ones_own_are_checked_and_trained_and_one_that_fails_is_a_row_with_its_reason(tmp_path):
    (tmp_path / "my_losses.py").write_text(OWN)
    good, bad = (ablate(tmp_path, "check", "loss", f"my_losses:{name}") for name in ("charbonnier", "signed"))
    assert (good.returncode, bad.returncode) == (0, 1), good.stdout + bad.stdout
    arms = ["--set", "grid.loss=['my_losses:charbonnier', 'my_losses:broken']", "--set", "grid.beta=1"]
    run = ["run", "digits-conv", "--seeds", "0", "--epochs", "1", "--set", "model.channels=[4]", *IMAGE_OPTIONS, *arms]
    for report in ("--no-report", "--report"):  # a failure is no result: it is tried again
        done = ablate(tmp_path, *run, report)
        assert done.returncode == 3, done.stdout + done.stderr
        assert "1 cell failed" in done.stdout
    cells = {row["loss"]: row for row in rows(tmp_path, "out/digits-conv")}
    assert cells["my_losses:charbonnier"]["status"] == "done"
    failed = cells["my_losses:broken"]
    assert (failed["status"], failed["reason"], failed["ssim"]) == ("failed", "RuntimeError: no <such> luck", "")
    assert "no &lt;such&gt; luck" in (tmp_path / "out/digits-conv/report.html").read_text()


def test_a_slow_study_is_followed_live_and_comes_out_the_same(lab, tmp_path, monkeypatch):
    monkeypatch.setattr(driver, "LIVE_FROM", 0.0)
    for name in ("small.toml", "claims.toml"):
        shutil.copy(lab / name, tmp_path)
    done = ablate(tmp_path, "run", "small.toml", "--no-report")
    assert done.returncode == 0, done.stdout + done.stderr
    ablate(tmp_path, "report", "small")
    timings = {"seconds"}
    live, plain = ([{k: v for k, v in row.items() if k not in timings} for row in rows(at)] for at in (tmp_path, lab))
    assert live == plain
    runs = open_store(f"sqlite:///{tmp_path}/mlflow.db", create=False).client.search_runs(["1"])
    cells = [run for run in runs if run.data.tags["ablate.kind"] == "cell"]
    assert len(cells) == 6
    assert {run.info.status for run in cells} == {"FINISHED"}


def test_metrics_are_listed_with_what_fools_them(tmp_path):
    listed = ablate(tmp_path, "metrics").stdout
    assert all(name in listed for name in CATALOGUE)
    assert "Fooled by" in listed


def test_two_studies_are_compared_arm_by_arm(lab):
    longer = (lab / "small.toml").read_text().replace("epochs = 2", "epochs = 3")
    (lab / "longer.toml").write_text(longer)
    assert ablate(lab, "run", "longer.toml", "--only", "loss=mae", "--no-report").returncode == 0
    done = ablate(lab, "report", "small", "longer", "--out", "both")
    assert done.returncode == 0, done.stdout + done.stderr
    with (lab / "both/differences.csv").open() as file:
        cells = list(csv.DictReader(file))
    assert {row["arm"] for row in cells} == {"mae-sum-b1", "bce-sum-b2"}
    assert "mae-sum-b1" in (lab / "both/compare.html").read_text()


SHAPES = """
[grid]
loss = "bce"
"model.latents" = [3, 5]
"training.learning_rate" = [1e-3, 3e-4]
"""
MORE_LATENTS = """
[[claim]]
id = "more-latents"
quote = "more latents cost more"
kind = "greater"
metric = "rate"
margin = 0.01
reason = "of the rate that two latents have"
a = { loss = "bce", beta = 1, "model.latents" = 5 }
b = { loss = "bce", beta = 1 }
"""


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory, blank_figures: None) -> Path:
    """A working folder in which a study was run that varies a model factor and a training factor."""
    folder = tmp_path_factory.mktemp("shapes")
    head, _, rest = STUDY.partition("[grid]")
    (folder / "shapes.toml").write_text(head + SHAPES + "[evaluation]" + rest.partition("[evaluation]")[2])
    (folder / "claims.toml").write_text(MORE_LATENTS)
    done = ablate(folder, "run", "shapes.toml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 arms × 2 seeds = 8 cells, 0 done, 8 to train." in done.stdout
    assert "Arms of one model also share initial weights" in done.stdout
    return folder


def test_model_and_training_factors_are_columns_and_labels(shapes):
    cells = rows(shapes, "out/shapes")
    assert list(cells[0])[6:8] == ["model.latents", "training.learning_rate"]
    assert {(row["arm"], row["model.latents"], row["training.learning_rate"]) for row in cells} == {
        ("bce-sum-b1", "3", "0.001"),
        ("bce-sum-b1-lr0.0003", "3", "0.0003"),
        ("bce-sum-b1-latents5", "5", "0.001"),
        ("bce-sum-b1-latents5-lr0.0003", "5", "0.0003"),
    }
    starts = {(row["seed"], row["model.latents"], row["init_hash"]) for row in cells}
    assert len(starts) == 4  # arms of one model share their initial weights
    assert len({(row["seed"], row["order_hash"]) for row in cells}) == 2  # and all arms of a seed its batch order


def test_a_claim_compares_shapes_and_leaves_the_base_out(shapes):
    verdicts = json.loads((shapes / "out/shapes/verdicts.json").read_text())["verdicts"]
    assert [verdict["claim"]["id"] for verdict in verdicts] == ["more-latents"]
    assert "latents" in (shapes / "out/shapes/report.html").read_text()


def test_a_plan_shows_the_factors_that_vary(shapes):
    plan = ablate(shapes, "plan", "shapes.toml", "--only", "latents=5", "--no-probe")
    assert "2 arms × 2 seeds = 4 cells, 4 done, 0 to train." in plan.stdout
    assert "learning rate" in plan.stdout


def test_other_evaluation_settings_are_measured_and_nothing_is_trained(shapes):
    other = ["shapes.toml", "--set", "evaluation.iwae_images=6"]
    plan = ablate(shapes, "plan", *other, "--seeds", "0-2", "--no-probe")
    assert "12 cells, 0 done, 8 to measure again from kept weights, 4 to train." in plan.stdout
    done = ablate(shapes, "measure", *other, "--seeds", "0-2", "--out", "again")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 cells measured from kept weights, none trained, in " in done.stdout
    again = "ablate run shapes.toml --seeds 0-2 --set evaluation.iwae_images=6"
    assert f"4 cells without kept weights: {again} trains them." in done.stdout
    assert not (shapes / "again").exists()  # a report of a part takes the place of none
    again = ablate(shapes, "measure", *other, "--out", "again")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "All 8 cells are measured already; nothing was measured." in again.stdout
    before, after = rows(shapes, "out/shapes"), rows(shapes, "again")
    assert [row["ssim"] for row in after] == [row["ssim"] for row in before]
    assert [row["neg_iwae"] for row in after] != [row["neg_iwae"] for row in before]


def test_measuring_without_any_weights_opens_no_run_and_says_so(shapes):
    report = (shapes / "out/shapes/report.html").read_bytes()
    runs = ablate(shapes, "status").stdout
    done = ablate(shapes, "measure", "shapes.toml", "--seeds", "7-8")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "nothing was measured: 8 cells without results cannot be, because they were never trained" in done.stderr
    assert "ablate run shapes.toml --seeds 7-8 trains them" in done.stderr
    assert ablate(shapes, "status").stdout == runs
    assert (shapes / "out/shapes/report.html").read_bytes() == report


def test_a_run_that_was_stopped_at_once_has_no_report_and_says_so(tmp_path, monkeypatch):
    (tmp_path / "small.toml").write_text(STUDY.replace('["claims.toml"]', "[]"))

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ablations.executors.local.Local.train", stopped)
        assert ablate(tmp_path, "run", "small.toml").returncode == 130
    done = ablate(tmp_path, "report", "small")
    assert done.returncode == 2
    assert "study='small': none of the 4 cells of its latest run has a result yet; ablate run small" in done.stderr


@pytest.mark.parametrize("name", ["digits-conv", "digits-cvae"])
def test_the_other_families_go_the_whole_way(tmp_path, name):
    small = ["--set", "evaluation.generated=40", "--set", "evaluation.iwae_images=4", *IMAGE_OPTIONS]
    done = ablate(tmp_path, "run", name, "--seeds", "0", "--epochs", "1", *small)
    assert done.returncode == 0, done.stdout + done.stderr
    cells = rows(tmp_path, f"out/{name}")
    assert {row["status"] for row in cells} == {"done"}
    conditional = name.endswith("cvae")
    assert ("class_accuracy" in cells[0]) == conditional
    page = (tmp_path / f"out/{name}/report.html").read_text()
    assert ("by class" in page) == conditional


def test_each_arm_has_a_run_with_a_model(lab):
    store = open_store(f"sqlite:///{lab}/mlflow.db", create=False)
    experiment = store.client.get_experiment_by_name("small")
    arms = store.client.search_runs([experiment.experiment_id], "tags.`ablate.kind` = 'arm'")
    assert len(arms) == 3
    try:
        mlflow.set_tracking_uri(store.uri)
        model = mlflow.pytorch.load_model(f"runs:/{arms[0].info.run_id}/model")
    finally:
        mlflow.set_tracking_uri(None)
    assert model(torch.zeros(5, 8, 8)).shape == (5, 8, 8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "digits", "--set", "grid.loss=msee"], "Did you mean 'mse'?"),
        (["run", "digits", "--set", "grid.beta=[-1]"], "beta=-1 must be a finite number"),
        (["run", "digits", "--epochs", "0"], "epochs=0 must be a whole number"),
        (["run", "digits", "--seeds", ""], "names no seed"),
        (["run", "digits", "--set", "grid.loss=[]"], "the grid has no arm"),
        (["run", "digits", "--claims", "nots"], "Did you mean 'notes'?"),
        (["run", "digits", "--set", "training.batch_size=5000"], "larger than the 1300 training images"),
        (["run", "digits", "--tracking-uri", "http://127.0.0.1:9"], "127.0.0.1:9"),
        (["run", "digits", "--tracking-uri", "./mlruns"], "mlruns"),
        (["run", "digits", "--out", "file.txt/report"], "not a folder that can be written to"),
        (["run", "digits", "--device", "gpu"], "not one of ['auto', 'cpu', 'cuda']"),
        (["run", "mnist", "--data-dir", "nowhere"], "--data-dir"),
        (["report", "never-run"], "Run a study first"),
        (["report", "a", "b", "c"], "two to compare"),
        (["report", "digits", "--fail-on", "refutd"], "Did you mean 'refuted'?"),
        (["run", "broken.toml"], "is not TOML"),
        (["plan", "digits", "--sees", "3"], "No such option"),
    ],
)
def test_every_door_refuses_in_a_sentence_and_leaves_nothing_behind(tmp_path, arguments, message):
    (tmp_path / "file.txt").write_text("")
    (tmp_path / "broken.toml").write_text("a = \n")
    before = sorted(path.name for path in tmp_path.rglob("*"))
    done = ablate(tmp_path, *arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.rglob("*")) == before

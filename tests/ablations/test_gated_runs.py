"""Runs whose numbers look good for the wrong reason, for real: blank pictures, and labels that do the code's work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests import line_drawings
from tests.ablations.test_pipeline import ablate

pytestmark = pytest.mark.usefixtures("blank_figures")

SETTINGS = """
seeds = "0-4"
claims = ["claims.toml"]

[model]
hidden = [24]
latents = 4

[training]
batch_size = 32

[evaluation]
per_epoch_images = 0
iwae_images = 0
generated = 0
"""
CLAIM = """
[[claim]]
id = "{id}"
quote = "made up"
kind = "greater"
metric = "{metric}"
margin = 0.02
reason = "made up"
a = {a}
b = {b}
"""


def verdict(folder: Path, study: str, claim: str) -> dict[str, Any]:
    """The only verdict of a study that is run here."""
    (folder / "claims.toml").write_text(claim)
    (folder / "gated.toml").write_text(study)
    done = ablate(folder, "run", "gated.toml")
    assert done.returncode == 0, done.stderr
    verdicts = json.loads((folder / "out" / "gated" / "verdicts.json").read_text())["verdicts"]
    return dict(verdicts[0])


def test_blank_pictures_of_line_drawings_are_no_evidence_of_sharpness(tmp_path: Path) -> None:
    pictures = line_drawings.make(tmp_path / "drawings", count=360, side=20)
    study = f'dataset = "{pictures}"\n' + SETTINGS.replace("batch_size = 32", "batch_size = 32\nepochs = 3")
    study += '\n[grid]\nloss = ["mae", "mse"]\n'
    arms = {"a": '{ loss = "mae", beta = 1 }', "b": '{ loss = "mse", beta = 1 }'}
    one = verdict(tmp_path, study, CLAIM.format(id="mae-sharper", metric="acutance_ratio", **arms))
    assert one["verdict"] == "insufficient"
    assert "no better than a model without latents" in one["reason"]
    assert "mae-sum-b1" in one["at_floor"]
    page = (tmp_path / "out" / "gated" / "report.md").read_text()
    assert "no better than a model without latents" in page


def test_labels_do_not_credit_a_collapsed_code_with_legibility(tmp_path: Path) -> None:
    study = (
        'dataset = "digits"\n'
        + SETTINGS.replace("latents = 4", "latents = 4\nconditional = true").replace(
            "batch_size = 32", "batch_size = 32\nepochs = 12\nlearning_rate = 5e-3"
        )
        + '\n[grid]\nloss = ["bce"]\nbeta = [0.5, 100]\n'
    )
    arms = {"a": '{ loss = "bce", beta = 100 }', "b": '{ loss = "bce", beta = 0.5 }'}
    one = verdict(tmp_path, study, CLAIM.format(id="collapse-is-legible", metric="legibility", **arms))
    collapsed, _ = one["levels"].values()
    assert collapsed > 0.9  # the label alone does it
    assert one["verdict"] == "insufficient"
    assert "legibility says nothing of the latents" in one["reason"]

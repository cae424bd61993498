"""A plan's claims are numbers of its own images before its cells are listed."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ablations import plan as planning
from ablations.study import checked
from tests.claim_samples import references
from tests.study_samples import TABLE
from vae.errors import UserError

Calls = list[dict[str, Any]]


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """What was asked of the images; the answer is made up."""
    calls: Calls = []

    def references_of(images: Any, settings: Any, **where: Any) -> Any:
        calls.append({"images": images, "settings": settings, **where})
        return references(test_images=90)

    monkeypatch.setitem(sys.modules, "ablations.references", SimpleNamespace(references_of=references_of))
    return calls


def test_claims_of_units_compute_nothing_of_the_images(computed: Calls) -> None:
    planning.prepare(checked(TABLE | {"claims": ["anchor"]}, "small"))
    assert computed == []


def test_shares_and_predictions_are_resolved_on_the_studys_images(computed: Calls, tmp_path: Path) -> None:
    plan = planning.prepare(checked(TABLE | {"claims": ["notes", "ppca"]}, "small"), cache=tmp_path)
    (call,) = computed
    assert (call["images"], call["settings"]) == (plan.images, plan.study.evaluation)
    assert (call["cache"], call["device"]) == (tmp_path, torch.device("cpu"))
    assert all(leg.resolved for claim in plan.claims for leg in claim.legs)
    margins = {leg.metric: leg.margin for claim in plan.claims for leg in claim.legs}
    assert margins["legibility"] == 0.012  # one of 90 test images, rounded up
    assert {"mse-sum-b8.55", "mse-sum-b17.1"} <= {arm.label(plan.study.base) for arm in plan.arms}


def test_a_mistake_of_the_grid_is_told_before_anything_is_computed(computed: Calls) -> None:
    table = TABLE | {"claims": ["notes"], "training": {"epochs": 2, "batch_size": 4096, "last_batch": "drop"}}
    with pytest.raises(UserError, match=r"training\.batch_size=4096 is larger than"):
        planning.prepare(checked(table, "small"))
    assert computed == []


def test_a_claim_on_another_family_means_the_models_of_the_grid(tmp_path: Path) -> None:
    (tmp_path / "claims.toml").write_text("""
[[claim]]
id = "x"
quote = "x"
kind = "less"
metric = "rate"
a = { loss = "mae", beta = 1, "model.family" = "conv" }
b = { loss = "mae", beta = 1 }
margin = 1
reason = "x"
""")
    own = {"loss": ["mae"], "beta": [1], "model.family": ["mlp", "conv"], "model.channels": [[4]]}
    plan = planning.prepare(checked(TABLE | {"claims": [str(tmp_path / "claims.toml")], "grid": own}, "small"))
    assert plan.arms == plan.study.arms
    assert [arm.get("model.channels") for arm in plan.arms] == [None, (4,)]

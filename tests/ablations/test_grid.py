"""Cells, keys and stacks: a cell's name is its content."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablations import grid
from ablations.grid import Cell
from ablations.plan import prepare
from ablations.study import Study
from vae.arms import Arm
from vae.errors import UserError
from vae.factors import Scope, factors
from vae.losses import LOSSES, source_digest
from vae.metrics import catalogue
from vae.objectives import REDUCTIONS
from vae.posteriors import POSTERIORS
from vae.training.settings import LAST_BATCH, PRECISIONS

STUDY = Study(name="x")

small, rates = st.integers(1, 3), st.sampled_from([1e-3, 3e-4, 1])
widths = st.lists(small, min_size=1, max_size=2)
COMMON: dict[str, st.SearchStrategy[Any]] = {
    "loss": st.sampled_from(sorted(LOSSES)),
    "reduction": st.sampled_from(sorted(REDUCTIONS)),
    "beta": st.one_of(st.integers(0, 5), st.floats(0, 1e3)),
    "posterior": st.sampled_from(sorted(POSTERIORS)),
    "model.latents": small,
    "model.conditional": st.booleans(),
    "training.epochs": small,
    "training.batch_size": small,
    "training.learning_rate": rates,
    "training.last_batch": st.sampled_from(LAST_BATCH),
    "training.weight_decay": rates,
    "training.clip_norm": st.none() | rates,
    "training.adam_eps": rates,
    "training.precision": st.sampled_from(PRECISIONS),
    "training.log_every": small,
}
OPTIONS = {"mlp": {"model.hidden": widths}, "conv": {"model.channels": widths}}
settings = st.one_of(
    st.fixed_dictionaries({"model.family": st.just(family)}, optional=COMMON | options)
    for family, options in OPTIONS.items()
)
arms = st.builds(Arm.of, settings)
cells = st.builds(Cell, arms, st.integers(0, 9), st.sampled_from(["grid", "claims"]))


def key(cell: Cell, digest: str = "d0") -> str:
    return grid.key(cell, dataset="digits", data_digest=digest)


def test_the_strategy_knows_every_factor() -> None:
    options = {name for names in OPTIONS.values() for name in names}
    assert {"model.family", *COMMON, *options} == set(factors())


@given(cells, cells)
def test_equal_cells_have_equal_keys_and_only_they(one: Cell, other: Cell) -> None:
    same = one.seed == other.seed and one.arm.replace(log_every=1) == other.arm.replace(log_every=1)
    assert (key(one) == key(other)) == same


@given(settings, st.data())
def test_a_cell_has_another_key_after_a_change_of_any_one_factor(given_: dict[str, Any], data: st.DataObject) -> None:
    arm = Arm.of(given_)
    others = ("model.family", "training.log_every")  # the second changes no weight
    name = data.draw(st.sampled_from([name for name in arm.settings if name not in others]))
    value = data.draw((COMMON | OPTIONS[arm["model.family"]])[name])
    changed = arm.replace({name: value})
    assert (key(Cell(changed, 0)) == key(Cell(arm, 0))) == (changed[name] == arm[name])


@given(st.integers(0, 5))
def test_one_and_one_point_nought_are_one(beta: int) -> None:
    assert key(Cell(Arm(beta=beta), 0)) == key(Cell(Arm(beta=float(beta)), 0))


def test_the_training_images_are_in_the_key_and_how_often_losses_are_logged_is_not() -> None:
    cell = Cell(Arm(), 0)
    assert key(cell) != key(cell, "d1")
    assert key(cell) == key(Cell(Arm(log_every=3), 0))


@pytest.mark.parametrize(
    "setting", ["iwae_images", "iwae_samples", "generated", "blur_images", "classifiers", "kept_images"]
)
def test_what_determines_how_weights_are_measured_is_in_the_second_key(setting: str) -> None:
    other = Study(name="x", evaluation={setting: 8})
    assert grid.measures_key(other) != grid.measures_key(STUDY)


def test_the_second_key_has_the_versions_of_the_metrics_and_no_setting_of_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = grid.measures_key(STUDY)
    recorded = {"per_epoch_images": 3, "points": [0.5, 1], "point_images": 7}  # of the training
    others = Study(name="y", model={"latents": 3}, evaluation=recorded, storage={"weights": "none"})
    assert grid.measures_key(others) == before
    assert grid.measures_key(STUDY, data_digest="other test images") != before
    monkeypatch.setattr(grid, "versions", lambda: catalogue.versions() | {"ssim": 99})
    assert grid.measures_key(STUDY) != before


def test_an_edited_loss_of_ones_own_is_another_loss(tmp_path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    source = "def f(recon, target):\n    return (recon - target).abs()\n"
    (tmp_path / "own_one.py").write_text(source)
    (tmp_path / "own_two.py").write_text(source + "# edited\n")
    assert source_digest("own_one:f") != source_digest("own_two:f")


@given(st.lists(cells, unique=True, max_size=40))
def test_a_group_holds_the_cells_of_one_seed_and_one_shape(some: list[Cell]) -> None:
    groups = grid.shapes(some)
    assert sorted(map(repr, some)) == sorted(repr(cell) for group in groups for cell in group)
    kinds = [{(cell.seed, cell.arm.shape) for cell in group} for group in groups]
    assert all(len(kind) == 1 for kind in kinds)
    assert len(set.union(set(), *kinds)) == len(groups)


@pytest.mark.parametrize("one", factors().values(), ids=lambda factor: factor.name)
def test_arms_that_differ_in_objective_or_optimiser_share_a_group_and_others_do_not(one: Any) -> None:
    family = next(iter(one.families or ["mlp"]))
    value = {
        "loss": "mae",
        "reduction": "mean",
        "posterior": "log-std",
        "model.family": "conv",
        "model.conditional": True,
        "model.hidden": [7],
        "model.channels": [7],
        "training.last_batch": "keep",
        "training.precision": "float64",
    }.get(one.name, 2)
    arm = Arm(family=family)
    groups = grid.shapes([Cell(arm, 0), Cell(arm.replace({one.name: value}), 0)])
    assert len(groups) == (2 if one.scope is Scope.SHAPE else 1)


@given(st.lists(cells, unique=True, min_size=1, max_size=40), st.integers(1, 9))
def test_parts_hold_every_cell_once_and_are_as_even_as_they_can_be(some: list[Cell], limit: int) -> None:
    parts = grid.evenly(some, limit)
    assert [cell for part in parts for cell in part] == some
    sizes = list(map(len, parts))
    assert max(sizes) <= limit
    assert max(sizes) - min(sizes) <= 1
    assert len(parts) == -(-len(some) // limit)


def test_arms_that_claims_add_are_marked_and_never_doubled() -> None:
    extra = [Arm("bce"), Arm("mae", beta=39.2), Arm("mae", beta=39.2)]
    cells = grid.expand(Study(name="x", seeds=(3, 5)), extra)
    assert [cell.label for cell in cells if cell.origin == "claims"] == ["mae-sum-b39.2-s3", "mae-sum-b39.2-s5"]
    assert len(cells) == 2 * (3 + 1)


def test_arms_that_would_share_a_label_are_refused() -> None:
    study = Study(name="x", claims=[], grid={"loss": "bce", "beta": [0.1234567, 0.1234568]})
    with pytest.raises(UserError, match=r"two arms would both be called bce-sum-b0\.123457: beta is 0\.123456"):
        prepare(study)

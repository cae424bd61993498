"""Cells, keys and stacks: a cell's name is its content."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ablations import grid
from ablations.grid import Cell
from ablations.study import Study
from vae.losses import LOSSES
from vae.objectives import POSTERIORS, REDUCTIONS, Objective

STUDY = Study(name="x")

objectives = st.builds(
    Objective,
    st.sampled_from(sorted(LOSSES)),
    st.sampled_from(sorted(REDUCTIONS)),
    st.one_of(st.integers(0, 5), st.floats(0, 1e3)),
    st.sampled_from(sorted(POSTERIORS)),
)
cells = st.builds(Cell, objectives, st.integers(0, 9), st.sampled_from(["grid", "claims"]))


def key(study: Study, cell: Cell, digest: str = "d0") -> str:
    return grid.key(study, cell, dataset="digits", data_digest=digest)


@given(cells, cells)
def test_equal_cells_have_equal_keys_and_only_they(one, other):
    same = one.seed == other.seed and one.objective == other.objective
    assert (key(STUDY, one) == key(STUDY, other)) == same


@given(objectives)
def test_one_and_one_point_nought_are_one(objective):
    whole = replace(objective, beta=float(objective.beta))
    assert key(STUDY, Cell(objective, 0)) == key(STUDY, Cell(whole, 0))


def test_what_determines_the_numbers_is_in_the_key_and_nothing_else():
    cell = Cell(Objective(), 0)
    changed = [
        STUDY.model_copy(update={"training": replace(STUDY.training, epochs=3)}),
        STUDY.model_copy(update={"training": replace(STUDY.training, precision="bfloat16")}),
        STUDY.model_copy(update={"model": STUDY.model.model_copy(update={"latents": 3})}),
        STUDY.model_copy(update={"evaluation": STUDY.evaluation.model_copy(update={"iwae_images": 3})}),
    ]
    keys = [key(study, cell) for study in (STUDY, *changed)] + [key(STUDY, cell, "d1")]
    assert len(set(keys)) == len(keys)
    renamed = STUDY.model_copy(update={"name": "y", "title": "t", "seeds": (0, 1), "claims": ()})
    assert key(renamed, cell) == key(STUDY, cell)


def test_an_edited_loss_of_ones_own_is_another_loss(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    source = "def f(recon, target):\n    return (recon - target).abs()\n"
    (tmp_path / "own_one.py").write_text(source)
    (tmp_path / "own_two.py").write_text(source + "# edited\n")
    from vae.losses import source_digest

    assert source_digest("own_one:f") != source_digest("own_two:f")


@given(st.lists(cells, unique=True, max_size=40), st.integers(1, 9))
def test_stacks_hold_every_cell_once_one_seed_each_and_no_more_than_fit(some, limit):
    stacks = grid.stacks(some, limit)
    assert sorted(map(repr, some)) == sorted(repr(cell) for stack in stacks for cell in stack)
    assert all(0 < len(stack) <= limit and len({cell.seed for cell in stack}) == 1 for stack in stacks)
    for seed in {cell.seed for cell in some}:
        sizes = [len(stack) for stack in stacks if stack[0].seed == seed]
        assert max(sizes) - min(sizes) <= 1


def test_arms_that_claims_add_are_marked_and_never_doubled():
    extra = [Objective("bce", "sum", 1.0), Objective("mae", "sum", 39.2), Objective("mae", "sum", 39.2)]
    found = grid.expand(Study(name="x", seeds=(3, 5)), extra)
    assert [cell.label for cell in found if cell.origin == "claims"] == ["mae-sum-b39.2-s3", "mae-sum-b39.2-s5"]
    assert len(found) == 2 * (3 + 1)

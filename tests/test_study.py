"""Study files: what they may say, and what each mistake is answered with."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from ablations import grid, sections
from ablations import study as studies
from ablations.grid import Cell
from ablations.options import assignment, narrow, overrides
from ablations.sections import Model, parse_seeds
from ablations.study import Study
from vae.errors import UserError


@pytest.mark.parametrize("name", studies.bundled())
def test_every_bundled_study_loads_and_survives_being_written_out(name, tmp_path):
    study = studies.load(name)
    path = tmp_path / "again.toml"
    path.write_text(studies.to_toml(study))
    assert studies.load(str(path)) == study


def test_mnist_is_the_notes_own_setting():
    study = studies.load("mnist")
    assert (study.model.hidden, study.model.latents) == ((400,), 20)
    assert (study.training.learning_rate, study.training.batch_size, study.training.epochs) == (1e-3, 128, 10)
    assert len(study.objectives()) == 3 * 2 * 6
    assert len(study.seeds) == 8


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"grid.loss": ["msee"]}, r"digits.toml: \[grid\] loss='msee' is not one of .* Did you mean 'mse'\?"),
        ({"grid.loss": "nowhere.losses:f"}, r"the module 'nowhere.losses' cannot be imported"),
        ({"grid.beta": [-1]}, r"beta=-1.0 must be a finite number, 0 or more"),
        ({"grid.beta": [math.nan]}, r"beta=nan must be a finite number, 0 or more"),
        ({"grid.beta": []}, r"beta=\[\] is an empty list, so the grid has no arm"),
        ({"grid.beta": [1, 1.0]}, r"beta holds 1.0 twice"),
        ({"grid.reduction": "average"}, r"reduction='average' is not one of"),
        ({"grid.posterior": "half"}, r"posterior='half' is not one of"),
        ({"seeds": ""}, r"names no seed; a study needs at least one"),
        ({"seeds": []}, r"names no seed; a study needs at least one"),
        ({"seeds": [0, 0]}, r"seeds holds 0 twice"),
        ({"seeds": [-1]}, r"seeds: -1 must be a whole number, 0 or more"),
        ({"seeds": "7-0"}, r"the range '7-0' runs backwards"),
        ({"seeds": "all"}, r"seeds='all' is not a list like '0-7'"),
        ({"seeds": 8}, r"seeds=8 must be text such as '0-7' or a list"),
        ({"training.epochs": 0}, r"epochs=0 must be a whole number, 1 or more"),
        ({"training.epoch": 3}, r"the key 'training.epoch' is not known; .* Did you mean 'epochs'\?"),
        ({"trainig.epochs": 3}, r"the key 'trainig' is not known; .* Did you mean 'training'\?"),
        ({"training.precision": "float16"}, r"precision='float16' is not one of .* Did you mean 'bfloat16'\?"),
        ({"model.family": "mpl"}, r"family='mpl' is not one of .* Did you mean 'mlp'\?"),
        ({"model.channels": [8]}, r"channels is no option of family='mlp'. Did you mean 'hidden'\?"),
        ({"model.latents": 0}, r"model.latents=0: input should be greater than or equal to 1"),
        ({"dataset.name": "digits"}, r"--set dataset.name: 'dataset' is a single value, not a section"),
    ],
)
def test_a_mistake_is_one_sentence_that_names_the_key(override, message):
    with pytest.raises(UserError, match=message) as caught:
        studies.load("digits", override)
    assert "\n" not in str(caught.value)


class Deep(nn.Module):
    """A family with options of its own kinds."""

    def __init__(self, image_shape, latents, classes=0, *, depth: int = 2, widths: Sequence[int] = (4,), tied=False):
        super().__init__()
        self.given = (depth, widths, tied)


@pytest.fixture
def deep(monkeypatch):
    monkeypatch.setattr(sections, "FAMILIES", {**sections.FAMILIES, "deep": Deep})


def test_a_new_family_brings_its_options(deep, tmp_path):
    study = studies.load("digits", {"model": {"family": "deep", "depth": 3, "widths": [5, 6]}})
    assert study.model.build((8, 8), 0).given == (3, (5, 6), False)
    (tmp_path / "again.toml").write_text(studies.to_toml(study))
    assert studies.load(str(tmp_path / "again.toml")).model == study.model
    other = studies.load("digits", {"model": {"family": "deep", "depth": 4, "widths": [5, 6]}})
    assert key_of(study) != key_of(other)
    assert key_of(study) == key_of(studies.load("digits", {"model": {"family": "deep", "widths": [5, 6], "depth": 3}}))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"family": "deep", "depht": 3}, r"\[model\] depht is no option of family='deep'. Did you mean 'depth'\?"),
        ({"family": "deep", "hidden": [3]}, r"hidden is no option of family='deep'. Did you mean '"),
        ({"family": "mlp", "depth": 3}, r"depth is no option of family='mlp'. Did you mean 'hidden'\?"),
        ({"family": "mlp", "latent": 3}, r"latent is no option of family='mlp'. Did you mean 'latents'\?"),
        ({"family": "deep", "depth": "three"}, r"\[model\] depth='three': input should be a valid integer"),
        ({"family": "deep", "widths": 3}, r"\[model\] widths=3: input should be a list"),
        ({"family": "mlp", "hidden": ["wide"]}, r"\[model\] hidden=\['wide'\]: input should be a valid integer"),
        ({"family": 3}, r"family=3 is not one of"),
    ],
)
def test_an_option_is_of_its_family_and_of_its_type(deep, model, message):
    with pytest.raises(UserError, match=message):
        studies.load("digits", {"model": model})


def key_of(study):
    return grid.key(study, Cell(study.objectives()[0], 0), dataset="d", data_digest="0")


def test_a_new_option_of_some_family_renames_no_cell(deep):
    """What is hashed of a model: the two options that were there when cells were first named, and what is given."""
    plain = {"family": "mlp", "latents": 8, "conditional": False}
    assert Model(latents=8).model_dump(mode="json") == plain | {"hidden": None, "channels": None}
    given = Model(latents=8, hidden=[128]).model_dump(mode="json")
    assert given == plain | {"hidden": [128], "channels": None}
    for name in studies.bundled():
        assert studies.load(name).model.model_dump(mode="json").keys() == given.keys()


def test_a_file_that_is_no_toml_is_named(tmp_path):
    path = tmp_path / "broken.toml"
    path.write_text("seeds = \n")
    with pytest.raises(UserError, match=r"broken.toml is not TOML: .*line 1"):
        studies.load(str(path))


def test_a_study_that_is_not_there_is_answered_with_the_nearest():
    with pytest.raises(UserError, match=r"study='digit' is neither .* Did you mean 'digits'\?"):
        studies.load("digit")
    with pytest.raises(UserError, match=r"there is no such file; bundled studies are"):
        studies.load("mine.toml")


@given(st.lists(st.integers(0, 99), min_size=1, unique=True))
def test_seeds_written_as_text_are_read_back(seeds):
    assert parse_seeds(",".join(map(str, seeds))) == tuple(seeds)


def test_named_options_win_over_set():
    chosen = overrides(seeds="0-1", epochs=2, assignments=["training.epochs=9", "model.latents=3"])
    study = studies.load("digits", chosen)
    assert (study.seeds, study.training.epochs, study.model.latents) == ((0, 1), 2, 3)


@pytest.mark.parametrize("text", ["loss", "=mae", "loss="])
def test_an_option_without_key_or_value_says_how_it_is_written(text):
    with pytest.raises(UserError, match=r"is not key=value, such as --only loss=mae"):
        assignment("--only", text)


def test_only_keeps_a_part_of_the_grid_and_refuses_what_is_not_in_it():
    study = Study(name="x", grid={"loss": ["bce", "mae"], "beta": [1, 2]})
    assert [each.label for each in narrow(study, ["loss=mae", "beta=2"]).objectives()] == ["mae-sum-b2"]
    with pytest.raises(UserError, match=r"--only loss=mse: the study's grid has loss=.* use --set grid.loss=mse"):
        narrow(study, ["loss=mse"])
    with pytest.raises(UserError, match=r"--only='lose' is not one of .* Did you mean 'loss'\?"):
        narrow(study, ["lose=mae"])

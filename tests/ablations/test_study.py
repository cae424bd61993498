"""Study files: what they may say, and what each mistake is answered with."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from ablations import grid
from ablations import study as studies
from ablations.grid import Cell
from ablations.options import assignment, narrow, overrides
from ablations.sections import parse_seeds
from ablations.studies import bundled
from ablations.study import SECTIONS, Study
from vae import families
from vae.arms import Arm, varied
from vae.building import build
from vae.errors import UserError
from vae.factors import Factor, factors


@pytest.mark.parametrize("name", bundled())
def test_every_bundled_study_loads_and_survives_being_written_out(name, tmp_path):
    study = studies.load(name)
    path = tmp_path / "again.toml"
    path.write_text(studies.to_toml(study))
    assert studies.load(str(path)) == study


def test_mnist_is_the_notes_own_setting():
    study = studies.load("mnist")
    assert (study.base["model.hidden"], study.base["model.latents"]) == ((400,), 20)
    training = study.base.training
    assert (training.learning_rate, training.batch_size, training.epochs) == (1e-3, 128, 10)
    assert len(study.arms) == 3 * 2 * 6
    assert len(study.seeds) == 8


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"grid.loss": ["msee"]}, r"digits.toml: \[grid\] loss='msee' is not one of .* Did you mean 'mse'\?"),
        ({"grid.loss": "nowhere.losses:f"}, r"the module 'nowhere.losses' cannot be imported"),
        ({"grid.beta": [-1]}, r"beta=-1 must be a finite number, 0 or more"),
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
        ({"model.channels": [8]}, r"channels is .* option of family='mlp'. Did you mean 'hidden'\?"),
        ({"model.latents": 0}, r"\[model\] latents=0 must be a whole number, 1 or more"),
        ({"grid.model.latnts": 2}, r"the key 'grid.model.latnts' is not known; .* Did you mean 'model.latents'\?"),
        ({"grid": {"model": 3}}, r"the key 'grid.model' is not known"),
        ({"grid": 3}, r"grid=3 must be a section, written \[grid\]"),
        ({"grid.model.latents": [2, 0]}, r"\[grid\] latents=0 must be a whole number, 1 or more"),
        ({"grid.training.learning_rate": 0}, r"\[grid\] learning_rate=0 must be a finite number, above 0"),
        ({"grid.model.hidden": [3, 5]}, r"\[grid\] hidden=3 must be a list, such as \[16\]"),
        ({"grid.model.channels": [[8]]}, r"\[grid\] channels is .* option of family='mlp'. Did you mean 'hidden'\?"),
        ({"grid": {"latents": 2, "model.latents": 3}}, r"\[grid\] model.latents is given twice"),
        (
            {"storage.weights": "some"},
            r"digits.toml: \[storage\] weights='some' is not one of \['all', 'best', 'none'\]",
        ),
        ({"storage.weights": "Best"}, r"weights='Best' is not one of .* Did you mean 'best'\?"),
        ({"storage.weights": 3}, r"\[storage\] weights=3 is not one of"),
        ({"storage.wieghts": "all"}, r"the key 'storage.wieghts' is not known; .* Did you mean 'weights'\?"),
        ({"storage": "all"}, r"digits.toml: storage='all' must be a section, written \[storage\]"),
        ({"images": [3]}, r"digits.toml: images=\[3\] must be a section, written \[images\]"),
        ({"evaluation": 3}, r"evaluation=3 must be a section, written \[evaluation\]"),
        ({"model": "mlp"}, r"model='mlp' must be a section, written \[model\]"),
        ({"training": 3}, r"training=3 must be a section, written \[training\]"),
        ({"images.train": "1000"}, r"\[images\] train='1000' must be a whole number, 2 or more"),
        ({"images.test": 1}, r"\[images\] test=1 must be a whole number, 2 or more"),
        ({"images.held_out": 1.5}, r"\[images\] held_out=1.5 must be a whole number, 0 or more"),
        ({"images.size": 6}, r"\[images\] size=6 must be a whole number, 7 or more"),
        ({"images.colour": "yes"}, r"\[images\] colour='yes' must be true or false, without quotation marks"),
        ({"evaluation.generated": -1}, r"\[evaluation\] generated=-1 must be a whole number, 0 or more"),
        ({"evaluation.iwae_samples": 3}, r"\[evaluation\] iwae_samples=3 must be an even number, such as 4"),
        ({"evaluation.points": [0.5]}, r"points=\[0.5\] must be shares of the epochs, .* the last of them 1, such as"),
        ({"evaluation.points": [0.5, 0.25, 1]}, r"points=\[0.5, 0.25, 1\] must be shares of the epochs, increasing"),
        ({"evaluation.points": [0, 1]}, r"points=\[0, 1\] must be shares of the epochs, increasing and above 0"),
        ({"evaluation.points": ["all"]}, r"points=\['all'\] must be shares of the epochs"),
        ({"evaluation.point_images": 1}, r"\[evaluation\] point_images=1 must be a whole number, 2 or more"),
        ({"evaluation.classifiers": 0}, r"\[evaluation\] classifiers=0 must be a whole number, 1 or more"),
        ({"dataset": 3}, r"dataset=3 must be text, in quotation marks"),
        ({"title": ["a"]}, r"title=\['a'\] must be text"),
        ({"name": True}, r"name=True must be text"),
        ({"claims": ["notes", 3]}, r"claims: 3 must be text: a bundled set such as 'notes', or the path of a file"),
        ({"dataset.name": "digits"}, r"--set dataset.name: 'dataset' is a single value, not a section"),
    ],
)
def test_a_mistake_is_one_sentence_that_names_the_key(override, message):
    with pytest.raises(UserError, match=message) as caught:
        studies.load("digits", override)
    assert "\n" not in str(caught.value)


WRONG = (3, -1, 1.5, True, "x", "", [], ["x"], [{}], {"x": 1})
KEYS = [
    *Study.model_fields,
    *(f"{name}.{key}" for name, section in SECTIONS.items() for key in section.model_fields),
]


@pytest.mark.parametrize("key", KEYS)
def test_no_sentence_of_pydantic_reaches_a_person(key: str) -> None:
    sentences = []
    for value in WRONG:
        try:
            studies.load("digits", {key: value})
        except UserError as error:
            sentences.append(str(error))
    assert sentences
    assert not [text for text in sentences if re.search("(?i)input should|instance|dictionary|tuple|pydantic", text)]


class Deep(nn.Module):
    """A family with options of its own kinds."""

    def __init__(self, image_shape, latents, classes=0, *, depth: int = 2, widths: Sequence[int] = (4,), tied=False):
        super().__init__()
        self.given = (depth, widths, tied)


@pytest.fixture
def deep(monkeypatch):
    monkeypatch.setattr(families, "FAMILIES", {**families.FAMILIES, "deep": Deep})


def test_a_new_family_brings_its_options(deep, tmp_path):
    study = studies.load("digits", {"model": {"family": "deep", "depth": 3, "widths": [5, 6]}})
    assert build(study.base, (8, 8), 0).given == (3, (5, 6), False)
    (tmp_path / "again.toml").write_text(studies.to_toml(study))
    assert studies.load(str(tmp_path / "again.toml")).model == study.model
    other = studies.load("digits", {"model": {"family": "deep", "depth": 4, "widths": [5, 6]}})
    assert key_of(study) != key_of(other)
    assert key_of(study) == key_of(studies.load("digits", {"model": {"family": "deep", "widths": [5, 6], "depth": 3}}))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"family": "deep", "depht": 3}, r"\[model\] depht is .* option of family='deep'. Did you mean 'depth'\?"),
        ({"family": "deep", "hidden": [3]}, r"hidden is .* option of family='deep'. Did you mean '"),
        ({"family": "mlp", "depth": 3}, r"depth is .* option of family='mlp'. Did you mean 'hidden'\?"),
        ({"family": "mlp", "latent": 3}, r"latent is .* option of family='mlp'. Did you mean 'latents'\?"),
        ({"family": "deep", "depth": "three"}, r"\[model\] depth='three'.* (integer|whole number)"),
        ({"family": "deep", "widths": 3}, r"\[model\] widths=3 must be a list, such as \[16\]"),
        ({"family": "mlp", "hidden": ["wide"]}, r"\[model\] hidden=\['wide'\].* (integer|whole number)"),
        ({"family": 3}, r"family=3 is not one of"),
    ],
)
def test_an_option_is_of_its_family_and_of_its_type(deep, model, message):
    with pytest.raises(UserError, match=message):
        studies.load("digits", {"model": model})


def key_of(study):
    return grid.key(Cell(study.arms[0], 0), dataset="d", data_digest="0")


@pytest.mark.parametrize("name", bundled())
def test_a_new_option_of_some_family_changes_no_key_of_another(name, monkeypatch):
    before = key_of(studies.load(name))
    monkeypatch.setattr(families, "FAMILIES", {**families.FAMILIES, "deep": Deep})
    assert "model.depth" in factors()
    assert key_of(studies.load(name)) == before


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
    assert (study.seeds, study.training["epochs"], study.model["latents"]) == ((0, 1), 2, 3)


@pytest.mark.parametrize("text", ["loss", "=mae", "loss="])
def test_an_option_without_key_or_value_says_how_it_is_written(text):
    with pytest.raises(UserError, match=r"is not key=value, such as --only loss=mae"):
        assignment("--only", text)


def test_only_keeps_a_part_of_the_grid_and_refuses_what_is_not_in_it():
    study = Study(name="x", grid={"loss": ["bce", "mae"], "beta": [1, 2]})
    assert [arm.label() for arm in narrow(study, ["loss=mae", "beta=2"]).arms] == ["mae-sum-b2"]
    with pytest.raises(UserError, match=r"--only loss=mse: the study's grid has loss=.* use --set grid.loss=mse"):
        narrow(study, ["loss=mse"])
    with pytest.raises(UserError, match=r"--only='lose' is not one of .* Did you mean 'loss'\?"):
        narrow(study, ["lose=mae"])


EXAMPLES = {  # values that a grid may hold, two of each factor and never its default
    "loss": ["mse", "mae"],
    "reduction": ["mean", "batch-mean"],
    "beta": [2, 0.5],
    "posterior": ["full-logvar", "log-std"],
    "model.family": ["conv", "mlp"],
    "model.latents": [2, 5],
    "model.conditional": [True, False],
    "model.hidden": [[12], [12, 7]],
    "model.channels": [[4, 6], [4]],
    "training.epochs": [2, 3],
    "training.batch_size": [32, 64],
    "training.learning_rate": [3e-4, 2e-3],
    "training.last_batch": ["keep", "drop"],
    "training.weight_decay": [0.01, 0.1],
    "training.clip_norm": ["none", 2],
    "training.adam_eps": [1e-6, 1e-4],
    "training.precision": ["float64", "bfloat16"],
    "training.log_every": [5, 20],
}


def varying(name: str, **further: object) -> Study:
    family = next(iter(factors()[name].families or ["mlp"]))
    return Study(name="x", model={"family": family}, grid={"loss": "bce", name: EXAMPLES[name], **further})


@pytest.mark.parametrize("one", factors().values(), ids=lambda factor: factor.name)
def test_the_base_has_the_value_that_all_arms_share(one: Factor) -> None:
    """And of several, its own where the grid holds it, else the first."""
    family = next(iter(one.families or ["mlp"]))
    usual = one.default_in(family)

    def base_value(*values: object) -> object:
        return Study(name="x", model={"family": family}, grid={one.name: list(values)}).base[one.name]

    first, second = map(one.check, EXAMPLES[one.name])
    assert base_value(first) == first
    if usual in (first, second):  # a factor with two values only
        return
    assert base_value(second, first) == second
    assert base_value(first, second, "none" if usual is None else usual) == usual


@pytest.mark.parametrize("one", factors().values(), ids=lambda factor: factor.name)
def test_every_factor_can_stand_in_a_grid(one: Factor, tmp_path):
    study = varying(one.name)
    assert one.name in varied(study.arms)
    assert len(study.arms) == len({arm.label(study.base) for arm in study.arms}) == 2
    keys = {grid.key(Cell(arm, 0), dataset="d", data_digest="0") for arm in study.arms}
    assert len(keys) == (1 if one.name == "training.log_every" else 2)  # it changes no weight
    assert [one.parse(one.text(value)) for value in study.grid[one.name]] == list(study.grid[one.name])
    (tmp_path / "again.toml").write_text(studies.to_toml(study))
    again = studies.load(str(tmp_path / "again.toml"))
    assert (again, again.arms) == (study, study.arms)


DOTTED = """
loss = "mae"
"model.latents" = [2, 8]
"training.learning_rate" = [0.002, 0.0003]
"model.conditional" = [false, true]
"training.last_batch" = "keep"
"""
NESTED = """
loss = "mae"
[grid.model]
latents = [2, 8]
conditional = [false, true]
[grid.training]
learning_rate = [0.002, 0.0003]
last_batch = "keep"
"""
BARE = """
loss = "mae"
latents = [2, 8]
conditional = [false, true]
learning_rate = [0.002, 0.0003]
last_batch = "keep"
"""


def written(tmp_path, text: str) -> str:
    path = tmp_path / "own.toml"
    path.write_text(f"[model]\nlatents = 8\n[training]\nlearning_rate = 0.002\n[grid]\n{text}")
    return str(path)


@pytest.mark.parametrize("text", [DOTTED, NESTED, BARE])
def test_factors_of_a_grid_are_written_with_dots_or_as_tables(text: str, tmp_path):
    study = studies.load(written(tmp_path, text))
    assert [arm.label(study.base) for arm in study.arms] == [
        "mae-sum-b1-latents2",
        "mae-sum-b1-latents2-lr0.0003",
        "mae-sum-b1-latents2-conditional",
        "mae-sum-b1-latents2-conditional-lr0.0003",
        "mae-sum-b1",
        "mae-sum-b1-lr0.0003",
        "mae-sum-b1-conditional",
        "mae-sum-b1-conditional-lr0.0003",
    ]
    assert study.base["training.last_batch"] == "keep"  # the grid leaves the section's value out


@pytest.mark.parametrize("text", [DOTTED, NESTED, BARE])
def test_options_reach_dotted_factors_however_the_file_writes_them(text: str, tmp_path):
    path = written(tmp_path, text)
    for key in ("grid.model.latents", "grid.latents"):
        assert studies.load(path, {key: [5, 9]}).grid["model.latents"] == (5, 9)
    study = studies.load(path)
    for option in ("model.latents=2", "latents=2"):
        narrowed = narrow(study, [option, "learning_rate=3e-4"])
        assert [arm["model.latents"] for arm in narrowed.arms] == [2, 2]
        assert narrowed.grid["training.learning_rate"] == (0.0003,)
    with pytest.raises(UserError, match=r"--only model.latents=3: the study's grid has model.latents=\[2, 8\]"):
        narrow(study, ["model.latents=3"])


def test_only_names_lists_and_none_as_a_grid_does():
    study = Study(name="x", grid={"loss": "mae", "hidden": [[5], [6, 7]], "clip_norm": ["none", 2]})
    narrowed = narrow(study, ["hidden=[6, 7]", "clip_norm=none"])
    assert (narrowed.grid["model.hidden"], narrowed.grid["training.clip_norm"]) == (((6, 7),), (None,))


def test_a_factor_that_a_family_lacks_is_left_out_for_its_arms():
    families = {"family": ["mlp", "conv"], "hidden": [[5], [6]], "channels": [[4], [8], [9]]}
    study = Study(name="x", grid={"loss": "mae", **families})
    assert [(arm.get("model.hidden"), arm.get("model.channels")) for arm in study.arms] == [
        ((5,), None),
        ((6,), None),
        (None, (4,)),
        (None, (8,)),
        (None, (9,)),
    ]
    only = narrow(study, ["family=conv"])
    assert [arm["model.channels"] for arm in only.arms] == [(4,), (8,), (9,)]
    assert only.base == Arm("mae", family="conv", channels=(4,))
    assert "model.hidden" not in only.grid

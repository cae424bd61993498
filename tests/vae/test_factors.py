"""The registry of factors, and the law of each: an arm learns the same alone and in a stack."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from functools import cache
from inspect import formatannotation
from typing import Any, Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tests.stack_samples import (
    BUILDS,
    CLASSES,
    COUNT,
    SETTINGS,
    SHAPE,
    VALUES,
    assert_arms_agree,
    identical,
    images,
    new_stack,
    train,
    weights,
)
from vae import Arm, EpochRecord, Stack, UserError
from vae.building import build
from vae.factors import Factor, Scope, Value, factor, factors, same_value
from vae.families import FAMILIES
from vae.models import VAE
from vae.training.fit import batch_order

BASE = Arm("bce", latents=3, hidden=(9,), epochs=2, batch_size=16, learning_rate=1e-2, precision="float64")
# Products of several arms are summed in another order than products of one; in float64 that is far below 1e-9.
TOLERANCE = {"float64": 1e-9, "float32": 1e-4, "bfloat16": 2e-2}
every_factor = pytest.mark.parametrize("name", factors())
stacked_factor = pytest.mark.parametrize("name", [n for n, f in factors().items() if f.scope is not Scope.SHAPE])
shape_factor = pytest.mark.parametrize("name", [n for n, f in factors().items() if f.scope is Scope.SHAPE])


def base_with(name: str) -> Arm:
    """The base, in a model family that has the factor."""
    of = factor(name)
    family = next(family for family in FAMILIES if of.applies(family))
    return BASE.replace(family=family)


def arms_of(name: str) -> list[Arm]:
    """The base, and one arm for every other value of the factor."""
    if name not in VALUES:
        pytest.fail(f"the factor {name!r} has no entry in VALUES of tests/stack_samples.py: give it a value or two")
    base = base_with(name)
    return [base, *(base.replace({name: value}) for value in VALUES[name])]


def builder(arm: Arm) -> Callable[[], nn.Module]:
    return lambda: build(arm, SHAPE, CLASSES)


@cache
def alone(arm: Arm) -> tuple[Stack, list[EpochRecord]]:
    return train(builder(arm), [arm])


def assert_alone_as_stacked(
    index: int, stack: Stack, records: list[EpochRecord], trained_alone: tuple[Stack, list[EpochRecord]]
) -> None:
    """Weights, losses and divergence of an arm in a stack, against the arm trained alone."""
    (single, its_records), tolerance = trained_alone, TOLERANCE[stack.training.precision]
    assert_arms_agree(stack, [index], single, [0], tolerance)
    assert stack.diverged.get(index) == single.diverged.get(0)
    assert len(records) == len(its_records)
    for record, its_record in zip(records, its_records):
        actual = record.distortion[index], record.rate[index]
        expected = its_record.distortion[0], its_record.rate[0]
        torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance, equal_nan=True)


@stacked_factor
def test_arms_that_differ_in_objective_or_optimiser_learn_the_same_alone_and_in_one_stack(name: str) -> None:
    arms = arms_of(name)
    stack, records = train(builder(arms[0]), arms)
    assert stack.diverged == {}
    for index, arm in enumerate(arms):
        assert_alone_as_stacked(index, stack, records, alone(arm))
        assert index == 0 or (weights(stack, index) - weights(stack, 0)).abs().max() > 1e-7  # the factor has an effect


@shape_factor
def test_arms_of_one_shape_learn_the_same_alone_and_beside_others(name: str) -> None:
    for arm in arms_of(name):
        stack, records = train(builder(arm), [arm.replace(beta=3), arm, arm.replace(loss="mae", beta=0.1)])
        assert_alone_as_stacked(1, stack, records, alone(arm))


@shape_factor
def test_arms_of_different_shapes_are_refused_in_one_stack(name: str) -> None:
    base, *others = arms_of(name)
    for other in others:
        with pytest.raises(UserError, match=rf"arms differ in \['{name}'.*: arms of different shapes form stacks of"):
            new_stack(builder(base), [base, base.replace(beta=3, learning_rate=0.1), other])


@shape_factor
def test_a_shape_factor_changes_what_is_trained(name: str) -> None:
    """Its weights, or of `log_every`, which only decides what is logged, the records."""
    (base, *others) = (alone(arm) for arm in arms_of(name))
    for stack, records in others:
        shapes = [{name: value.shape for name, value in one.parameters.items()} for one in (stack, base[0])]
        same_weights = shapes[0] == shapes[1] and stack.dtype == base[0].dtype and identical(stack, [0], base[0], [0])
        assert same_weights == (name == "training.log_every")
        assert [record.distortion for record in records] != [record.distortion for record in base[1]]


PLAIN = Arm(**SETTINGS).replace(epochs=3)
OPTIMISERS = [
    PLAIN.replace(learning_rate=0.1),
    PLAIN,
    PLAIN.replace(weight_decay=0.3, loss="mae"),
    PLAIN.replace(clip_norm=0.5, beta=2),
    PLAIN.replace(adam_eps=1e-2, clip_norm=3),
    PLAIN.replace(clip_norm=1, weight_decay=0.1, learning_rate=3e-3),
]


@pytest.mark.parametrize("way", BUILDS)
@pytest.mark.parametrize("clip_norm", [None, 0.5])
def test_all_settings_of_the_optimiser_beside_an_arm_that_diverges(way: str, clip_norm: float | None) -> None:
    """All in one stack; the arm that diverges does so at the step at which it would alone."""
    failing = PLAIN.replace(loss="tests.own_losses:poisoned", clip_norm=clip_norm)
    poison = int(batch_order(new_stack(BUILDS[way], [failing]), 2, COUNT)[37])  # an image
    arms, data = [*OPTIMISERS[:2], failing, *OPTIMISERS[2:]], images(poison=poison)
    stack, records = train(BUILDS[way], arms, data)
    assert stack.diverged.keys() == {2}
    for index, arm in enumerate(arms):
        assert_alone_as_stacked(index, stack, records, train(BUILDS[way], [arm], data))


# The registry itself


def values_of(of: Factor) -> list[Value]:
    return list(dict.fromkeys([of.default, *VALUES[of.name]]))


def test_the_values_of_the_laws_are_of_factors_that_exist() -> None:
    assert set(VALUES) == set(factors())


@every_factor
def test_values_are_checked_into_one_type(name: str) -> None:
    of = factor(name)
    for value in values_of(of):
        canonical = of.check(value)
        assert of.check(canonical) == canonical
        assert type(of.canonical(value)) is type(canonical)
        assert of.canonical(value) == canonical
        hash(canonical)


@every_factor
def test_text_is_read_back_as_the_value_it_was(name: str) -> None:
    of = factor(name)
    for value in values_of(of):
        canonical = of.check(value)
        parsed = of.parse(of.text(canonical))
        assert (parsed, type(parsed)) == (canonical, type(canonical))


@pytest.mark.parametrize("name", ["beta", "training.learning_rate", "training.adam_eps", "training.weight_decay"])
@given(value=st.floats(1e-300, 1e300))
def test_numbers_are_read_back_to_the_last_bit(name: str, value: float) -> None:
    assert factor(name).parse(factor(name).text(value)) == value


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=4))
def test_lists_are_read_back_as_tuples(widths: list[int]) -> None:
    of = factor("model.hidden")
    assert of.parse(of.text(of.check(widths))) == tuple(widths)


@given(st.text(min_size=1).map(lambda text: f"package.module:{text}"))
def test_the_name_of_an_own_loss_is_read_back(name: str) -> None:
    assert factor("loss").parse(factor("loss").text(factor("loss").check(name))) == name


@every_factor
def test_labels_and_phrases_tell_the_values_apart(name: str) -> None:
    of = factor(name)
    for words in (of.label, of.phrase):
        texts = [words(of.check(value)) for value in values_of(of)]
        assert len(set(texts)) == len(texts)
        assert all(texts)
    assert not any(set(of.label(of.check(value))) & set(" ,()[]") for value in values_of(of))


@every_factor
def test_the_part_after_the_dot_is_enough(name: str) -> None:
    assert factor(name) is factor(factor(name).key) is factors()[name]


def test_keys_and_titles_are_unique() -> None:
    assert len({of.key for of in factors().values()}) == len({of.title for of in factors().values()}) == len(factors())


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("bta", "beta"), ("model.latent", "model.latents"), ("training.epoch", "training.epochs")],
)
def test_an_unknown_factor_is_named_with_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(UserError, match=rf"factor='{name}' is not one of .* Did you mean '{nearest}'\?"):
        factor(name)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("loss", "maee", r"loss='maee' is not one of .* Did you mean 'mae'\?"),
        ("reduction", "summ", r"reduction='summ' is not one of .* Did you mean 'sum'\?"),
        ("posterior", "half", r"posterior='half' is not one of"),
        ("posterior", ["log-std"], r"posterior=\['log-std'\] is not one of"),
        ("beta", -1, r"beta=-1 must be a finite number, 0 or more"),
        ("beta", math.nan, r"beta=nan must be a finite number"),
        ("beta", math.inf, r"beta=inf must be a finite number"),
        ("beta", "1", r"beta='1' must be a finite number"),
        ("beta", True, r"beta=True must be a finite number"),
        ("model.family", "convv", r"family='convv' is not one of .* Did you mean 'conv'\?"),
        ("model.latents", 0, r"latents=0 must be a whole number, 1 or more"),
        ("model.latents", 2.0, r"latents=2.0 must be a whole number"),
        ("model.conditional", 1, r"conditional=1: input should be a valid boolean"),
        ("model.hidden", 400, r"hidden=400 must be a list, such as \[16\]"),
        ("model.hidden", [400, "200"], r"hidden=\[400, '200'\]: input should be a valid integer"),
        ("model.hidden", [True], r"hidden=\[True\]: input should be a valid integer"),
        ("training.epochs", 2.5, r"epochs=2.5 must be a whole number, 1 or more"),
        ("training.precision", "bf16", r"precision='bf16' is not one of .* Did you mean 'bfloat16'\?"),
    ],
)
def test_a_value_out_of_range_is_named(name: str, value: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        factor(name).check(value)
    with pytest.raises(UserError, match=message):
        Arm(**{name: value})


def test_an_option_of_a_family_is_a_factor_with_its_type(monkeypatch: pytest.MonkeyPatch) -> None:
    class Own(VAE):
        def __init__(
            self,
            image_shape: Any = (8, 8),
            latents: int = 2,
            classes: int = 0,
            *,
            depth: int = 3,
            slope: float = 0.5,
            gated: bool = False,
            widths: tuple[tuple[int, ...], ...] = ((1, 2), (3,)),
        ) -> None:
            super().__init__(image_shape, latents, classes)
            self.options = depth, slope, gated, widths

    monkeypatch.setattr("vae.families.FAMILIES", {**FAMILIES, "own": Own})
    arm = Arm(family="own", slope=1, depth=4, widths=[[5], [6, 7]])
    assert arm["model.slope"] == 1.0
    assert build(arm, (8, 8), 0).options == (4, 1.0, False, ((5,), (6, 7)))
    of = factor("model.widths")
    assert (of.scope, of.parse(of.text(arm["model.widths"]))) == (Scope.SHAPE, ((5,), (6, 7)))
    with pytest.raises(UserError, match=r"depth='3': input should be a valid integer"):
        Arm(family="own", depth="3")


def family_with(annotation: Any, default: Any = None) -> type[nn.Module]:
    """A model family with one option, `own`, of that type."""

    class Family(VAE):
        def __init__(
            self, image_shape: Any = (8, 8), latents: int = 2, classes: int = 0, *, own: Any = default
        ) -> None:
            super().__init__(image_shape, latents, classes)

    Family.__init__.__annotations__["own"] = annotation
    return Family


PLAIN_TYPES: dict[Any, st.SearchStrategy[Any]] = {
    bool: st.booleans(),
    int: st.integers(-(10**6), 10**6),
    float: st.one_of(st.integers(-9, 9), st.floats(allow_nan=False, allow_infinity=False)),
    str: st.text(min_size=1).filter(lambda text: text != "none"),
    Sequence[int]: st.lists(st.integers(), min_size=1),
    tuple[tuple[float, ...], ...]: st.lists(st.lists(st.integers(-9, 9))),
}


def as_own(annotation: Any) -> Factor:
    """The factor of an option of that type."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vae.families.FAMILIES", {**FAMILIES, "own": family_with(annotation)})
        return factor("model.own")


@pytest.mark.parametrize("plain", PLAIN_TYPES, ids=str)
@given(data=st.data())
def test_an_option_that_may_be_none_takes_its_other_values_as_its_plain_type_does(
    plain: Any, data: st.DataObject
) -> None:
    usual, optional, value = as_own(plain), as_own(plain | None), data.draw(PLAIN_TYPES[plain])
    expected = usual.check(value)
    recorded = float(value) if plain is int else value  # pandas makes floats of whole numbers beside a NaN
    for result in (
        optional.check(value), optional.canonical(recorded), optional.parse(optional.text(expected)),
    ):  # fmt: skip
        assert (result, type(result)) == (expected, type(expected))
    assert optional.text(optional.canonical(recorded)) == usual.text(expected)


@pytest.mark.parametrize("plain", PLAIN_TYPES, ids=str)
def test_none_stays_none_where_the_type_allows_it_and_is_refused_elsewhere(plain: Any) -> None:
    of = as_own(plain | None)
    assert [of.check(None), of.check("none"), of.canonical(None), of.parse(of.text(None))] == [None] * 4
    assert (of.label(None), of.phrase(None)) == ("own-none", "own none")
    with pytest.raises(UserError, match=r"own=None"):
        as_own(plain).check(None)


@pytest.mark.parametrize(
    ("annotation", "value", "message"),
    [
        (int | None, 1.0, r"own=1.0: input should be a valid integer, or 'none'$"),
        (float | None, "fast", r"own='fast': input should be a valid number, or 'none'$"),
        (Literal["relu", "tanh"], 3, r"own=3: input should be a valid string$"),
        (list[float], 3, r"own=3 must be a list$"),
    ],
    ids=str,
)
def test_a_value_of_another_type_is_named(annotation: Any, value: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        as_own(annotation).check(value)


TYPES = [*PLAIN_TYPES, *(plain | None for plain in PLAIN_TYPES)]


@pytest.mark.parametrize("first", TYPES, ids=str)
def test_an_option_of_two_families_has_one_type(first: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for second in TYPES:
        families = {**FAMILIES, "one": family_with(first), "two": family_with(second)}
        monkeypatch.setattr("vae.families.FAMILIES", families)
        if first == second:
            assert factor("model.own").families == {"one": None, "two": None}
            continue
        with pytest.raises(UserError) as caught:
            Arm(family="one")
        parts = [f"option 'own' is {formatannotation(first)} in family='one'", f" and {formatannotation(second)} in "]
        assert all(part in str(caught.value) for part in [*parts, "family='two': give it one type in both"])
        assert "\n" not in str(caught.value)


def test_types_that_hold_the_same_values_are_one_type_and_each_family_keeps_its_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    families = {"one": family_with(Sequence[float], [1]), "two": family_with(tuple[float, ...], (2.5,))}
    monkeypatch.setattr("vae.families.FAMILIES", {**FAMILIES, **families})
    assert (Arm(family="one")["model.own"], Arm(family="two")["model.own"]) == ((1.0,), (2.5,))


def test_an_option_without_a_default_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vae.families.FAMILIES", {**FAMILIES, "own": family_with(int, inspect.Parameter.empty)})
    with pytest.raises(UserError, match=r"option 'own' of family='own' has no default"):
        Arm()


@given(st.floats(1e-6, 1e6), st.floats(-1e-10, 1e-10))
def test_numbers_that_agree_to_rounding_are_one_value(value: float, relative: float) -> None:
    assert same_value(value, value * (1 + relative))
    assert not same_value(value, value * (1 + 1e-8))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [(1, 1.0, True), (True, 1, False), (False, False, True), ("1", 1, False), (None, None, True), (None, 0.5, False)],
)
def test_values_of_other_types_agree_as_they_are(one: Value, other: Value, same: bool) -> None:
    assert same_value(one, other) is same

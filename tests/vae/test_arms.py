"""Arms: a value of every factor, equal by content, named by what differs."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.stack_samples import VALUES
from vae.arms import Arm, find, same_arm, sum_twin, varied
from vae.errors import UserError
from vae.factors import Scope, factor, factors
from vae.losses import LOSSES
from vae.objectives import REDUCTIONS, effective_beta
from vae.posteriors import POSTERIORS
from vae.training.settings import Training

OTHER = {name: factor(name).check(values[0]) for name, values in VALUES.items()}
every_factor = pytest.mark.parametrize("name", OTHER)


def other(name: str) -> Arm:
    """An arm that has another value of the factor than the default."""
    of = factor(name)
    arm = Arm() if of.applies("mlp") else Arm(family="conv")
    return arm.replace({name: OTHER[name]})


arms = st.builds(
    Arm,
    st.sampled_from(sorted(LOSSES)),
    reduction=st.sampled_from(sorted(REDUCTIONS)),
    beta=st.one_of(st.integers(0, 3), st.floats(0, 3)),
    posterior=st.sampled_from(sorted(POSTERIORS)),
    latents=st.integers(1, 3),
    hidden=st.lists(st.integers(1, 3), min_size=1, max_size=2),
    learning_rate=st.sampled_from([1e-3, 1e-2, 1]),
    clip_norm=st.sampled_from([None, 1, 0.5]),
    conditional=st.booleans(),
)


# Values


def test_an_arm_has_a_value_of_every_factor_of_its_family() -> None:
    for family in ("mlp", "conv"):
        assert list(Arm(family=family).settings) == [name for name, of in factors().items() if of.applies(family)]
    assert (Arm().get("model.channels"), Arm(family="conv").get("model.hidden")) == (None, None)


def test_what_is_not_given_has_its_default() -> None:
    assert Arm().settings == {name: of.default for name, of in factors().items() if of.applies("mlp")}
    assert Arm(family="conv")["model.channels"] == (32, 64)
    assert Arm().training == Training()


@every_factor
def test_a_value_is_found_under_its_name_however_it_was_given(name: str) -> None:
    arm, key = other(name), factor(name).key
    family = {"family": "conv"} if name == "model.channels" else {}
    assert arm[name] == OTHER[name]
    assert arm == Arm(**(family | {name: OTHER[name]})) == Arm(**(family | {key: OTHER[name]}))
    assert arm == Arm.of({f"model.{key}": value for key, value in family.items()} | {name: OTHER[name]})


@given(arms)
def test_the_short_names_are_the_factors(arm: Arm) -> None:
    assert (arm.loss, arm.reduction, arm.beta, arm.posterior) == tuple(arm.settings.values())[:4]
    assert arm.training.learning_rate == arm["training.learning_rate"]
    scopes = {name: factors()[name].scope for name in arm.settings}
    assert dict(arm.shape) == {name: arm[name] for name, scope in scopes.items() if scope is Scope.SHAPE}
    assert dict(arm.model) == {name: value for name, value in arm.settings.items() if name.startswith("model.")}


def test_one_is_one_whatever_its_type() -> None:
    whole, real = Arm(beta=1, learning_rate=1, clip_norm=1), Arm(beta=1.0, learning_rate=1.0, clip_norm=1.0)
    assert (whole, hash(whole), repr(whole)) == (real, hash(real), repr(real))
    assert all(type(value) is float for value in (whole["beta"], whole["training.clip_norm"]))
    assert Arm(hidden=[3, 2]) == Arm(hidden=(3, 2))
    assert len({Arm(hidden=[3, 2], beta=2), Arm(hidden=(3, 2), beta=2.0)}) == 1


@given(arms, arms)
def test_arms_are_equal_by_content(one: Arm, other_: Arm) -> None:
    assert (one == other_) == (dict(one.settings) == dict(other_.settings))
    assert one != other_ or hash(one) == hash(other_)
    assert (varied([one, other_]) == ()) == (one == other_)


@given(arms)
def test_an_arm_goes_through_text_pickle_and_copies(arm: Arm) -> None:
    text = {name: factor(name).text(value) for name, value in arm.settings.items()}
    read = Arm.of({name: factor(name).parse(value) for name, value in text.items()}, recorded=True)
    assert read == arm == Arm.of(arm.settings) == pickle.loads(pickle.dumps(arm)) == copy.deepcopy(arm)
    assert [type(value) for _, value in read.items] == [type(value) for _, value in arm.items]


def test_an_arm_is_frozen() -> None:
    arm: Any = Arm()
    with pytest.raises(AttributeError):
        arm.items = ()
    with pytest.raises(TypeError):
        arm.settings["beta"] = 2


# Changes


@every_factor
def test_replacing_a_factor_changes_it_alone(name: str) -> None:
    arm = other(name)
    back = arm.replace({name: factor(name).default})
    assert back == (Arm(family="conv") if name == "model.channels" else Arm())
    assert varied([arm, back]) == ((name, "model.hidden", "model.channels") if name == "model.family" else (name,))


def test_replacing_the_family_drops_the_options_of_the_other() -> None:
    arm = Arm(hidden=(30,), latents=3, learning_rate=0.1)
    conv = arm.replace(family="conv")
    assert conv == Arm(family="conv", latents=3, learning_rate=0.1)
    assert conv.replace(family="mlp") == arm.replace(hidden=(400,))
    assert arm.replace(family="conv", channels=[4])["model.channels"] == (4,)


@given(arms, arms)
def test_what_varies_is_what_must_be_replaced(one: Arm, target: Arm) -> None:
    assert one.replace({name: target[name] for name in varied([one, target])}) == target


def test_varied_names_factors_of_one_family_too_in_their_order() -> None:
    assert varied([]) == varied([Arm()]) == varied([Arm(), Arm()]) == ()
    assert varied([Arm(beta=2), Arm("mae", log_every=3), Arm()]) == ("loss", "beta", "training.log_every")
    assert varied([Arm(), Arm(family="conv")]) == ("model.family", "model.hidden", "model.channels")


# Errors


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bta": 1}, r"factor='bta' is not one of .* Did you mean 'beta'\?"),
        ({"channels": (3,)}, r"channels is not an option of family='mlp'\. Did you mean 'hidden'\?"),
        ({"family": "conv", "hidden": (3,)}, r"hidden is not an option of family='conv'\. Did you mean 'channels'\?"),
        ({"family": "convv"}, r"family='convv' is not one of \['mlp', 'conv'\]\. Did you mean 'conv'\?"),
    ],
)
def test_what_no_factor_is_called_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Arm(**settings)
    family = str(settings.get("family", "mlp"))
    with pytest.raises(UserError, match=message):
        Arm(family="mlp" if family == "mlp" else "conv").replace(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"betta": 1}, r"factor='betta' is not one of .* Did you mean 'beta'\?"),
        ({"model.latent": 1}, r"latent is not an option of family='mlp'\. Did you mean 'latents'\?"),
        ({"training.epoch": 1}, r"factor='training.epoch' is not one of .* Did you mean 'training.epochs'\?"),
        ({"beta": "1"}, r"beta='1' must be a finite number"),
    ],
)
def test_a_mapping_is_checked_as_the_keywords_are(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Arm.of(settings)
    with pytest.raises(UserError, match=message):
        Arm().replace(settings)


def test_a_recorded_arm_needs_no_loss_that_is_at_hand() -> None:
    gone = {"loss": "gone-since", "beta": 2}
    with pytest.raises(UserError, match="loss='gone-since' is not one of"):
        Arm.of(gone)
    arm = Arm.of(gone, recorded=True)
    assert (arm.loss, arm.beta, type(arm["beta"])) == ("gone-since", 2.0, float)
    assert arm.label() == "gone-since-sum-b2"
    assert arm.replace(beta=1).loss == sum_twin(arm, 3.0).loss == pickle.loads(pickle.dumps(arm)).loss == "gone-since"
    with pytest.raises(UserError, match="beta=-1 must be"):
        arm.replace(beta=-1)
    assert Arm("no.such_module:function").loss == "no.such_module:function"  # imported when a stack needs it


# Labels


@pytest.mark.parametrize(
    ("arm", "label"),
    [
        (Arm(), "bce-sum-b1"),
        (Arm("mae", reduction="mean", beta=0.25), "mae-mean-b0.25"),
        (Arm("mse", posterior="log-std"), "mse-sum-b1-log-std"),
        (Arm(latents=5, conditional=True, hidden=(30, 20)), "bce-sum-b1-latents5-conditional-hidden30x20"),
        (Arm(family="conv", channels=[8]), "bce-sum-b1-conv-channels8"),
        (Arm(epochs=3, batch_size=64, learning_rate=3e-4), "bce-sum-b1-epochs3-batch64-lr0.0003"),
        (Arm(last_batch="keep", weight_decay=0.1, clip_norm=1), "bce-sum-b1-last-keep-wd0.1-clip1"),
        (Arm(adam_eps=1e-5, precision="bfloat16", log_every=1), "bce-sum-b1-eps1e-05-bfloat16-log1"),
    ],
)
def test_labels(arm: Arm, label: str) -> None:
    assert arm.label() == label


@every_factor
def test_a_label_names_what_differs_from_the_base(name: str) -> None:
    arm = other(name)
    base = arm.replace({name: factor(name).default})
    short = "-".join(factor(named).label(arm[named]) for named in ("loss", "reduction", "beta"))
    part = factor(name).label(OTHER[name])
    assert arm.label(base=arm) == short
    if name in ("loss", "reduction", "beta"):
        assert arm.label(base=base) == short != base.label(base=base)
        assert part in short
    else:
        assert arm.label(base=base) == f"{short}-{part}"


def test_a_label_can_say_that_an_arm_is_as_usual_where_the_base_is_not() -> None:
    base = Arm(conditional=True, clip_norm=2, posterior="log-std", latents=5)
    assert Arm().label(base) == "bce-sum-b1-half-logvar-latents20-unconditional-unclipped"


# Objectives


@given(arms, st.integers(1, 500))
def test_an_arm_and_its_sum_twin_have_one_effective_beta(arm: Arm, pixels: int) -> None:
    beta_eff = arm.effective_beta(pixels)
    sizes = {"batch": arm["training.batch_size"], "pixels": pixels, "latents": arm["model.latents"]}
    assert beta_eff == effective_beta(arm.reduction, arm.beta, **sizes)
    twin = sum_twin(arm, beta_eff)
    assert twin.effective_beta(pixels) == twin.beta == pytest.approx(beta_eff, rel=1e-11, abs=1e-300)
    assert set(varied([arm, twin])) <= {"reduction", "beta"}
    assert same_arm(sum_twin(twin, beta_eff), twin)


def test_arms_are_found_where_their_numbers_agree_to_rounding() -> None:
    arm = Arm("mse", beta=3.92)
    near = Arm("mse", beta=0.1 * 784 / 20)
    assert near != arm
    assert same_arm(near, arm)
    assert find(arm, [Arm("mse"), near, arm]) is near
    assert find(arm, [Arm("mse", beta=3.93), Arm("bce", beta=3.92), Arm("mse", beta=3.92, latents=3)]) is None
    assert not same_arm(Arm(), Arm(family="conv"))

"""The check that users run on losses of their own: correct losses pass, and each mistake fails one property."""

from __future__ import annotations

import re

import pytest

from vae import conformance
from vae.conformance import CHECKS, check_loss
from vae.errors import UserError
from vae.losses import LOSSES, Loss

SOUND = [*LOSSES, "tests.own_losses:cubic", "tests.own_losses:charbonnier", "tests.own_losses:benign"]


def failures(name: str) -> dict[str, str]:
    return {finding.name: finding.detail for finding in check_loss(name) if not finding.passed}


@pytest.mark.parametrize("name", SOUND)
def test_sound_losses_pass_every_check(name: str) -> None:
    assert failures(name) == {}


def test_every_property_is_reported_in_order() -> None:
    assert [finding.name for finding in check_loss("bce")] == list(CHECKS)


@pytest.mark.parametrize(
    ("loss", "property_", "detail"),
    [
        ("averaged", "one cost per image", r"returned shape \(2, 3\) for reconstructions of shape \(2, 3, 5\)"),
        ("whole_numbers", "one cost per image", "torch.int64, which has no gradient"),
        ("rewarding", "costs least where equal, a loss of your own 0", "not above 0"),
        ("offset", "costs least where equal, a loss of your own 0", "5 for a reconstruction that equals its target"),
        ("stepwise", "gradient agrees with finite differences", "off by .* from finite differences"),
        ("detached", "gradient agrees with finite differences", "does not require grad"),
        ("cross_entropy", "finite at the ends 0 and 1", "not a finite number at reconstruction 0, target 0"),
        ("shared_scale", "an arm costs the same alone and in a stack", "in a stack and .* alone"),
        (
            "negative_near",
            "costs least where equal, a loss of your own 0",
            "-0.0001 for a reconstruction of .* not above 0",
        ),
        ("one_sided", "costs least where equal, a loss of your own 0", "0 for a reconstruction of .* not above 0"),
        ("flat_outside", "costs least where equal, a loss of your own 0", "0 for a reconstruction of .* not above 0"),
        ("rooted", "finite at the ends 0 and 1", "in float32 .* at reconstruction .*, target"),
        ("relative", "an image costs the same alone and in a batch", "in a batch and .* by itself"),
        ("binarising", "leaves its inputs alone", "changed in place"),
        ("noisy", "repeats itself", "something else the second time"),
        ("impatient", "one cost per image", "RuntimeError: not today"),
    ],
)
def test_each_mistake_is_found(loss: str, property_: str, detail: str) -> None:
    assert re.search(detail, failures(f"tests.own_losses:{loss}")[property_])


def test_a_wrong_formula_for_the_gradient_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = Loss("mse", LOSSES["mse"].distortion, LOSSES["mae"].gradient)
    monkeypatch.setattr(conformance, "loss", lambda name: wrong)
    assert list(failures("mse")) == ["its own gradient agrees with autograd"]


def test_a_name_that_leads_nowhere_is_refused() -> None:
    with pytest.raises(UserError, match=r"'tests\.own_losses' has no 'cubed'"):
        check_loss("tests.own_losses:cubed")

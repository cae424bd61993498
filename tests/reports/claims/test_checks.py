"""Facts and identities: found by running, the same every time, and able to fail."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from reports.claims import checks
from reports.claims.checks import CHECKS, Finding, run_check
from vae.posteriors import rate


def test_the_notes_checks_come_out_as_the_science_says() -> None:
    holds = {name: run_check(name).holds for name in CHECKS}
    assert holds == {
        "sigmoid-range": False,
        "code-as-printed": False,
        "gradients-proportional": True,
        "gradient-of-the-bound": True,
        "trajectories-equal": True,
    }


def test_float32_sigmoid_reaches_both_ends_where_the_science_says() -> None:
    numbers = run_check("sigmoid-range").numbers
    assert numbers["one_from_logit"] == pytest.approx(16.64, abs=0.01)
    assert numbers["zero_to_logit"] == pytest.approx(-88.72, abs=0.01)


def test_the_ends_are_exact_to_the_last_float() -> None:
    one, zero = (run_check("sigmoid-range").numbers[end] for end in ("one_from_logit", "zero_to_logit"))
    below, above = np.nextafter(np.float32(one), np.float32(0)), np.nextafter(np.float32(zero), np.float32(0))
    at = torch.sigmoid(torch.tensor([one, float(below), zero, float(above)], dtype=torch.float32))
    assert (at[0] == 1, at[1] < 1, at[2] == 0, at[3] > 0) == (True, True, True, True)


def test_the_printed_class_shows_its_three_defects() -> None:
    finding = run_check("code-as-printed")
    assert finding.numbers["defects"] == 3
    assert "decode names fc3 and fc4, which do not exist" in finding.sentence
    assert "x.view(1, -1) folds a batch into one row" in finding.sentence
    assert any("has no attribute 'fc4'" in note for note in finding.notes)
    assert any("1x1568 and 784x400" in note for note in finding.notes)


def test_a_mended_class_passes_the_same_check(monkeypatch: pytest.MonkeyPatch) -> None:
    decode = "h = F.relu(self.fc3(z))\n        return torch.sigmoid(self.fc4(h))"
    mended = checks.NOTES_CLASS.replace(decode, "return torch.sigmoid(self.dec(z))").replace(
        "x.view(1, -1)", "x.flatten(1)"
    )
    monkeypatch.setattr(checks, "NOTES_CLASS", mended)
    finding = checks.code_as_printed()
    assert finding.holds
    assert finding.sentence == "it runs, on one black image and on two"


def test_gradients_are_proportional_to_float64_rounding() -> None:
    finding = run_check("gradients-proportional")
    assert finding.numbers["largest_relative_error"] <= 1e-12
    assert finding.numbers["beta_eff"] == pytest.approx(0.7 * 784 / 5)


def test_trajectories_agree_with_scaled_eps_and_part_with_the_default() -> None:
    numbers = run_check("trajectories-equal").numbers
    assert numbers["eps_scaled"] < 1e-12
    assert numbers["eps_default"] > 1e-3
    assert "the two do not stay together" in run_check("trajectories-equal").notes[0]


def test_the_gradient_of_sum_is_that_of_the_bound_and_that_of_mean_is_not() -> None:
    numbers = run_check("gradient-of-the-bound").numbers
    assert numbers["sum_off_by"] <= 1e-12
    assert 1 < numbers["mean_degrees_away"] < 180


def test_a_sum_that_leaves_out_the_half_of_the_divergence_is_not_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "rate", lambda mean, logvar: 2 * rate(mean, logvar))
    assert not checks.gradient_of_the_bound().holds


def slightly_wrong(reduction: str, beta: float, *, batch: int, pixels: int, latents: int) -> float:
    return beta * pixels / latents * (1 + 1e-6)


@pytest.mark.parametrize("check", [checks.gradients_proportional, checks.trajectories_equal])
def test_a_wrong_effective_beta_is_found_out(check: Callable[[], Finding], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "effective_beta", slightly_wrong)
    assert not check().holds


def test_checks_leave_the_ambient_stream_alone_and_repeat_themselves() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, second = checks.gradients_proportional(), checks.gradients_proportional()
    checks.code_as_printed()
    assert first == second
    assert torch.equal(before, torch.get_rng_state())

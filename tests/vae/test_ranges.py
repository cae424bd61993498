"""The range of pixels: rounding is allowed for, and no more."""

from __future__ import annotations

import math

import pytest
import torch

from vae import likelihoods
from vae.errors import UserError
from vae.metrics import similarity
from vae.ranges import ROUNDING, check_unit_range

X = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_one_and_a_millionth_is_one(kind: torch.dtype) -> None:
    check_unit_range("x", torch.tensor([-ROUNDING, 0.0, 1 + ROUNDING], dtype=kind))


@pytest.mark.parametrize("beyond", [-3e-6, 1 + 3e-6, math.inf, math.nan])
def test_no_more_than_rounding_is_allowed_for(beyond: float) -> None:
    with pytest.raises(UserError, match=r"^recon (reaches from|holds NaN)"):
        check_unit_range("recon", torch.tensor([0.5, beyond]))


def test_a_message_shows_by_how_much_the_range_is_left() -> None:
    with pytest.raises(UserError, match=r"to 1\.00001; allowed is \[0, 1\]\. Did you mean x\.clamp\(0, 1\)\?"):
        check_unit_range("x", torch.tensor([0.5, 1.00001], dtype=torch.float64))


def test_public_metrics_and_likelihoods_take_what_rounding_leaves() -> None:
    """And what they give is what they give for the same images in [0, 1], but for rounding."""
    white = X.clone()
    white[:, :3] = 1.0
    rounded = white.double() + ROUNDING * (white == 1)
    scores = [similarity.ssim_both(images, X.double())[0] for images in (white.double(), rounded)]
    torch.testing.assert_close(*scores, rtol=0, atol=1e-5)
    logits, scale = torch.zeros(3, 64, dtype=torch.float64), 0.1
    costs = [likelihoods.logistic_nll(logits, x.flatten(1).double(), scale) for x in (white, rounded)]
    torch.testing.assert_close(*costs, rtol=1e-4, atol=1e-4)

"""The gate: who wins a metric by construction, whatever is learnt."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.claims.comparability import FIRST, SECOND, refusal, winner
from vae.arms import Arm
from vae.metrics.catalogue import CATALOGUE

PAPER = Arm()
MEAN = Arm(reduction="mean")
SLIP = Arm(posterior="full-logvar")  # B: the KL term is not that of what is sampled
LOG_STD = Arm(posterior="log-std")  # C: it is
CASES = {
    # Distortions, across losses: the loss that owns the metric.
    "the owner": ("mse", Arm("mse"), Arm("mae"), 1, 1, FIRST),
    "the owner, second": ("mae", Arm("mse"), Arm("mae"), 1, 1, SECOND),
    "the owner at any weight": ("mse", Arm("mse", beta=9), Arm("bce"), 9, 1, FIRST),
    "a fitted scale owns what the plain loss owns": ("mse", Arm("gaussian-calibrated"), Arm("bce"), 1, 1, FIRST),
    "a monotone function of a distortion": ("psnr", Arm("bce"), Arm("mse"), 1, 1, SECOND),
    "no owner among them": ("mse", Arm("bce"), Arm("mae"), 1, 1, ""),
    # Distortions, one loss: the smaller weight of KL.
    "the smaller weight": ("mse", Arm("mse", beta=0.5), Arm("mse"), 0.5, 1, FIRST),
    "the smaller weight, second": ("bce", MEAN, PAPER, 39.2, 1, SECOND),
    "weights that are not known": ("bce", MEAN, PAPER, None, 1, ""),
    "one objective under two names": ("bce", MEAN, Arm(beta=39.2), 39.2, 39.2 * (1 + 1e-9), ""),
    "a fitted scale changes what a weight means": ("mse", Arm("gaussian-calibrated"), Arm("mse"), 0.5, 1, ""),
    "two readings of the spread": ("bce", SLIP, PAPER, 0.5, 1, ""),
    "the slip against itself": ("bce", SLIP.replace(beta=0.5), SLIP, 0.5, 1, FIRST),
    "two true readings": ("bce", LOG_STD.replace(beta=0.5), PAPER, 0.5, 1, FIRST),
    "another model": ("bce", Arm(latents=2, beta=0.5), PAPER, 0.5, 1, ""),
    # Whole objectives.
    "the paper against mean": ("neg_elbo", PAPER, MEAN, 1, 39.2, FIRST),
    "mean against the paper": ("neg_iwae", MEAN, PAPER, 39.2, 1, SECOND),
    "mean at beta_eff 1 is the paper": ("neg_elbo", Arm(reduction="mean", beta=0.0255), PAPER, 1, 1, ""),
    "B against A": ("neg_elbo", SLIP, PAPER, 1, 1, SECOND),
    "C against A": ("neg_elbo", LOG_STD, PAPER, 1, 1, ""),
    "B against C": ("neg_elbo", SLIP, LOG_STD, 1, 1, SECOND),
    "B against B": ("neg_elbo", SLIP, SLIP.replace(beta=2), 1, 2, ""),
    "the nearer from above": ("neg_elbo", Arm(beta=4), Arm(beta=2), 4, 2, SECOND),
    "the nearer from below": ("neg_elbo", Arm(beta=0.5), Arm(beta=0.1), 0.5, 0.1, FIRST),
    "on either side": ("neg_elbo", Arm(beta=0.5), Arm(beta=2), 0.5, 2, ""),
    "the paper against another loss": ("neg_elbo", PAPER, Arm("mse"), 1, 1, FIRST),
    "its loss against another": ("neg_elbo", Arm("mae"), MEAN, 1, 39.2, SECOND),
    "two other losses": ("neg_elbo", Arm("mae"), Arm("mse"), 1, 1, ""),
    "a weight that is not known": ("neg_elbo", PAPER, MEAN, None, None, ""),
    # What is no objective at all.
    "a metric that nobody trains on": ("ssim", PAPER, MEAN, 1, 39.2, ""),
    "the rate": ("rate", PAPER, MEAN, 1, 39.2, ""),
    "a metric outside the catalogue": ("mine", PAPER, MEAN, 1, 39.2, ""),
}
ARMS = st.builds(
    Arm,
    st.sampled_from(["bce", "mse", "mae", "gaussian-calibrated", "continuous-bernoulli"]),
    posterior=st.sampled_from(["half-logvar", "full-logvar", "log-std"]),
)
WEIGHTS = st.sampled_from([0.1, 1.0, 1.0 + 1e-12, 2.0, 39.2])


@pytest.mark.parametrize("name", CASES)
def test_who_wins_by_construction(name: str) -> None:
    metric, a, b, beta_a, beta_b, wins = CASES[name]
    assert winner(metric, a, b, beta_a, beta_b) == wins


@given(metric=st.sampled_from(sorted(CATALOGUE)), a=ARMS, b=ARMS, beta_a=WEIGHTS, beta_b=WEIGHTS)
def test_the_order_of_the_arms_does_not_matter(metric: str, a: Arm, b: Arm, beta_a: float, beta_b: float) -> None:
    swapped = {FIRST: SECOND, SECOND: FIRST, "": ""}
    assert winner(metric, b, a, beta_b, beta_a) == swapped[winner(metric, a, b, beta_a, beta_b)]
    assert winner(metric, a, a, beta_a, beta_a) == ""


@given(metric=st.sampled_from(sorted(CATALOGUE)), a=ARMS, b=ARMS, beta_a=WEIGHTS, beta_b=WEIGHTS)
def test_what_losses_alone_decide_has_a_winner(metric: str, a: Arm, b: Arm, beta_a: float, beta_b: float) -> None:
    if refusal(metric, [a.loss, b.loss]):
        assert winner(metric, a, b, beta_a, beta_b)

"""Numbers that are predicted from the training images, before anything is trained.

A linear VAE at its optimum is probabilistic PCA (Lucas, Tucker, Grosse & Norouzi 2019; Tipping & Bishop 1999). Squared
error with weight beta on KL is a Gaussian of variance beta / 2. A latent is used where the eigenvalue λ of the pixel
covariance that it stands for is above that variance; it then costs ½ ln(λ / variance) nats. Models here are not linear,
so a trained model may spend more.

    ppca-rate           the rate of one MSE arm, in nats
    ppca-collapse-beta  the beta at which the rate of MSE falls to the threshold of collapse
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from reports.claims.selectors import Selector
from vae.errors import UserError
from vae.metrics.latents import COLLAPSED
from vae.posteriors import POSTERIORS, USUAL

AROUND: Final = (0.5, 0.7, 1.0, 1.4, 2.0)  # times the predicted beta: where arms are trained to find the true one


def ppca_rate(eigenvalues: Sequence[float], beta: float, latents: int) -> float:
    """The rate of a linear VAE at its optimum under squared error, nats per image.

    eigenvalues: of the pixel covariance, decreasing. beta: weight of KL, above 0, when both terms are summed.

    >>> round(ppca_rate([5.22, 3.74, 0.3], 1.0, 2), 3)
    2.179
    >>> ppca_rate([5.22, 3.74, 0.3], 10.44, 2)
    0.0
    """
    variance = beta / 2
    return math.fsum(0.5 * math.log(value / variance) for value in eigenvalues[:latents] if value > variance)


def ppca_beta(eigenvalues: Sequence[float], rate: float, latents: int) -> float:
    """The beta at which a linear VAE at its optimum spends this rate: the inverse of `ppca_rate`.

    At rate 0 it is twice the largest eigenvalue, from which on all latents are off.

    >>> ppca_beta([5.22, 3.74], 0.0, 2)
    10.44
    >>> round(ppca_rate([5.22, 3.74], ppca_beta([5.22, 3.74], 0.1, 2), 2), 12)
    0.1
    """
    logs = 0.0
    positive = [value for value in eigenvalues[:latents] if value > 0]
    for used, value in enumerate(positive, start=1):
        logs += math.log(2 * value)
        beta = math.exp((logs - 2 * rate) / used)  # with that many latents on, the rate is linear in ln beta
        if used == len(positive) or beta / 2 >= positive[used]:
            return beta if rate else 2 * value
    return 0.0  # nothing differs between the images


@dataclass(frozen=True)
class Prediction:
    """A number that code computes from the training images.

    kind: the kind of claim as which it is judged. metric: what it predicts, or lies on the curve of. open_beta: whether
    its arm leaves beta open. value: (eigenvalues, beta_eff, latents) -> the number.
    """

    kind: str
    metric: str
    open_beta: bool
    value: Callable[[Sequence[float], float, int], float]


# The collapse is where the *rate* reaches the threshold that the suite calls collapsed, in the prediction as in the
# trained arms: at the threshold of 0.1 nat, 18 % below the beta at which the last latent is wholly off.
PREDICTIONS: Final[Mapping[str, Prediction]] = MappingProxyType(
    {
        "ppca-rate": Prediction("predicted", "rate", False, ppca_rate),
        "ppca-collapse-beta": Prediction(
            "predicted-beta", "rate", True, lambda values, _, latents: ppca_beta(values, COLLAPSED, latents)
        ),
    }
)


def check_predicted(name: str, metric: str, a: Selector) -> None:
    """Refuse an arm, or a metric, of which the prediction says nothing. Raises UserError."""
    prediction = PREDICTIONS[name]
    if metric != prediction.metric:
        raise UserError(f"metric={metric!r}: prediction={name!r} is of metric={prediction.metric!r}")
    if a.loss != "mse" or a.reduction != "sum":
        raise UserError(f"a={a.to_dict()}: prediction={name!r} is of the loss 'mse' with reduction 'sum'")
    if not POSTERIORS[str(a.settings.get("posterior", USUAL))].consistent:
        raise UserError(f"a={a.to_dict()}: prediction={name!r} is of a posterior whose KL is that of what it samples")
    if prediction.open_beta and a != a.at_any_beta:
        raise UserError(f"a={a.to_dict()}: prediction={name!r} is a beta, so leave beta open")
    if not prediction.open_beta and not (a.names_one and not a.tuned and (a.beta or a.beta_eff)):
        raise UserError(f"a={a.to_dict()}: prediction={name!r} is of one arm: name a beta above 0")


def betas_around(predicted: float) -> tuple[float, ...]:
    """The betas at which arms are trained to find where the rate really collapses, to 3 significant digits.

    >>> betas_around(8.547)
    (4.27, 5.98, 8.55, 12.0, 17.1)
    """
    return tuple(significant(share * predicted, 3) for share in AROUND)


def significant(value: float, digits: int) -> float:
    """A number to that many significant digits, so that a hash of it does not hang on rounding.

    >>> significant(10.4417, 3), significant(0.0, 2)
    (10.4, 0.0)
    """
    return float(f"{value:.{digits}g}")

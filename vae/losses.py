"""Reconstruction losses as negative log likelihoods, from logits, in nats per image.

With mu = sigmoid(logits) and D pixels:

    bce   −Σ [x ln mu + (1 − x) ln(1 − mu)] = Σ softplus(l) − x l   (Bernoulli)
    mse   Σ (x − mu)²                       (Gaussian, variance 1/2, without its constant)
    mae   Σ |x − mu|                        (Laplace, scale 1, without its constant)

``LOSSES`` holds the built-in ones; ``loss("package.module:function")`` makes one of a user's own function of
(reconstruction, target), so that adding a loss needs no change here. torch is imported by the functions that call it,
so that a study's losses are checked at once.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from vae.errors import UserError, not_one_of

if TYPE_CHECKING:
    from torch import Tensor


def sigmoid(logits: Tensor) -> Tensor:
    """The mean image of a decoder whose logits are those of a Bernoulli, element by element."""
    return logits.sigmoid()


@dataclass(frozen=True)
class Loss:
    """One reconstruction loss.

    distortion: (logits (*, images, D), targets (images, D)) -> (*, images), summed over the pixels.
    gradient:   the same arguments -> d(sum of distortions)/d(logits), (*, images, D). It may overwrite ``logits``.
                None: see `autograd`.
    mean:       logits -> the decoder's mean image in [0, 1].
    """

    name: str
    distortion: Callable[[Tensor, Tensor], Tensor]
    gradient: Callable[[Tensor, Tensor], Tensor] | None = None
    mean: Callable[[Tensor], Tensor] = sigmoid

    def autograd(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The gradient by autograd; the logits stay as they are."""
        import torch

        with torch.enable_grad():
            leaf = logits.detach().requires_grad_(True)
            (gradient,) = torch.autograd.grad(self.distortion(leaf, targets).sum(), leaf)
        return gradient


def _bce(logits: Tensor, x: Tensor) -> Tensor:
    # softplus(l) − x l with softplus(l) = l/2 + |l|/2 + ln(1 + e^−|l|): ten times faster than torch's on a CPU, exact
    # up to one rounding of 1, and with the right gradient at 0 too.
    size = logits.abs()
    return ((0.5 - x) * logits + 0.5 * size + (1 + (-size).exp()).log()).sum(-1)


def _bce_gradient(logits: Tensor, x: Tensor) -> Tensor:
    return logits.sigmoid_().sub_(x)


def _mse(logits: Tensor, x: Tensor) -> Tensor:
    return (logits.sigmoid() - x).square().sum(-1)


def _mse_gradient(logits: Tensor, x: Tensor) -> Tensor:
    mu = logits.sigmoid_()
    return _through_sigmoid(mu.sub(x), mu).mul_(2)


def _mae(logits: Tensor, x: Tensor) -> Tensor:
    return (logits.sigmoid() - x).abs().sum(-1)


def _mae_gradient(logits: Tensor, x: Tensor) -> Tensor:
    mu = logits.sigmoid_()
    return _through_sigmoid(mu.sub(x).sign_(), mu)


def _through_sigmoid(gradient: Tensor, mu: Tensor) -> Tensor:
    """gradient · mu (1 − mu), in place and in one pass."""
    import torch

    result: Tensor = torch.ops.aten.sigmoid_backward.grad_input(gradient, mu, grad_input=gradient)
    return result


def _continuous_bernoulli(logits: Tensor, x: Tensor) -> Tensor:
    from vae.likelihoods import continuous_bernoulli_nll

    return continuous_bernoulli_nll(logits, x)


def _continuous_bernoulli_gradient(logits: Tensor, x: Tensor) -> Tensor:
    # An exponential family in its natural parameter: the gradient is the mean minus the observation.
    return _continuous_bernoulli_mean(logits) - x


def _continuous_bernoulli_mean(logits: Tensor) -> Tensor:
    from vae.likelihoods import continuous_bernoulli_mean

    return continuous_bernoulli_mean(logits)


def _calibrated_gaussian(logits: Tensor, x: Tensor) -> Tensor:
    """sigma-VAE (Rybkin et al. 2021): the variance is the batch's own mean squared error, shared by its pixels.

    It is at least `likelihoods.LEAST_SCALE` squared: where a batch is matched exactly, no variance is the likeliest.
    """
    squared = _mse(logits, x)
    variance = _of_a_pixel(squared, x, power=2)  # (*, 1)
    return squared / (2 * variance) + x.shape[-1] / 2 * (2 * math.pi * variance).log()


def _calibrated_gaussian_gradient(logits: Tensor, x: Tensor) -> Tensor:
    # The quadratic terms of a batch sum to a constant; what is left is B D / 2 · ln(variance).
    variance = _of_a_pixel(_mse(logits, x), x, power=2)[..., None]  # (*, 1, 1)
    return _mse_gradient(logits, x).div_(2 * variance)


def _calibrated_laplace(logits: Tensor, x: Tensor) -> Tensor:
    """The same with the absolute error: the scale of a Laplace distribution is the batch's mean absolute error."""
    absolute = _mae(logits, x)
    scale = _of_a_pixel(absolute, x, power=1)  # (*, 1)
    return absolute / scale + x.shape[-1] * (2 * scale).log()


def _calibrated_laplace_gradient(logits: Tensor, x: Tensor) -> Tensor:
    scale = _of_a_pixel(_mae(logits, x), x, power=1)[..., None]  # (*, 1, 1)
    return _mae_gradient(logits, x).div_(scale)


def _of_a_pixel(costs: Tensor, x: Tensor, *, power: int) -> Tensor:
    """The mean cost of a pixel of the batch, (*, images) -> (*, 1): at least `LEAST_SCALE` to that power."""
    from vae.likelihoods import LEAST_SCALE

    return (costs.mean(-1, keepdim=True) / x.shape[-1]).clamp_min(LEAST_SCALE**power)


LOSSES: Mapping[str, Loss] = MappingProxyType(
    {
        "bce": Loss("bce", _bce, _bce_gradient),
        "mse": Loss("mse", _mse, _mse_gradient),
        "mae": Loss("mae", _mae, _mae_gradient),
        "continuous-bernoulli": Loss(
            "continuous-bernoulli",
            _continuous_bernoulli,
            _continuous_bernoulli_gradient,
            _continuous_bernoulli_mean,
        ),
        "gaussian-calibrated": Loss("gaussian-calibrated", _calibrated_gaussian, _calibrated_gaussian_gradient),
        "laplace-calibrated": Loss("laplace-calibrated", _calibrated_laplace, _calibrated_laplace_gradient),
    }
)


def loss(name: str) -> Loss:
    """The loss of that name, or a user's own, named ``package.module:function``.

    A user's function takes (reconstruction, target), both (*, images, D) in [0, 1], and returns the cost of each
    pixel in the same shape; it is summed over the pixels here.

    >>> import torch
    >>> loss("mae").distortion(torch.zeros(3, 4), torch.ones(3, 4))
    tensor([2., 2., 2.])
    >>> loss("maee")
    Traceback (most recent call last):
    vae.errors.UserError: loss='maee' is not one of ['bce', 'mse', 'mae', ...]. Did you mean 'mae'?
    """
    if name in LOSSES:
        return LOSSES[name]
    if ":" in name:
        return _from_function(name, _import(name))
    raise not_one_of("loss", name, [*LOSSES, "package.module:function"])


def source_digest(name: str) -> str:
    """A hash of the source of a user's own loss, so that an edited loss is another loss; empty for a built-in one.

    >>> source_digest("bce")
    ''
    """
    if name in LOSSES:
        return ""
    module = inspect.getmodule(_import(name))
    try:
        source = inspect.getsource(module) if module else ""
    except (OSError, TypeError):  # compiled, or typed into an interpreter: then the name stands for the loss
        source = ""
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def _from_function(name: str, function: Callable[[Tensor, Tensor], Tensor]) -> Loss:
    def distortion(logits: Tensor, x: Tensor) -> Tensor:
        cost = function(logits.sigmoid(), x.expand_as(logits))
        if cost.shape != logits.shape:
            raise UserError(
                f"loss={name!r} returned shape {tuple(cost.shape)} for reconstructions of shape "
                f"{tuple(logits.shape)}: return one cost per pixel, without summing or averaging"
            )
        return cost.sum(-1)

    return Loss(name, distortion)


def _import(name: str) -> Callable[[Tensor, Tensor], Tensor]:
    module_name, _, function_name = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except (ImportError, ValueError, TypeError) as error:
        raise UserError(
            f"loss={name!r}: the module {module_name!r} cannot be imported ({_first_line(error)}); "
            f"is it installed, or is its folder on PYTHONPATH?"
        ) from error
    except (Exception, SystemExit) as error:  # a user's own code may raise anything
        what = f"{type(error).__name__}: {_first_line(error)}"
        raise UserError(f"loss={name!r}: the module {module_name!r} fails when it is imported ({what})") from error
    function = getattr(module, function_name, None)
    if function is None:
        raise UserError(f"loss={name!r}: {module_name!r} has no {function_name!r}")
    if not callable(function):
        raise UserError(f"loss={name!r}: {function_name!r} is of type {type(function).__name__}, not a function")
    return function  # type: ignore[no-any-return]


def _first_line(error: BaseException) -> str:
    """The first line of a message that is not ours."""
    return (str(error).splitlines() or ["no message"])[0]

"""What the latents are used for: rate of each unit, active units, aggregate variance, collapse.

The posterior of an image is N(mean, e^logvar) unit by unit, and the prior N(0, 1). Over all images the two should
agree: the aggregate posterior of unit d has variance Var_x(mean_d) + E_x[e^logvar_d], which is 1 where it fills the
prior. `logvar` is always the log variance that is really sampled, whatever a training objective took it for.

Functions take (*, images, L), work in float64 and return one value per unit or per model, shape (*). torch is
imported by the functions that call it, because claims use `COLLAPSED` and are checked at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vae.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

ACTIVE = 0.01  # of the variance of a unit's posterior mean: Burda, Grosse & Salakhutdinov (2016), section 5.2
COLLAPSED = 0.1  # nats per image: a model whose mean rate is below this carries nothing in its latents


def unit_rates(mean: Tensor, logvar: Tensor) -> Tensor:
    """KL of each unit to the prior, nats per image, averaged over the images: a cost, >= 0; the units sum to the rate.

    mean, logvar: (*, images, L). Returns (*, L).

    >>> import torch
    >>> unit_rates(torch.tensor([[1.0, 0.0], [3.0, 0.0]]), torch.zeros(2, 2))
    tensor([2.5000, 0.0000], dtype=torch.float64)
    """
    mean, logvar = _checked(mean, logvar)
    # expm1(v) − v: e^v − 1 − v would lose all digits of a unit that is nearly the prior.
    return 0.5 * (mean.square() + logvar.expm1() - logvar).mean(-2)


def active(mean: Tensor) -> Tensor:
    """Which units have a posterior mean whose variance over images is above `ACTIVE`: (*, images, L) -> (*, L)."""
    (mean,) = _checked(mean)
    return mean.var(-2, correction=0) > ACTIVE


def active_units(mean: Tensor) -> Tensor:
    """How many units are active: (*, images, L) -> (*) int64, between 0 and L.

    >>> import torch
    >>> active_units(torch.tensor([[1.0, 0.5, 0.0], [3.0, 0.5, 1.0]]))
    tensor(2)
    """
    return active(mean).sum(-1)


def aggregate_variance(mean: Tensor, logvar: Tensor) -> Tensor:
    """Variance of each unit's aggregate posterior, Var(mean) + E[e^logvar]: (*, images, L) -> (*, L); 1 is ideal.

    >>> import torch
    >>> aggregate_variance(torch.tensor([[-1.0], [1.0]]), torch.full((2, 1), -torch.inf))
    tensor([1.], dtype=torch.float64)
    """
    mean, logvar = _checked(mean, logvar)
    return mean.var(-2, correction=0) + logvar.exp().mean(-2)


def aggregate_variance_of_active(mean: Tensor, logvar: Tensor) -> Tensor:
    """The aggregate variance averaged over the active units: (*, images, L) -> (*); NaN where none is active.

    Inactive units are left out: they equal the prior, variance 1, whatever the objective did to the others.

    >>> import torch
    >>> aggregate_variance_of_active(torch.tensor([[-2.0, 0.0], [2.0, 0.0]]), torch.zeros(2, 2))
    tensor(5., dtype=torch.float64)
    """
    chosen = active(mean)  # (*, L)
    return aggregate_variance(mean, logvar).where(chosen, 0.0).sum(-1) / chosen.sum(-1)


def collapsed(rates: Tensor | float) -> Tensor:
    """Whether mean rates, nats per image, are below `COLLAPSED`. (*) -> (*) bool; False for NaN.

    >>> import torch
    >>> collapsed(torch.tensor([0.02, 24.7]))
    tensor([ True, False])
    """
    import torch

    return torch.as_tensor(rates) < COLLAPSED


def _checked(*tensors: Tensor) -> tuple[Tensor, ...]:
    mean = tensors[0]
    for name, value in zip(("mean", "logvar"), tensors):
        if not value.is_floating_point() or value.ndim < 2 or not value.shape[-2]:
            raise UserError(
                f"{name} is {tuple(value.shape)} of {value.dtype};"
                " it must be (*, images, latents), floating point, with at least one image"
            )
        if value.shape != mean.shape:
            raise UserError(f"mean is {tuple(mean.shape)} and logvar {tuple(value.shape)}; they must be equal")
    return tuple(value.detach().double() for value in tensors)

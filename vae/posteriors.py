"""The posterior: how a code is drawn from what an encoder puts out, and what the code costs.

An encoder's outputs are a tuple of tensors. `Gaussian` reads them as a mean m and a spread s, with two factors a and q:

    z = m + e^(a s) ε        R = ½ Σ (m² + e^(q s) − 1 − q s)

R is the KL divergence of what is sampled where q = 2a. The "0.5 mul" variants differ in these factors alone
(`POSTERIORS`). A model with another kind of code has its own posterior: it has the methods of `OwnPosterior`, which
are called instead (`posterior_of`). The formulas stand nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor, nn

Outputs = tuple["Tensor", ...]  # what `encode` returns


def rate(mean: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mean, e^logvar) || N(0, 1)) in nats per image: a cost, >= 0. Kingma & Welling (2014), appendix B.

    mean, logvar: (*, latents). Returns (*): summed over latents, never over images.

    >>> import torch
    >>> rate(torch.zeros(3, 5, 2), torch.zeros(3, 5, 2)).shape
    torch.Size([3, 5])
    """
    return 0.5 * (mean.square() + logvar.exp() - 1 - logvar).sum(-1)


@dataclass(frozen=True)
class Reading:
    """How a spread s is read: std = exp(std_factor · s); the KL term takes kl_factor · s as ln(std²).

    words: for a sentence.
    """

    std_factor: float
    kl_factor: float
    words: str

    @property
    def consistent(self) -> bool:
        """Whether the KL term is the true one of what is sampled."""
        return self.kl_factor == 2 * self.std_factor


POSTERIORS: Mapping[str, Reading] = MappingProxyType(
    {
        # The paper: s is a log variance, the 0.5 takes the root.
        "half-logvar": Reading(0.5, 1.0, "std = exp(s/2)"),
        # The mistake: the 0.5 is left out, while the KL term still reads s as a log variance.
        "full-logvar": Reading(1.0, 1.0, "std = exp(s) (KL as written)"),
        # Consistent without the 0.5: s is a log standard deviation.
        "log-std": Reading(1.0, 2.0, "std = exp(s) (KL rewritten)"),
    }
)
USUAL = "half-logvar"


@runtime_checkable
class OwnPosterior(Protocol):
    """A model that has its own posterior: training calls the first two methods, measuring all.

    outputs: of `encode`, for some images. noise: standard normal, (images, latents).
    """

    def sample(self, outputs: Outputs, noise: Tensor) -> Tensor:
        """A drawn code, (images, latents), differentiable in the outputs."""
        ...

    def divergence(self, outputs: Outputs) -> Tensor:
        """The cost of the code in nats, (images,), as the training objective counts it."""
        ...

    def rate(self, outputs: Outputs) -> Tensor:
        """What the code really costs in nats, (images,), whatever the objective counts."""
        ...

    def centre(self, outputs: Outputs) -> Tensor:
        """The code that stands for an image without noise, (images, latents)."""
        ...

    def prior(self, noise: Tensor) -> Tensor:
        """A code of the prior, (images, latents)."""
        ...


@dataclass(frozen=True)
class Gaussian:
    """A diagonal Gaussian, with its two factors: numbers, or tensors that broadcast over the arms of a stack.

    >>> import torch
    >>> outputs = torch.zeros(3, 2), torch.zeros(3, 2)
    >>> Gaussian.of("half-logvar").sample(outputs, torch.ones(3, 2))[0]
    tensor([1., 1.])
    """

    std_factor: Tensor | float
    kl_factor: Tensor | float

    @classmethod
    def of(cls, name: str) -> Gaussian:
        """The posterior of that name, as an arm has it."""
        reading = POSTERIORS[name]
        return cls(reading.std_factor, reading.kl_factor)

    def sample(self, outputs: Outputs, noise: Tensor) -> Tensor:
        mean, spread = outputs
        return mean + (self.std_factor * spread).exp() * noise

    def divergence(self, outputs: Outputs) -> Tensor:
        mean, spread = outputs
        return rate(mean, self.kl_factor * spread)

    def moments(self, outputs: Outputs) -> tuple[Tensor, Tensor]:
        """The mean, and the log variance that is really sampled."""
        mean, spread = outputs
        return mean, 2 * self.std_factor * spread

    def rate(self, outputs: Outputs) -> Tensor:
        return rate(*self.moments(outputs))

    def centre(self, outputs: Outputs) -> Tensor:
        return outputs[0]

    def prior(self, noise: Tensor) -> Tensor:
        return noise

    def draw(self, heads: Tensor, noise: Tensor) -> Draw:
        """Both formulas with what their gradients need, for the gradients by hand (`vae.training.fused`).

        heads: mean and spread side by side, (arms, images, 2 latents).
        """
        latents = noise.shape[-1]
        mean, spread = heads[..., :latents], heads[..., latents:]
        std_noise = (self.std_factor * spread).exp().mul_(noise)
        return Draw(self, mean, spread, std_noise)


class Draw:
    """One draw of a Gaussian posterior, its divergence, and the gradients of both. Overwrites its own tensors.

    z: (arms, images, latents).
    """

    def __init__(self, posterior: Gaussian, mean: Tensor, spread: Tensor, std_noise: Tensor) -> None:
        self._posterior, self._mean, self._spread, self._std_noise = posterior, mean, spread, std_noise
        self._excess = mean  # e^(q s) − 1, once the divergence is computed
        self.z = mean + std_noise

    def mean_divergence(self) -> Tensor:
        """The mean over the images of the batch, (arms,)."""
        logvar = self._posterior.kl_factor * self._spread
        self._excess = logvar.exp().sub_(1)
        return self._excess.addcmul(self._mean, self._mean).sub_(logvar).sum((-2, -1)).mul_(0.5 / self._mean.shape[1])

    def backward(self, to_z: Tensor, weight: Tensor, out: Tensor) -> Tensor:
        """The gradient that reaches the heads, written to `out` (arms, images, 2 latents). Once, after the divergence.

        to_z: dL/dz. weight: of the summed divergence in the loss, (arms, 1, 1).
        """
        import torch  # here, so that a command line can list POSTERIORS without it

        latents = self.z.shape[-1]
        to_mean, to_spread = out[..., :latents], out[..., latents:]
        torch.addcmul(to_z, weight, self._mean, out=to_mean)
        excess = self._excess.mul_(0.5 * weight * self._posterior.kl_factor)
        torch.addcmul(excess, self._std_noise.mul_(self._posterior.std_factor), to_z, out=to_spread)
        return out


def posterior_of(model: nn.Module, name: str) -> Gaussian | OwnPosterior:
    """A model's own posterior where it has one, else the Gaussian of that name."""
    return model if isinstance(model, OwnPosterior) else Gaussian.of(name)

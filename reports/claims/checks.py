"""Facts and identities, computed by code when a report is made: none of these numbers is typed in.

Each check takes no argument, reads no cell, runs in a second or two on one core and gives the same numbers every
time. `run_check(name)` gives its `Finding`; a claim of kind `fact` or `identity` names it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Normal, kl_divergence
from torch.nn import functional as F

from reports.claims.check_names import CHECK_NAMES
from vae.models import VAE
from vae.objectives import effective_beta
from vae.posteriors import rate
from vae.streams import ambient, generator

IDENTITY_RTOL: Final = 1e-12  # float64: what rounding may leave of an identity
BREAK: Final = 1e-3  # relative distance from which two trajectories are not the same one
_STEPS, _BATCH, _LR, _EPS = 60, 128, 1e-3, 1e-8  # Adam's defaults; as many steps as show the break

# The class in the notes, restated: same layers, and word for word the two expressions that are at fault, the layer
# names in `decode` and the `view` in `forward`. It is run, so that its defects are found and not asserted.
NOTES_CLASS: Final = """
class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.enc = nn.Sequential(nn.Linear(784, 400), nn.ReLU())
        self.enc_mu, self.enc_logvar = nn.Linear(400, 20), nn.Linear(400, 20)
        self.dec = nn.Sequential(nn.Linear(20, 400), nn.ReLU(), nn.Linear(400, 784))

    def encode(self, x):
        h = self.enc(x)
        return self.enc_mu(h), self.enc_logvar(h)

    def decode(self, z):
        h = F.relu(self.fc3(z))
        return torch.sigmoid(self.fc4(h))

    def forward(self, x):
        mu, logvar = self.encode(x.view(1, -1))
        z = mu + torch.randn_like(mu) * torch.exp(0.5 * logvar)
        return self.decode(z), mu, logvar
"""


@dataclass(frozen=True)
class Finding:
    """What a check found. holds: whether the statement under test is true. numbers: what was measured, by name."""

    holds: bool
    sentence: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def sigmoid_range() -> Finding:
    """Is float32's sigmoid in [0, 1), as the notes say? Every float32 logit near either end is tried."""
    high = torch.arange(16, 18, 2**-19)  # every float32 in [16, 18): 1 is reached in here
    low = torch.arange(-110, -80, 2**-17)  # every float32 in [−110, −80): 0 is reached in here
    one_from = float(high[torch.sigmoid(high) < 1].max()) + 2**-19
    zero_to = float(low[torch.sigmoid(low) > 0].min()) - 2**-17
    reaches_one = bool((torch.sigmoid(high) == 1).any())
    return Finding(
        holds=not reaches_one,
        sentence=f"in float32 the sigmoid is exactly 1 from logit {one_from:.2f} up "
        f"and exactly 0 from −{-zero_to:.2f} down: its range is [0, 1], not [0, 1)",
        numbers={"one_from_logit": one_from, "zero_to_logit": zero_to},
        notes=("In real arithmetic the range is (0, 1): neither end is ever reached.",),
    )


def code_as_printed() -> Finding:
    """Does the notes' class run as printed? It is built and called, its missing layers supplied one by one."""
    problems, missing = [], []
    one, two = torch.zeros(1, 1, 28, 28), torch.zeros(2, 1, 28, 28)
    space: dict[str, Any] = {"torch": torch, "nn": nn, "F": F}
    exec(NOTES_CLASS, space)  # our own constant above
    with ambient("checks", 0, "weights"):
        model: nn.Module = space["VAE"]()
        for name, layer in (("fc3", nn.Linear(20, 400)), ("fc4", nn.Linear(400, 784))):
            problem = _problem(model, one)
            if f"'{name}'" in problem:
                missing.append(name)
                problems.append(f"One image: {problem}.")
            setattr(model, name, layer)
        mended, folded = _problem(model, one), _problem(model, two)
    defects = [f"decode names {' and '.join(missing)}, which do not exist"] if missing else []
    if folded and not mended:
        defects.append("x.view(1, -1) folds a batch into one row")
        problems.append(f"Those layers supplied, one image passes; two images: {folded}.")
    return Finding(
        holds=not problems and not mended and not folded,
        sentence=f"tried on black images, it does not run: {', and '.join(defects)}"
        if defects
        else "it runs, on one black image and on two",
        numbers={"defects": float(len(problems))},
        notes=(*problems, "The class is restated: its layers, and word for word the two expressions at fault."),
    )


def _problem(model: nn.Module, images: Tensor) -> str:
    """What happens when the model is called: the error as text, or nothing."""
    try:
        model(images)
    except (AttributeError, RuntimeError) as error:
        return f"{type(error).__name__}: {str(error).rstrip('.')}"
    return ""


_TERMS: Final[Mapping[str, Callable[..., Tensor]]] = {
    "bce": F.binary_cross_entropy_with_logits,
    "mse": lambda logits, x, reduction: F.mse_loss(logits.sigmoid(), x, reduction=reduction),
    "mae": lambda logits, x, reduction: F.l1_loss(logits.sigmoid(), x, reduction=reduction),
}


def _loss(model: VAE, x: Tensor, noise: Tensor, *, term: str, reduction: str, beta: float) -> Tensor:
    """The objective as code in the wild writes it: torch's own `reduction` argument, and .mean() or .sum() of KL."""
    mean, logvar = model.encode(x)
    logits = model.decode(mean + noise * torch.exp(0.5 * logvar))
    kl = rate(mean, logvar).sum()
    if reduction == "mean":
        kl = kl / mean.numel()
    return _TERMS[term](logits, x, reduction=reduction) + beta * kl


def _model(hidden: int, latents: int) -> VAE:
    with ambient("checks", 0, "weights"):
        return VAE((28, 28), latents, hidden=(hidden,)).double()


_MADE_UP: Final = "on made-up images of soft discs"


def _images(count: int, purpose: str) -> Tensor:
    """Soft-edged discs on black, (count, 28, 28) float64: enough like digits to be learnt."""
    centre = 8 + 12 * torch.rand(count, 2, 1, 1, generator=generator("checks", 0, purpose), dtype=torch.float64)
    axis = torch.arange(28, dtype=torch.float64)
    distance = ((axis[:, None] - centre[:, 0]).square() + (axis - centre[:, 1]).square()).sqrt()
    return torch.sigmoid(5 - distance)


def gradients_proportional() -> Finding:
    """Is the gradient of `mean`@beta that of `sum`@beta_eff times 1/(B D)? float64, each loss, all parameters."""
    batch, latents, pixels, beta = 13, 5, 784, 0.7
    model, x = _model(hidden=17, latents=latents), _images(batch, "gradients")
    noise = torch.randn(batch, latents, generator=generator("checks", 0, "noise"), dtype=torch.float64)
    equal = effective_beta("mean", beta, batch=batch, pixels=pixels, latents=latents)
    errors = {}
    for term in _TERMS:
        mean, total = (
            torch.autograd.grad(
                _loss(model, x, noise, term=term, reduction=reduction, beta=at), tuple(model.parameters())
            )
            for reduction, at in (("mean", beta), ("sum", equal))
        )
        gaps = [(a * batch * pixels - b).abs().max() / b.abs().max() for a, b in zip(mean, total)]
        errors[term] = float(max(gaps))
    worst = max(errors.values())
    return Finding(
        holds=worst <= IDENTITY_RTOL,
        sentence="the gradients of ‘mean’ at beta and of ‘sum’ at beta_eff are proportional "
        f"to within {worst:.1g} ({_MADE_UP}, float64, {len(errors)} losses)",
        numbers={"largest_relative_error": worst, "beta": beta, "beta_eff": equal},
    )


def gradient_of_the_bound() -> Finding:
    """Is the gradient of `sum` at beta 1 that of the paper's bound, and the gradient of `mean` at beta 1 not?

    The bound is eq. 10 of Kingma & Welling (2014), with one draw per image, written with torch's distributions. A
    constant factor would not matter to where an optimiser goes, so of `mean` the direction is compared.
    """
    batch, latents, pixels = 13, 5, 784
    model, x = _model(hidden=17, latents=latents), _images(batch, "bound")
    noise = torch.randn(batch, latents, generator=generator("checks", 0, "bound-noise"), dtype=torch.float64)
    parameters = tuple(model.parameters())

    def gradient(loss: Tensor) -> Tensor:
        return torch.cat([part.flatten() for part in torch.autograd.grad(loss, parameters)])

    bound = gradient(-_bound(model, x, noise))
    total, mean = (gradient(_loss(model, x, noise, term="bce", reduction=name, beta=1)) for name in ("sum", "mean"))
    off_sum = float((total - bound).norm() / bound.norm())
    angle = math.acos(min(1.0, float(mean @ bound / (mean.norm() * bound.norm()))))
    return Finding(
        holds=off_sum <= IDENTITY_RTOL and angle > BREAK,
        sentence=f"the gradient of ‘sum’ at beta 1 is that of the paper's bound to within {off_sum:.1g}; that of "
        f"‘mean’ at beta 1 points {math.degrees(angle):.0f} degrees away from it ({_MADE_UP}, float64)",
        numbers={"sum_off_by": off_sum, "mean_degrees_away": math.degrees(angle)},
        notes=(
            f"‘mean’ at beta 1 weighs KL by pixels / latents: {pixels / latents:g} times, on the {pixels} pixels and "
            f"{latents} latents of this check.",
        ),
    )


def _bound(model: VAE, x: Tensor, noise: Tensor) -> Tensor:
    """The bound of eq. 10, summed over the images: nothing of this suite's objective is used."""
    mean, logvar = model.encode(x)
    posterior = Normal(mean, logvar.mul(0.5).exp())
    z = posterior.loc + noise * posterior.scale
    images = Bernoulli(logits=model.decode(z).flatten(1), validate_args=False)  # grey pixels, as the notes' are
    reconstruction: Tensor = images.log_prob(x.flatten(1)).sum()  # type: ignore[no-untyped-call]
    return reconstruction - kl_divergence(posterior, Normal(torch.zeros_like(mean), torch.ones_like(mean))).sum()


def trajectories_equal() -> Finding:
    """Does Adam take the same steps under `mean`@beta and `sum`@beta_eff? With eps scaled alike, and with its default.

    The identity is exact when eps carries the same factor 1/(B D) as the loss. Adam's default eps does not; how far
    the two part is measured, since it is what a user's code would see.
    """
    scale = 1 / (_BATCH * 784)
    start = _flat(_model(hidden=64, latents=20))
    total = _trained("sum", effective_beta("mean", 1, batch=_BATCH, pixels=784, latents=20), eps=_EPS)
    scaled, default = (
        float((_trained("mean", 1, eps=eps) - total).norm() / (total - start).norm()) for eps in (_EPS * scale, _EPS)
    )
    broken = "do not stay together" if default > BREAK else "stay together"
    return Finding(
        holds=scaled < IDENTITY_RTOL,
        sentence=f"with eps scaled as the loss is, {_STEPS} Adam steps of ‘mean’ and of ‘sum’ at beta_eff end "
        f"within {scaled:.1g} of each other, relative to the way covered ({_MADE_UP})",
        numbers={"eps_scaled": scaled, "eps_default": default},
        notes=(
            f"With Adam's default eps of {_EPS:g} in both, the two {broken}: at the end they are {default:.2g} of the "
            "way covered apart. Beside the weight, ‘mean’ changes how large a gradient is against that eps.",
        ),
    )


def _trained(reduction: str, beta: float, *, eps: float) -> Tensor:
    """Parameters after the steps, flat. Same weights, images and noise whatever the arguments."""
    model, x = _model(hidden=64, latents=20), _images(_BATCH, "trajectory")
    noise = generator("checks", 0, "trajectory-noise")
    optimiser = torch.optim.Adam(model.parameters(), lr=_LR, eps=eps)
    for _ in range(_STEPS):
        drawn = torch.randn(_BATCH, 20, generator=noise, dtype=torch.float64)
        optimiser.zero_grad()
        torch.autograd.backward(_loss(model, x, drawn, term="bce", reduction=reduction, beta=beta))
        optimiser.step()
    return _flat(model)


def _flat(model: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


# name -> what computes its finding
CHECKS: Final[Mapping[str, Callable[[], Finding]]] = MappingProxyType(
    {name: globals()[name.replace("-", "_")] for name in CHECK_NAMES}
)


@cache
def run_check(name: str) -> Finding:
    """The finding of the check of that name, one of `CHECKS`, computed once a process."""
    return CHECKS[name]()

"""The gradients of a stack of ``VAE``s by hand: what autograd finds, without its detours.

For one arm with encoder layers, a head that gives mean and spread together, and decoder layers (``vae.affine``), and
with weights c of the distortion and k of the rate, std factor a and KL factor q (``vae.objectives``):

    h = encoder([x, y])     [m, s] = head(h)     z = m + e^{as} ε     l = decoder([z, y])
    D = distortion(l, x)    R = ½ Σ (m² + e^{qs} − 1 − q s)            L = c ΣD + k ΣR

    dl = c ∂D/∂l            by the loss's own formula, or by autograd for a loss without one
    dz = decoder backward(dl)
    dm = dz + k m
    ds = a e^{as} ε dz + ½ k q (e^{qs} − 1)
    encoder backward(head backward([dm, ds]))

The distortion itself is only computed when asked for: gradients do not need its value.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vae.affine import Affine, affine
from vae.engine import StepValues, Weighting, loss_runs
from vae.losses import Loss
from vae.models import one_hot, with_labels
from vae.stack import Stack


class Fused:
    """Gradients of a stack whose template is a ``VAE``; see :class:`vae.engine.Gradients`."""

    def __init__(self, stack: Stack, precision: str = "float32") -> None:
        self._stack = stack
        self._runs = loss_runs(stack)
        self._std, self._kl = stack.spread_factors()
        self._modules: list[tuple[str, Tensor, slice]] = []  # a parameter's name, the leaf it lies in, and where
        depth = len(stack.template.encoder)  # type: ignore[arg-type]
        self._encoder = [self._layer(precision, f"encoder.{i}", first=i == 0) for i in range(depth)]
        self._head = self._layer(precision, "mean", "spread", relu=False)  # one product instead of two
        self._decoder = [self._layer(precision, f"decoder.{i}") for i in range(depth)]
        self._output = self._layer(precision, "output", relu=False)
        self._layers = [*self._encoder, self._head, *self._decoder, self._output]
        self.leaves = [tensor for layer in self._layers for tensor in (layer.weight, layer.bias)]
        self.named = {name: leaf[:, rows] for name, leaf, rows in self._modules}
        stack.parameters.update(self.named)  # one copy of the weights, whoever looks

    def step(
        self, x: Tensor, noise: Tensor, y: Tensor | None, weighting: Weighting, *, distortion: bool = True
    ) -> StepValues:
        """See :class:`vae.engine.Gradients`. x (images, *image_shape), noise (images, L)."""
        arms, latents = self._stack.arms, self._stack.latents
        targets = x.flatten(1)
        seen = with_labels(targets, y, self._stack.classes)
        heads = _forward([*self._encoder, self._head], seen.expand(arms, *seen.shape))
        mean, spread = heads[..., :latents], heads[..., latents:]
        std_noise = torch.exp(self._std * spread).mul_(noise)
        z = _labelled(mean + std_noise, y, self._stack.classes)
        logits = _forward([*self._decoder, self._output], z)

        logvar = self._kl * spread
        excess = torch.exp(logvar).sub_(1)
        rates = torch.addcmul(excess, mean, mean).sub_(logvar).sum((-2, -1)).mul_(0.5 / len(x))
        values = self._distortion(logits, targets) if distortion else None

        to_logits = self._loss_gradient(logits, targets)
        if not weighting.plain:
            to_logits.mul_(weighting.recon[:, None, None])
        to_z = _backward([*self._decoder, self._output], to_logits)[..., :latents].to(mean.dtype)
        kl = weighting.kl[:, None, None]
        to_mean = to_z + kl * mean
        to_spread = self._std * std_noise * to_z + (0.5 * kl * self._kl) * excess
        _backward([*self._encoder, self._head], torch.cat([to_mean, to_spread], dim=-1))
        return StepValues(values, rates, rates + self._bias_gradients())

    def gradients(self) -> dict[str, Tensor]:
        return {name: leaf.grad[:, rows] for name, leaf, rows in self._modules if leaf.grad is not None}

    def forget(self) -> None:
        """Give back the memory of activations and gradients."""
        for layer in self._layers:
            layer.forget()

    def _layer(self, precision: str, *names: str, relu: bool = True, first: bool = False) -> Affine:
        """One layer from the weights of one module, or of several that read the same inputs."""
        leaves = {}
        for kind in ("weight", "bias"):
            parts = [self._stack.parameters[f"{name}.{kind}"].detach() for name in names]
            leaves[kind] = torch.cat(parts, dim=1)
            start = 0
            for name, part in zip(names, parts):
                self._modules.append((f"{name}.{kind}", leaves[kind], slice(start, start + part.shape[1])))
                start += part.shape[1]
        return affine(leaves["weight"], leaves["bias"], precision=precision, relu=relu, first=first)

    def _distortion(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Each arm's own, mean over the batch: (arms,)."""
        return torch.cat([each.distortion(logits[arms], targets).mean(-1) for each, arms in self._runs])

    def _loss_gradient(self, logits: Tensor, targets: Tensor) -> Tensor:
        """d(Σ distortion)/d(logits), (arms, images, D); spends the logits."""
        pieces = [_gradient(each, logits[arms], targets) for each, arms in self._runs]
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces)

    def _bias_gradients(self) -> Tensor:
        """Their sums, (arms,): any gradient that is not finite passes through one of them."""
        sums = [layer.bias.grad.sum(-1) for layer in self._layers if layer.bias.grad is not None]
        return torch.stack(sums).sum(0)


def _forward(layers: Sequence[Affine], values: Tensor) -> Tensor:
    for layer in layers:
        values = layer.forward(values)
    return values


def _backward(layers: Sequence[Affine], gradient: Tensor) -> Tensor:
    for layer in reversed(layers):
        gradient = layer.backward(gradient)
    return gradient


def _labelled(z: Tensor, y: Tensor | None, classes: int) -> Tensor:
    """(arms, images, L) with the one-hot labels appended."""
    if y is None or not classes:
        return z
    labels = one_hot(y, classes, z.dtype)
    return torch.cat([z, labels.expand(len(z), *labels.shape)], dim=-1)


def _gradient(each: Loss, logits: Tensor, targets: Tensor) -> Tensor:
    if each.gradient is not None:
        return each.gradient(logits, targets)
    with torch.enable_grad():
        leaf = logits.detach().requires_grad_(True)
        (found,) = torch.autograd.grad(each.distortion(leaf, targets).sum(), leaf)
    return found

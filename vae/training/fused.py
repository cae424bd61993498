"""The gradients of a stack of ``VAE``s by hand: the numbers of autograd, in fewer operations.

For one arm, with weights c of the distortion and k of the rate (``vae.objectives``):

    h = encoder([x, y])     [m, s] = head(h)     z, R = posterior(m, s, ε)     l = decoder([z, y])
    D = distortion(l, x)    L = c ΣD + k ΣR

    dl = c ∂D/∂l            by the loss's own formula, or by autograd for a loss without one
    dz = decoder backward(dl)
    [dm, ds]                from dz and k by the posterior (``vae.posteriors.Draw``)
    encoder backward(head backward([dm, ds]))
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vae.models import with_labels
from vae.posteriors import Gaussian
from vae.training.autograd import StepValues, Weighting, loss_runs
from vae.training.layers import Affine, affine
from vae.training.stack import Stack


class Fused:
    """Gradients of a stack whose template is a ``VAE``; see :class:`vae.training.autograd.Gradients`.

    The stack's weights become views of the leaves: one for each layer's matrices, and one for all biases.
    """

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._runs = loss_runs(stack)
        self._posterior = Gaussian(*stack.spread_factors())
        self._where: dict[str, tuple[Tensor, slice]] = {}  # a parameter's name: the leaf that holds it, and its rows
        depth = len(stack.template.encoder)  # type: ignore[arg-type]
        encoder = [(f"encoder.{i}",) for i in range(depth)]
        decoder = [(f"decoder.{i}",) for i in range(depth)]
        modules = [*encoder, ("mean", "spread"), *decoder, ("output",)]  # mean and spread: one product instead of two
        self._biases = self._leaf("bias", [name for names in modules for name in names])
        self._biases.grad = torch.zeros_like(self._biases)
        layers = [self._layer(names, first=i == 0) for i, names in enumerate(modules)]
        self._encoder, self._decoder = layers[: depth + 1], layers[depth + 1 :]
        self.leaves = [*(layer.weight for layer in layers), self._biases]
        self.named = self.views(self.leaves)
        stack.parameters.update(self.named)

    def views(self, tensors: Sequence[Tensor]) -> dict[str, Tensor]:
        """See :class:`vae.training.autograd.Gradients`."""
        at = {id(leaf): tensor for leaf, tensor in zip(self.leaves, tensors)}
        return {name: at[id(leaf)][:, rows] for name, (leaf, rows) in self._where.items()}

    def step(
        self, x: Tensor, noise: Tensor, y: Tensor | None, weighting: Weighting, *, distortion: bool = True
    ) -> StepValues:
        """See :class:`vae.training.autograd.Gradients`. x (images, *image_shape), noise (images, L)."""
        classes, latents, targets = self._stack.classes, self._stack.latents, x.flatten(1)
        inputs = with_labels(targets, y, classes)  # (images, D + classes)
        heads = _forward(self._encoder, inputs.expand(len(self._stack), *inputs.shape))  # (arms, images, 2 L)
        draw = self._posterior.draw(heads, noise)
        logits = _forward(self._decoder, with_labels(draw.z, y, classes))  # (arms, images, D)
        rates = draw.mean_divergence()  # (arms,)
        values = None
        if distortion:  # of each arm, mean over the batch: (arms,)
            values = torch.cat([loss.distortion(logits[arms], targets).mean(-1) for loss, arms in self._runs])

        to_logits = self._loss_gradient(logits, targets)
        if not weighting.plain:
            to_logits.mul_(weighting.recon[:, None, None])
        to_z = _backward(self._decoder, to_logits)[..., :latents].to(heads.dtype)  # (arms, images, L)
        to_heads = draw.backward(to_z, weighting.kl[:, None, None], out=torch.empty_like(heads))
        _backward(self._encoder, to_heads)
        # What is not finite in an activation or its gradient reaches a bias's gradient. Only a weight's gradient can
        # overflow without it; then the check of the next step, or of the end of the epoch, is not finite.
        return StepValues(values, rates, rates + self._biases.grad.sum(-1))  # type: ignore[union-attr]

    def release(self) -> None:
        """Free the memory of activations and of the matrices' gradients."""
        for layer in (*self._encoder, *self._decoder):
            layer.release()

    def _leaf(self, kind: str, names: Sequence[str]) -> Tensor:
        """Weights or biases of several modules, one below the other."""
        parts = [self._stack.parameters[f"{name}.{kind}"].detach() for name in names]
        leaf, start = torch.cat(parts, dim=1), 0
        for name, part in zip(names, parts):
            self._where[f"{name}.{kind}"] = (leaf, slice(start, start + part.shape[1]))
            start += part.shape[1]
        return leaf

    def _layer(self, names: Sequence[str], *, first: bool) -> Affine:
        """The layer of one module, or of several that read the same inputs; hidden layers end in a ReLU."""
        weight = self._leaf("weight", names)
        start, end = (self._where[f"{name}.bias"][1] for name in (names[0], names[-1]))
        rows = slice(start.start, end.stop)
        relu = names[0].partition(".")[0] in ("encoder", "decoder")
        kind = affine(weight, self._stack.training.precision)
        return kind(weight, self._biases[:, rows], self._biases.grad[:, rows], relu=relu, first=first)  # type: ignore[index]

    def _loss_gradient(self, logits: Tensor, targets: Tensor) -> Tensor:
        """d(Σ distortion)/d(logits), (arms, images, D); overwrites the logits."""
        pieces = [(loss.gradient or loss.autograd)(logits[arms], targets) for loss, arms in self._runs]
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces)


def _forward(layers: Sequence[Affine], values: Tensor) -> Tensor:
    for layer in layers:
        values = layer.forward(values)
    return values


def _backward(layers: Sequence[Affine], gradient: Tensor) -> Tensor:
    for layer in reversed(layers):
        gradient = layer.backward(gradient)
    return gradient

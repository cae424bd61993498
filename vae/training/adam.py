"""Adam over stacked weights: torch's fused kernel through its functional form.

The same numbers as ``torch.optim.Adam(fused=True)``. That class is made for one model and a step of milliseconds; its
bookkeeping would be a twentieth of a step here. Kingma & Ba (2015); weight decay is added to the gradient, as in
``torch.optim.Adam``, and unlike in AdamW.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim.adam import adam

from vae.training.settings import Training

BETAS = (0.9, 0.999)  # torch's, and the paper's


class Adam:
    """Steps leaves (arms, *shape) by their ``grad``. Every operation is elementwise, so no arm feels another."""

    def __init__(self, leaves: Sequence[Tensor], training: Training) -> None:
        self._leaves, self._training = list(leaves), training
        self._first = [torch.zeros_like(leaf) for leaf in leaves]
        self._second = [torch.zeros_like(leaf) for leaf in leaves]
        self._steps = [torch.zeros((), device=leaf.device) for leaf in leaves]

    @torch.no_grad()
    def step(self) -> None:
        """Leaves without a gradient, which their model does not use, stay as they are.

        >>> leaf = torch.zeros(2, 3)
        >>> leaf.grad = torch.tensor([[1.0], [-5.0]]).expand(2, 3)
        >>> Adam([leaf], Training(learning_rate=0.1)).step()
        >>> leaf[:, 0]
        tensor([-0.1000,  0.1000])
        """
        used = [i for i, leaf in enumerate(self._leaves) if leaf.grad is not None]
        # The kernel reads memory as it lies, whatever the strides say.
        gradients = [leaf.grad.contiguous() for leaf in self._leaves if leaf.grad is not None]
        leaves, first, second, steps = (
            [values[i] for i in used] for values in (self._leaves, self._first, self._second, self._steps)
        )
        adam(
            leaves,
            gradients,
            first,
            second,
            [],
            steps,
            fused=True,
            amsgrad=False,
            maximize=False,
            beta1=BETAS[0],
            beta2=BETAS[1],
            lr=self._training.learning_rate,
            weight_decay=self._training.weight_decay,
            eps=self._training.adam_eps,
        )

    @torch.no_grad()
    def forget(self, arm: int) -> None:
        """Set an arm and its moments to zero; with gradients of zero it stays there."""
        for leaf, first, second in zip(self._leaves, self._first, self._second):
            leaf[arm] = first[arm] = second[arm] = 0

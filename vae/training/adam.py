"""Adam over stacked weights: torch's fused kernel through its functional form, with the settings of each arm.

The same numbers as ``torch.optim.Adam(fused=True)``, whose bookkeeping would be a twentieth of a step here. Kingma & Ba
(2015); weight decay is added to the gradient, unlike in AdamW.

The kernel takes one learning rate. Neighbouring arms with equal settings are stepped by one call on their slice of the
leaves, so a stack whose arms share their settings costs one call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim.adam import adam

from vae.training.autograd import runs
from vae.training.settings import Training

BETAS = (0.9, 0.999)  # torch's, and the paper's


@dataclass(frozen=True)
class Settings:
    """What the kernel takes besides the tensors."""

    lr: float
    weight_decay: float
    eps: float

    @classmethod
    def of(cls, training: Training) -> Settings:
        return cls(training.learning_rate, training.weight_decay, training.adam_eps)


class Adam:
    """Steps leaves (arms, *shape) by their ``grad``. Every operation is elementwise: arms do not influence each other.

    training: of each arm.
    """

    def __init__(self, leaves: Sequence[Tensor], training: Sequence[Training]) -> None:
        self._leaves = list(leaves)
        self._runs = runs(Settings.of(settings) for settings in training)
        self._first = [torch.zeros_like(leaf) for leaf in leaves]
        self._second = [torch.zeros_like(leaf) for leaf in leaves]
        self._steps = [[torch.zeros((), device=leaf.device) for leaf in leaves] for _ in self._runs]

    @torch.no_grad()
    def step(self) -> None:
        """Leaves without a gradient, which their model does not use, stay as they are.

        >>> leaf = torch.zeros(2, 3)
        >>> leaf.grad = torch.tensor([[1.0], [-5.0]]).expand(2, 3)
        >>> Adam([leaf], [Training(learning_rate=0.1), Training(learning_rate=0.2)]).step()
        >>> leaf[:, 0]
        tensor([-0.1000,  0.2000])
        """
        used = [i for i, leaf in enumerate(self._leaves) if leaf.grad is not None]
        # The kernel reads memory in its order and ignores strides.
        gradients = [leaf.grad.contiguous() for leaf in self._leaves if leaf.grad is not None]
        for (settings, arms), steps in zip(self._runs, self._steps):
            adam(
                [self._leaves[i][arms] for i in used],
                [gradient[arms] for gradient in gradients],
                [self._first[i][arms] for i in used],
                [self._second[i][arms] for i in used],
                [],
                [steps[i] for i in used],
                fused=True,
                amsgrad=False,
                maximize=False,
                beta1=BETAS[0],
                beta2=BETAS[1],
                lr=settings.lr,
                weight_decay=settings.weight_decay,
                eps=settings.eps,
            )

    def state(self) -> dict[str, list[Tensor]]:
        """What it holds besides the leaves: both moments, as they are, and the steps (arms,) of each leaf, copied."""
        counts = [
            torch.cat([steps[i].expand(arms.stop - arms.start) for (_, arms), steps in self._by_run()]).cpu()
            for i in range(len(self._leaves))
        ]
        return {"first": self._first, "second": self._second, "steps": counts}

    @torch.no_grad()
    def count_from(self, steps: Sequence[Tensor]) -> None:
        """Go on counting from these steps, (arms,) of each leaf. Arms of equal settings have made as many."""
        for (_, arms), counts in self._by_run():
            for count, made in zip(counts, steps):
                count.fill_(float(made[arms.start]))

    def _by_run(self) -> list[tuple[tuple[Settings, slice], list[Tensor]]]:
        return list(zip(self._runs, self._steps))

    @torch.no_grad()
    def freeze(self, arm: int) -> None:
        """Set an arm and its moments to zero; with gradients of zero it stays there."""
        for leaf, first, second in zip(self._leaves, self._first, self._second):
            leaf[arm] = first[arm] = second[arm] = 0

"""A stack: models of one seed and one shape, their weights side by side along a leading axis, trained as one.

Losses, reductions, betas and posteriors differ per arm as *values*; the network does not. Every arm starts from
the same weights and sees the same images and noise, so a difference between arms is a difference of objectives.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from vae import streams
from vae.errors import UserError
from vae.objectives import POSTERIORS, Objective


@dataclass
class Stack:
    """Arms that train together.

    template: one model; its weights are the arms' common start. objectives: one per arm.
    parameters: name -> (arms, *shape). dataset, seed: the name of the random streams.
    diverged: arm -> (epoch, step) at which its numbers stopped being finite; such an arm is frozen.
    """

    template: nn.Module
    objectives: tuple[Objective, ...]
    dataset: str
    seed: int
    parameters: dict[str, Tensor]
    init_hash: str
    diverged: dict[int, tuple[int, int]] = field(default_factory=dict)

    @classmethod
    def create(
        cls,
        build: Callable[[], nn.Module],
        objectives: Sequence[Objective],
        *,
        dataset: str,
        seed: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> Stack:
        """A stack of fresh models. ``build`` makes one; its layers draw from the stream (dataset, seed, "weights").

        >>> from vae.models import VAE
        >>> arms = [Objective("bce"), Objective("mae", beta=2)]
        >>> stack = Stack.create(lambda: VAE((8, 8), 2, hidden=(4,)), arms, dataset="digits", seed=0)
        >>> stack.parameters["mean.weight"].shape
        torch.Size([2, 2, 4])
        """
        if not objectives:
            raise UserError("objectives=() must hold at least one arm")
        with streams.ambient(dataset, seed, "weights"):
            template = build()
        init_hash = streams.fingerprint(dict(template.named_parameters()))
        template = template.to(device=device, dtype=dtype).requires_grad_(False)
        parameters = {
            name: value.detach().expand(len(objectives), *value.shape).clone()
            for name, value in template.named_parameters()
        }
        return cls(template, tuple(objectives), dataset, seed, parameters, init_hash)

    @property
    def arms(self) -> int:
        return len(self.objectives)

    @property
    def latents(self) -> int:
        return int(self.template.latents)  # type: ignore[arg-type]

    @property
    def classes(self) -> int:
        return int(self.template.classes)  # type: ignore[arg-type]

    @property
    def image_shape(self) -> tuple[int, ...]:
        return tuple(self.template.image_shape)  # type: ignore[arg-type]

    @property
    def device(self) -> torch.device:
        return next(iter(self.parameters.values())).device

    @property
    def dtype(self) -> torch.dtype:
        return next(iter(self.parameters.values())).dtype

    def module(self, arm: int) -> nn.Module:
        """The model of one arm as an ordinary module, on its own memory, ready to use alone."""
        model = copy.deepcopy(self.template)
        model.load_state_dict({name: value[arm] for name, value in self.parameters.items()}, strict=False)
        return model.requires_grad_(True)

    def state(self, arm: int) -> Mapping[str, Tensor]:
        """The weights of one arm, by name: views, not copies."""
        return {name: value[arm] for name, value in self.parameters.items()}

    def select(self, arms: Sequence[int]) -> Stack:
        """Some of the arms as a stack of its own, on its own memory, ready to train in another thread."""
        return Stack(
            copy.deepcopy(self.template),  # a functional call puts other weights into its module while it runs
            tuple(self.objectives[arm] for arm in arms),
            self.dataset,
            self.seed,
            {name: value.detach()[list(arms)] for name, value in self.parameters.items()},
            self.init_hash,
            {i: self.diverged[arm] for i, arm in enumerate(arms) if arm in self.diverged},
        )

    def column(self, values: Sequence[float]) -> Tensor:
        """One number per arm as an (arms, 1, 1) tensor that multiplies (arms, images, anything)."""
        return torch.tensor(values, dtype=self.dtype, device=self.device)[:, None, None]

    def spread_factors(self) -> tuple[Tensor, Tensor]:
        """Per arm, (arms, 1, 1): what multiplies the spread in ln(std), and in the log variance that KL reads."""
        posteriors = [POSTERIORS[objective.posterior] for objective in self.objectives]
        return self.column([p.std_factor for p in posteriors]), self.column([p.kl_factor for p in posteriors])

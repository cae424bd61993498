"""A stack: models of one seed and one shape, their weights side by side along a leading axis, trained as one.

Arms of a stack differ in objective and optimiser settings, which are *values*; the network is the same. Every arm
starts from the same weights and gets the same images and noise, so a difference between arms is one of settings.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd as Dropout

from vae import streams
from vae.arms import Arm, varied
from vae.errors import UserError
from vae.posteriors import POSTERIORS, USUAL, OwnPosterior
from vae.training.settings import Training


@dataclass
class Stack:
    """Arms that train together.

    template: one model; its weights are the arms' common start. arms: what each minimises, and how it is trained.
    parameters: name -> (arms, *shape). dataset, seed: the name of the random streams.
    diverged: arm -> (epoch, step) at which its numbers stopped being finite; such an arm is frozen.
    """

    template: nn.Module
    arms: tuple[Arm, ...]
    dataset: str
    seed: int
    parameters: dict[str, Tensor]
    init_hash: str
    diverged: dict[int, tuple[int, int]] = field(default_factory=dict)

    @classmethod
    def create(
        cls,
        build: Callable[[], nn.Module],
        arms: Sequence[Arm],
        *,
        dataset: str,
        seed: int,
        device: torch.device | str = "cpu",
    ) -> Stack:
        """A stack of fresh models. ``build`` makes one; its layers draw from the stream (dataset, seed, "weights").

        Raises UserError for arms that cannot share a stack, and for a model that holds more than weights.

        >>> from vae.models import VAE
        >>> arms = [Arm("bce"), Arm("mae", beta=2)]
        >>> stack = Stack.create(lambda: VAE((8, 8), 2, hidden=(4,)), arms, dataset="digits", seed=0)
        >>> stack.parameters["mean.weight"].shape
        torch.Size([2, 2, 4])
        """
        _check_arms(arms)
        with streams.ambient(dataset, seed, "weights"):
            template = build()
        check_stackable(template)
        _check_posteriors(template, arms)
        init_hash = streams.fingerprint(dict(template.named_parameters()))
        template = template.to(device=device, dtype=arms[0].training.dtype).requires_grad_(False)
        parameters = {
            name: value.detach().expand(len(arms), *value.shape).clone()  # (arms, *shape)
            for name, value in template.named_parameters()
        }
        return cls(template, tuple(arms), dataset, seed, parameters, init_hash)

    def __len__(self) -> int:
        return len(self.arms)

    @property
    def training(self) -> Training:
        """The settings that the arms share; those of the optimiser are the first arm's."""
        return self.arms[0].training

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
            tuple(self.arms[arm] for arm in arms),
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
        """The two factors of each arm's Gaussian posterior, (arms, 1, 1) each; see `vae.posteriors`."""
        readings = [POSTERIORS[arm.posterior] for arm in self.arms]
        std = self.column([reading.std_factor for reading in readings])
        return std, self.column([reading.kl_factor for reading in readings])


def _check_arms(arms: Sequence[Arm]) -> None:
    if not arms:
        raise UserError("arms=() must hold at least one arm")
    if len({arm.shape for arm in arms}) > 1:
        differing = [name for name in varied(arms) if name in dict(arms[0].shape)]
        raise UserError(f"arms differ in {differing}: arms of different shapes form stacks of their own")


def _check_posteriors(template: nn.Module, arms: Sequence[Arm]) -> None:
    other = next((arm.posterior for arm in arms if arm.posterior != USUAL), None)
    if other is not None and isinstance(template, OwnPosterior):
        raise UserError(
            f"posterior={other!r} says how the spread of a Gaussian is read, and "
            f"model {type(template).__name__} has its own posterior: leave it out"
        )


def check_stackable(template: nn.Module) -> None:
    """Raises UserError for a model whose state is more than its weights, or that draws from an ambient stream.

    Buffers (BatchNorm's running means, for example) are not stacked: arms would share one copy. Dropout draws noise
    that belongs to no named stream, so an arm would not train the same alone and in a stack.
    """
    buffers = [name for name, _ in template.named_buffers()]
    if buffers:
        raise UserError(
            f"model {type(template).__name__} has buffers {buffers[:3]}, which arms of a stack would share: "
            "a stack holds weights only. Use GroupNorm or LayerNorm in place of BatchNorm"
        )
    if any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in template.modules()):
        raise UserError(
            f"model {type(template).__name__} has BatchNorm, whose outputs depend on which images share a batch: "
            "use GroupNorm or LayerNorm in its place"
        )
    dropout = next((name for name, module in template.named_modules() if isinstance(module, Dropout)), None)
    if dropout is not None:
        raise UserError(
            f"model {type(template).__name__} has a dropout layer {dropout!r}, whose noise belongs to no named stream: "
            "leave it out"
        )

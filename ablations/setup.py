"""What all cells of a study share while they are trained and measured: study, images, metrics and device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from ablations.evaluation import Evaluator
from ablations.grid import Cell
from ablations.options import check_device
from ablations.study import Study
from vae.arms import Arm
from vae.building import build, rebuilt
from vae.datasets.load import ImageData
from vae.errors import UserError
from vae.training.stack import Stack


@dataclass(frozen=True)
class Setup:
    """One study, ready to train and measure on one device."""

    study: Study
    images: ImageData
    evaluator: Evaluator
    device: torch.device

    @classmethod
    def of(cls, study: Study, images: ImageData, device: torch.device, *, cache: Path) -> Setup:
        """cache: where the classifier is kept between runs."""
        return cls(study, images, Evaluator(images, study.evaluation, cache=cache, device=device), device)

    def model(self, arm: Arm) -> nn.Module:
        """One fresh model of an arm."""
        return build(arm, self.images.image_shape, self.images.n_classes)

    def loaded(self, arm: Arm, state: Mapping[str, Tensor]) -> nn.Module:
        """The model of an arm with these weights, on the device. Raises RuntimeError for weights of another model."""
        return rebuilt(arm, self.images.image_shape, self.images.n_classes, state).to(self.device)

    def new_stack(self, cells: Sequence[Cell]) -> Stack:
        """The cells of one seed and one shape as a stack of fresh models."""
        return Stack.create(
            partial(self.model, cells[0].arm),
            [cell.arm for cell in cells],
            dataset=self.images.name,
            seed=cells[0].seed,
            device=self.device,
        )


def device_named(name: str) -> torch.device:
    """``auto``, ``cpu`` or ``cuda`` as a device that is there.

    >>> device_named("cpu")
    device(type='cpu')
    """
    check_device(name)
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: torch sees no CUDA device here; use --device cpu, or auto")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")

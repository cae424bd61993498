"""How much memory a stack takes at its peak, how much there is, and so how many arms one stack may hold.

A prediction, made before anything is allocated, from the sizes of one model:

    weights      each arm's twice (the stack's own and its block's), and Adam's two moments
    gradients    of the blocks that run at the same time, with what one batch leaves behind for its backward pass
    data         the images in an epoch's order, and once more where the stack has another device or type; noise
    measuring    logits of all arms for a few hundred test images at a time, after every epoch

It is meant to be right within a factor of two, and a stack is given half of what is free, so that a study that is too
large for one stack is cut and never killed.
"""

from __future__ import annotations

import copy
import os
from pathlib import Path

import torch
from torch import Tensor, nn

from vae.blocks import weights_of, width_of
from vae.data import ImageData
from vae.errors import UserError
from vae.settings import Training

SHARE = 0.5  # of what is free: other programs live here too
MEASURED_AT_ONCE = 500  # test images in one forward pass of all arms
TEMPORARIES = 3  # tensors of the size of a batch's activations that live at the same time as those
LIBRARIES = 32 * 2**20  # what torch's routines set aside for themselves at their first call
LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
USES = ("/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory/memory.usage_in_bytes")


def stack_bytes(
    template: nn.Module, arms: int, images: ImageData, training: Training, *, device: torch.device | str = "cpu"
) -> int:
    """Bytes that training a stack adds at its peak.

    template: one model, built for these images. arms: how many of it. Linear in the arms, but for rounding.

    >>> from vae import VAE, load
    >>> digits = load("digits")
    >>> one, ten = (stack_bytes(VAE((8, 8), 8), arms, digits, Training()) for arms in (1, 10))
    >>> one < ten < 10 * one
    True
    """
    device, itemsize = torch.device(device), training.dtype.itemsize
    weights = weights_of(template) * itemsize
    activations = activation_bytes(template, training.dtype)
    together = _running(template, arms, training.precision, device)
    rounded = 2 if training.precision == "bfloat16" else 1  # copies of weights and gradients at half their size
    working = together * (rounded * weights + TEMPORARIES * training.batch_size * activations)
    pixels = images.train[0].numel()
    measuring = arms * MEASURED_AT_ONCE * itemsize * TEMPORARIES * pixels
    data = _data_bytes(template, images, training, device)
    return LIBRARIES + 4 * arms * weights + max(working, measuring) + data


def arms_that_fit(
    template: nn.Module, images: ImageData, training: Training, *, device: torch.device | str = "cpu"
) -> int:
    """The largest stack whose predicted peak is at most half of the device's free memory.

    Raises UserError where not even one arm is.

    >>> from vae import VAE, load
    >>> arms_that_fit(VAE((8, 8), 8), load("digits"), Training()) > 36
    True
    """
    free = free_bytes(device)
    budget = int(SHARE * free)
    fixed = stack_bytes(template, 0, images, training, device=device)
    each = max(1, stack_bytes(template, 1, images, training, device=device) - fixed)
    if budget < fixed + each:
        raise UserError(
            f"one arm of this model needs about {_mebibytes(fixed + each)} to train, and half of the memory that is "
            f"free on {torch.device(device).type} is {_mebibytes(budget)}: lower batch_size, use fewer images, or a "
            f"smaller model"
        )
    return (budget - fixed) // each


def free_bytes(device: torch.device | str = "cpu") -> int:
    """What a new allocation can have: by the GPU's own count, or the machine's within its container's limit."""
    device = torch.device(device)
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    limits = [limit - (_number(use) or 0) for where, use in zip(LIMITS, USES) if (limit := _number(where)) is not None]
    return max(0, min([_machine_bytes(), *limits]))


def activation_bytes(template: nn.Module, dtype: torch.dtype) -> int:
    """What the forward pass of one image keeps for its backward pass, measured on two images: bytes per image."""
    model = copy.deepcopy(template).to(device="cpu", dtype=dtype).requires_grad_(True)
    owned = {value.data_ptr() for value in model.parameters()}
    kept: dict[int, int] = {}

    def keep(value: Tensor) -> Tensor:
        if value.untyped_storage().data_ptr() not in owned:
            kept[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
        return value

    shape, classes = tuple(model.image_shape), int(model.classes)  # type: ignore[arg-type]
    labels = torch.zeros(2, dtype=torch.int64) if classes else None
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        mean, spread = model.encode(torch.zeros(2, *shape, dtype=dtype), labels)  # type: ignore[operator]
        logits = model.decode(mean + torch.exp(spread), labels)  # type: ignore[operator]
    return (sum(kept.values()) + int(logits.nbytes)) // 2


def _running(template: nn.Module, arms: int, precision: str, device: torch.device) -> int:
    """Arms that train at the same moment."""
    if device.type != "cpu":
        return arms
    return min(arms, torch.get_num_threads() * width_of(template, arms, precision))


def _data_bytes(template: nn.Module, images: ImageData, training: Training, device: torch.device) -> int:
    copied = device.type != "cpu" or images.train.dtype != training.dtype
    latents = int(template.latents)  # type: ignore[arg-type]
    pixels = images.train.numel() * training.dtype.itemsize * (2 if copied else 1)
    return pixels + len(images.train) * (8 + 2 * latents * training.dtype.itemsize)


def _machine_bytes() -> int:
    """Linux says how much it could free for a newcomer; elsewhere, half of what is built in."""
    try:
        fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _number(path: str) -> int | None:
    try:
        return int(Path(path).read_text())
    except (OSError, ValueError):  # no such limit, or "max"
        return None


def _mebibytes(count: int) -> str:
    return f"{count / 2**20:,.0f} MiB"

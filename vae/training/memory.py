"""How much memory a stack takes at its peak, how much there is, and so how many arms one stack may hold.

A prediction, made before anything is allocated, from the sizes of one model:

    weights      each arm's twice (the stack's own and its block's), and Adam's two moments
    gradients    of the blocks that run at the same time, with what one batch leaves behind for its backward pass
    data         the images in an epoch's order, and once more where the stack has another device or type; noise
    scores       the widest activation of all arms for a few hundred test images at a time, after every epoch
    measuring    of one cell after the other once all are trained, and on fewer images between some epochs: given by
                 the caller, which knows the metrics

It is right within a factor of two, and a stack gets half of what is free, so that a study that is too large for one
stack is cut and never killed.
"""

from __future__ import annotations

import copy
import os
from bisect import bisect_right
from pathlib import Path

import torch
from torch import Tensor, nn

from vae.datasets.load import ImageData
from vae.errors import UserError
from vae.posteriors import USUAL, posterior_of
from vae.training.blocks import weights_of, width_of
from vae.training.settings import Training

SHARE = 0.5  # of what is free: other programs need memory too
SCORED_AT_ONCE = 500  # test images in one forward pass of all arms
TEMPORARIES = 3  # tensors of the size of a batch's activations that live at the same time as those
LIBRARIES = 32 * 2**20  # what torch's routines set aside for themselves at their first call
LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
USES = ("/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory/memory.usage_in_bytes")
# Of what is in use, the pages of files that the system frees as soon as memory is needed.
CACHES = (
    ("/sys/fs/cgroup/memory.stat", "inactive_file"),
    ("/sys/fs/cgroup/memory/memory.stat", "total_inactive_file"),
)


def stack_bytes(
    template: nn.Module,
    arms: int,
    images: ImageData,
    training: Training,
    *,
    device: torch.device | str = "cpu",
    measuring: int = 0,
    between: int = 0,
) -> int:
    """Bytes that training a stack and measuring its cells adds at its peak; never falls as arms are added.

    template: one model, built for these images. measuring: what measuring one cell adds to weights that are trained.
    between: what measuring one cell adds between two epochs, beside all that training holds.

    >>> from vae import VAE, load
    >>> digits = load("digits")
    >>> one, ten = (stack_bytes(VAE((8, 8), 8), arms, digits, Training()) for arms in (1, 10))
    >>> one < ten < 10 * one
    True
    """
    device, itemsize = torch.device(device), training.dtype.itemsize
    weights = weights_of(template) * itemsize
    activations = activation_bytes(template, training.dtype)
    together = arms  # that train at the same moment
    if device.type == "cpu":
        together = min(arms, torch.get_num_threads() * width_of(template, arms, training.precision))
    rounded = 2 if training.precision == "bfloat16" else 1  # copies of weights and gradients at half their size
    working = together * (rounded * weights + TEMPORARIES * training.batch_size * activations)
    pixels = images.train[0].numel()
    side_by_side = 1 if device.type == "cpu" and getattr(template, "alone_on_cpu", False) else arms
    widest = max(arms * pixels * itemsize, side_by_side * widest_bytes(template, training.dtype))
    scores = SCORED_AT_ONCE * TEMPORARIES * widest if arms else 0
    data = _data_bytes(template, images, training, device)
    trained = 2 * arms * weights  # the stack's, and the copies of what is kept
    return LIBRARIES + max(4 * arms * weights + max(working, scores, between) + data, trained + measuring)


def arms_that_fit(
    template: nn.Module,
    images: ImageData,
    training: Training,
    *,
    device: torch.device | str = "cpu",
    measuring: int = 0,
    between: int = 0,
) -> int:
    """The largest stack whose predicted peak is at most half of the device's free memory.

    measuring, between: as for `stack_bytes`. Raises UserError where not even one arm is.

    >>> from vae import VAE, load
    >>> arms_that_fit(VAE((8, 8), 8), load("digits"), Training()) > 36
    True
    """
    budget = int(SHARE * free_bytes(device))

    def needs(arms: int) -> int:
        return stack_bytes(template, arms, images, training, device=device, measuring=measuring, between=between)

    if (one := needs(1)) > budget:
        raise UserError(
            f"one arm of this model needs about {_mebibytes(one)} to train and measure, and half of the memory that "
            f"is free on {torch.device(device).type} is {_mebibytes(budget)}: lower batch_size, use fewer images, or "
            f"a smaller model"
        )
    most = budget // (4 * weights_of(template) * training.dtype.itemsize)
    return bisect_right(range(1, most + 1), budget, key=needs)


def free_bytes(device: torch.device | str = "cpu") -> int:
    """What a new allocation can have: by the GPU's own count, or the machine's within its container's limit."""
    device = torch.device(device)
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    limits = [
        limit - max(0, (_number(use) or 0) - _reclaimable(*cache))
        for where, use, cache in zip(LIMITS, USES, CACHES)
        if (limit := _number(where)) is not None
    ]
    return max(0, min([_machine_bytes(), *limits]))


def activation_bytes(template: nn.Module, dtype: torch.dtype) -> int:
    """What the forward pass of one image keeps for its backward pass, measured on two images: bytes per image."""
    return sum(_activations(template, dtype)) // 2


def widest_bytes(template: nn.Module, dtype: torch.dtype) -> int:
    """The largest of these tensors: a forward pass without gradients holds a few of its size, and no others."""
    return max(_activations(template, dtype)) // 2


def _activations(template: nn.Module, dtype: torch.dtype) -> list[int]:
    """Bytes of each tensor that the forward pass of two images keeps, and of the logits."""
    model = copy.deepcopy(template).to(device="cpu", dtype=dtype).requires_grad_(True)
    owned = {value.data_ptr() for value in model.parameters()}
    kept: dict[int, int] = {}

    def keep(value: Tensor) -> Tensor:
        if value.untyped_storage().data_ptr() not in owned:
            kept[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
        return value

    shape, classes = tuple(model.image_shape), int(model.classes)  # type: ignore[arg-type]
    labels = torch.zeros(2, dtype=torch.int64) if classes else None
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        outputs = model.encode(torch.zeros(2, *shape, dtype=dtype), labels)  # type: ignore[operator]
        noise = torch.zeros(2, int(model.latents), dtype=dtype)  # type: ignore[arg-type]
        code = posterior_of(model, USUAL).sample(outputs, noise)  # (2, latents)
        logits = model.decode(code, labels)  # type: ignore[operator]
    return [*kept.values(), int(logits.nbytes)]


def _data_bytes(template: nn.Module, images: ImageData, training: Training, device: torch.device) -> int:
    copied = device.type != "cpu" or images.train.dtype != training.dtype
    latents = int(template.latents)  # type: ignore[arg-type]
    pixels = images.train.numel() * training.dtype.itemsize * (2 if copied else 1)
    return pixels + len(images.train) * (8 + 2 * latents * training.dtype.itemsize)


def _machine_bytes() -> int:
    """What a new program could have, as Linux estimates it; elsewhere, half of what is built in."""
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


def _reclaimable(path: str, field: str) -> int:
    """The number beside a field of a container's statistics; 0 where there is none."""
    try:
        return int(dict(line.split() for line in Path(path).read_text().splitlines())[field])
    except (OSError, ValueError, KeyError):
        return 0


def _mebibytes(count: int) -> str:
    return f"{count / 2**20:,.0f} MiB"

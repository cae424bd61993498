"""Named random streams: every draw belongs to (dataset, seed, purpose) and to nothing else.

All arms of one seed therefore have the same initial weights, batch order and noise, whatever else is in the grid and
on whatever device: their differences are *paired*. A purpose carries its epoch in its name (``order/3``), so a run
resumed at epoch 3 draws what an uninterrupted run would have drawn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor


def stream_seed(dataset: str, seed: int, purpose: str) -> int:
    """The 63-bit integer that starts a stream: the first bytes of a SHA-256 of its name.

    >>> stream_seed("digits", 0, "weights") == stream_seed("digits", 1, "weights")
    False
    """
    name = f"{dataset}\x00{seed}\x00{purpose}".encode()
    return int.from_bytes(hashlib.sha256(name).digest()[:8], "big") >> 1


def generator(dataset: str, seed: int, purpose: str) -> torch.Generator:
    """A CPU generator at the start of a stream. Draw on the CPU and move: a GPU would draw other numbers.

    >>> torch.rand(2, generator=generator("digits", 0, "noise/1")).shape
    torch.Size([2])
    """
    return torch.Generator().manual_seed(stream_seed(dataset, seed, purpose))


@contextmanager
def ambient(dataset: str, seed: int, purpose: str) -> Iterator[None]:
    """Makes this stream torch's global one inside the block: for layers, which draw from it.

    >>> with ambient("digits", 0, "weights"):
    ...     first = torch.nn.Linear(2, 3).weight
    >>> with ambient("digits", 0, "weights"):
    ...     bool((torch.nn.Linear(2, 3).weight == first).all())
    True
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(dataset, seed, purpose))
        yield


def fingerprint(tensors: Mapping[str, Tensor] | Tensor) -> str:
    """16 hexadecimal digits of the SHA-256 of tensors, with their names, shapes and types."""
    named = tensors if isinstance(tensors, Mapping) else {"": tensors}
    digest = hashlib.sha256()
    for name in sorted(named):
        value = named[name].detach().cpu().contiguous()
        digest.update(f"{name}|{tuple(value.shape)}|{value.dtype}|".encode())
        digest.update(value.view(torch.uint8).numpy().tobytes() if value.ndim else str(value.item()).encode())
    return digest.hexdigest()[:16]

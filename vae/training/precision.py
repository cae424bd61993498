"""What a GPU may round in products of float32: TF32 while a stack trains, nothing while it is measured.

torch keeps three switches for it, for the whole process: matrix products, cuDNN's convolutions (in TF32 by
default), and whether sums of bfloat16 products may be kept in bfloat16 (which ours never are). Each context
restores them; on a CPU nothing is touched.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch


def tensor_cores(device: torch.device) -> AbstractContextManager[None]:
    """For training: float32 products and convolutions in TF32, 10 bits of each factor and sums in float32.

    >>> with tensor_cores(torch.device("cpu")):
    ...     torch.get_float32_matmul_precision()
    'highest'
    """
    return _switched(device, tf32=True)


def exact_products(device: torch.device) -> AbstractContextManager[None]:
    """For measuring: all of float32 everywhere."""
    return _switched(device, tf32=False)


@contextmanager
def _switched(device: torch.device, *, tf32: bool) -> Iterator[None]:
    if device.type != "cuda":
        yield
        return
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    products, convolutions = torch.get_float32_matmul_precision(), cudnn.allow_tf32
    bfloat16_sums = matmul.allow_bf16_reduced_precision_reduction
    try:
        torch.set_float32_matmul_precision("high" if tf32 else "highest")
        cudnn.allow_tf32, matmul.allow_bf16_reduced_precision_reduction = tf32, False
        yield
    finally:
        torch.set_float32_matmul_precision(products)
        cudnn.allow_tf32, matmul.allow_bf16_reduced_precision_reduction = convolutions, bfloat16_sums

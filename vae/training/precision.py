"""What a GPU may round in products of float32: TF32 while a stack trains, nothing while it is measured.

torch keeps three switches for it, for the whole process: matrix products, cuDNN's convolutions (which take TF32 unless
told otherwise), and whether sums of bfloat16 products may be kept in bfloat16 (which ours never are). Each block
leaves them as it found them; on a CPU there are none, and nothing is touched.
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
    before = (
        torch.get_float32_matmul_precision(),
        cudnn.allow_tf32,
        matmul.allow_bf16_reduced_precision_reduction,
    )
    try:
        _switch("high" if tf32 else "highest", tf32, False)
        yield
    finally:
        _switch(*before)


def _switch(products: str, convolutions: bool, bfloat16_sums: bool) -> None:
    torch.set_float32_matmul_precision(products)
    torch.backends.cudnn.allow_tf32 = convolutions
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = bfloat16_sums

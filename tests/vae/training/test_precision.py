"""What a GPU may round, and when: torch's switches, which are there without a GPU too."""

from __future__ import annotations

import pytest
import torch

from vae.training.precision import exact_products, tensor_cores

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def switches() -> tuple[str, bool, bool]:
    matmul = torch.backends.cuda.matmul
    return (
        torch.get_float32_matmul_precision(),
        torch.backends.cudnn.allow_tf32,
        matmul.allow_bf16_reduced_precision_reduction,
    )


def test_training_takes_tensor_cores_and_measuring_none_and_both_leave_what_they_found() -> None:
    before = switches()
    with tensor_cores(GPU):
        assert switches() == ("high", True, False)
        with exact_products(GPU):
            assert switches() == ("highest", False, False)
        assert switches() == ("high", True, False)
    assert switches() == before


@pytest.mark.parametrize("block", [tensor_cores, exact_products])
def test_what_fails_inside_leaves_them_too(block) -> None:
    before = switches()
    with pytest.raises(RuntimeError), block(GPU):
        raise RuntimeError
    assert switches() == before


@pytest.mark.parametrize("block", [tensor_cores, exact_products])
def test_a_cpu_has_none(block) -> None:
    before = switches()
    with block(CPU):
        assert switches() == before

"""Affine layers by hand: each routine against autograd on the same layer."""

from __future__ import annotations

import pytest
import torch

from vae.training import layers
from vae.training.layers import Affine, BFloat16Affine, OneDNNAffine, affine

IMAGES, INPUTS, OUTPUTS = 6, 5, 7


def tensors(arms: int, dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    source = torch.Generator().manual_seed(arms)
    shapes = [(arms, OUTPUTS, INPUTS), (arms, OUTPUTS), (arms, IMAGES, INPUTS), (arms, IMAGES, OUTPUTS)]
    return tuple(torch.randn(shape, generator=source, dtype=dtype) for shape in shapes)


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize(
    ("arms", "dtype", "precision", "tolerance"),
    [
        (3, torch.float64, "float64", 1e-12),
        (1, torch.float64, "float64", 1e-12),
        (3, torch.float32, "float32", 1e-5),
        (1, torch.float32, "float32", 1e-5),
        (3, torch.float32, "bfloat16", 0.05),
        (1, torch.float32, "bfloat16", 0.05),
    ],
)
def test_a_layer_is_what_autograd_says(
    arms: int, dtype: torch.dtype, precision: str, tolerance: float, relu: bool
) -> None:
    weight, bias, inputs, gradient = tensors(arms, dtype)
    leaves = [value.clone().requires_grad_(True) for value in (weight, bias, inputs)]
    expected = torch.baddbmm(leaves[1].unsqueeze(1), leaves[2], leaves[0].mT)
    expected = expected.relu() if relu else expected
    expected.backward(gradient)
    layer = affine(weight, precision)(weight, bias, torch.empty_like(bias), relu=relu)
    outputs = layer.forward(inputs)
    to_inputs = layer.backward(gradient.clone())
    actual = (outputs.to(dtype), layer.weight.grad, layer.bias_gradient, to_inputs.to(dtype))
    torch.testing.assert_close(
        actual, (expected.detach(), *(leaf.grad for leaf in leaves)), rtol=tolerance, atol=4 * tolerance
    )


def test_the_routine_follows_the_precision_the_arms_and_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    def kind(arms: int, dtype: torch.dtype, precision: str) -> type[Affine]:
        return affine(tensors(arms, dtype)[0], precision)

    monkeypatch.setattr(layers, "has_onednn", lambda device: True)
    assert kind(1, torch.float32, "float32") is OneDNNAffine
    assert kind(2, torch.float32, "float32") is Affine
    assert kind(1, torch.float64, "float64") is Affine
    assert kind(1, torch.float32, "bfloat16") is BFloat16Affine
    monkeypatch.setattr(layers, "has_onednn", lambda device: False)
    assert kind(1, torch.float32, "float32") is Affine


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_first_layer_computes_no_gradient_of_its_inputs(precision: str) -> None:
    weight, bias, inputs, gradient = tensors(1, torch.float32)
    layer = affine(weight, precision)(weight, bias, torch.empty_like(bias), relu=False, first=True)
    layer.forward(inputs)
    assert layer.backward(gradient) is gradient


def test_memory_is_kept_between_steps_and_given_back_when_asked() -> None:
    weight, bias, inputs, gradient = tensors(2, torch.float64)
    layer = Affine(weight, bias, torch.empty_like(bias), relu=True)
    first = layer.forward(inputs).data_ptr()
    layer.backward(gradient)
    assert layer.forward(inputs).data_ptr() == first
    layer.release()
    assert layer.weight.grad is None

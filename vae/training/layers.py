"""Affine layers of k arms side by side, forward and backward by hand, in the precision and by the routine that suit.

    y = [relu](h Wᵀ + b)        h (k, images, in), W (k, out, in), b (k, out)
    from dL/dy, masked where the ReLU gave 0:   dL/dW = dyᵀ h,   dL/db = Σ_images dy,   dL/dh = dy W

Results go into memory that a layer keeps: allocating it takes longer than adding. `affine` picks among

    Affine          torch.bmm, any type and device
    OneDNNAffine    float32, one arm, a CPU with AVX-512: oneDNN's inner product, where torch.bmm takes the older
                    instructions that MKL uses on processors that are not Intel's (2.3 against 4.4 ms a step here)
    BFloat16Affine  both operands of every product rounded to bfloat16, products summed in float32, and the result (with
                    the bias, rounded too) rounded to bfloat16 once more: activations, logits, the gradients of weights
                    and of inputs. Losses, rates, sums of gradients over images, the optimiser and the weights it keeps
                    are float32
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

# One product with bias and ReLU fused in, as torch.compile calls it. It is not public in torch, hence the check.
_ONEDNN = getattr(torch.ops.mkldnn, "_linear_pointwise", None)


class Affine:
    """One layer. ``forward`` keeps what ``backward`` needs; ``backward`` sets the gradients of weight and bias:
    ``weight.grad``, that of the bias in the given tensor, (k, out).

    relu: whether the layer ends in one. first: nothing before it needs a gradient.
    """

    def __init__(self, weight: Tensor, bias: Tensor, bias_gradient: Tensor, *, relu: bool, first: bool = False) -> None:
        self.weight, self.bias, self.bias_gradient = weight, bias, bias_gradient
        self.relu, self.first = relu, first
        self._buffers: dict[tuple[str, int], Tensor] = {}
        self._seen: dict[str, Tensor] = {}

    def forward(self, inputs: Tensor) -> Tensor:
        """inputs (k, images, in) -> (k, images, out), in memory that the next forward overwrites."""
        self._seen["inputs"] = inputs
        self._seen["outputs"] = self._transform(inputs)
        return self._seen["outputs"]

    def backward(self, gradient: Tensor) -> Tensor:
        """From (k, images, out), which is masked in place, to (k, images, in); meaningless for a first layer."""
        if self.relu:
            torch.ops.aten.threshold_backward.grad_input(gradient, self._seen["outputs"], 0, grad_input=gradient)
        torch.sum(gradient, 1, dtype=self.bias.dtype, out=self.bias_gradient)
        return self._products(gradient, self._seen["inputs"])

    def release(self) -> None:
        """Free all memory but the weights'."""
        self._buffers.clear()
        self._seen.clear()
        self.weight.grad = None

    def _transform(self, inputs: Tensor) -> Tensor:
        out = self._buffer("outputs", (inputs.shape[1], self.weight.shape[1]))
        torch.baddbmm(self.bias.unsqueeze(1), inputs, self.weight.mT, out=out)
        return out.relu_() if self.relu else out

    def _products(self, gradient: Tensor, inputs: Tensor) -> Tensor:
        """Sets the gradient of the weight, returns that of the inputs."""
        self.weight.grad = torch.bmm(gradient.mT, inputs, out=self._buffer("weight", self.weight.shape[1:]))
        if self.first:
            return gradient
        return torch.bmm(gradient, self.weight, out=self._buffer("inputs", inputs.shape[1:]))

    def _buffer(self, name: str, shape: Sequence[int], dtype: torch.dtype | None = None) -> Tensor:
        """(k, *shape) of memory, the same at every step. A smaller last batch has its own."""
        if (name, shape[0]) not in self._buffers:
            buffer = self.weight.new_empty(len(self.weight), *shape, dtype=dtype or self.weight.dtype)
            self._buffers[name, shape[0]] = buffer
        return self._buffers[name, shape[0]]


class OneDNNAffine(Affine):
    """One arm in float32."""

    def _transform(self, inputs: Tensor) -> Tensor:
        return product(inputs[0], self.weight[0], self.bias[0], "relu" if self.relu else "none").unsqueeze(0)

    def _products(self, gradient: Tensor, inputs: Tensor) -> Tensor:
        self.weight.grad = None  # so that the new one can take the memory of the last one, which is still in the cache
        self.weight.grad = product(gradient[0].T, inputs[0].T).unsqueeze(0)
        return gradient if self.first else product(gradient[0], self.weight[0].T).unsqueeze(0)


def product(inputs: Tensor, weight: Tensor, bias: Tensor | None = None, then: str = "none") -> Tensor:
    """oneDNN's inner product, only where :func:`has_onednn`: inputs (n, in), weight (out, in) -> (n, out).

    bias: (out,). then: "relu" or "none".
    """
    result: Tensor = _ONEDNN(inputs, weight, bias, then, [], "")  # type: ignore[misc]
    return result


def has_onednn(device: torch.device) -> bool:
    """Whether :func:`product` is there and worth taking: on a CPU with AVX-512."""
    return _ONEDNN is not None and device.type == "cpu" and torch.backends.cpu.get_cpu_capability() == "AVX512"


class BFloat16Affine(Affine):
    """Layers with a ReLU pass bfloat16 to the next one; the others, which end a network, return float32."""

    def _transform(self, inputs: Tensor) -> Tensor:
        shape = (inputs.shape[1], self.weight.shape[1])
        rounded, weight = self._rounded("inputs", inputs), self._rounded("weight", self.weight)
        out = self._buffer("rounded outputs", shape, torch.bfloat16)
        torch.baddbmm(self.bias.to(torch.bfloat16).unsqueeze(1), rounded, weight.mT, out=out)
        return out.relu_() if self.relu else self._buffer("outputs", shape).copy_(out)

    def _products(self, gradient: Tensor, inputs: Tensor) -> Tensor:
        rounded, shape = self._rounded("gradient", gradient), self.weight.shape[1:]
        product = self._buffer("weight product", shape, torch.bfloat16)
        torch.bmm(rounded.mT, self._seen["rounded inputs"], out=product)
        self.weight.grad = self._buffer("weight", shape).copy_(product)
        if self.first:
            return gradient
        out = self._buffer("inputs product", inputs.shape[1:], torch.bfloat16)
        return torch.bmm(rounded, self._seen["rounded weight"], out=out)

    def _rounded(self, name: str, values: Tensor) -> Tensor:
        if values.dtype != torch.bfloat16:
            # Shared images are rounded once per arm: rounded once and expanded, a product copies them for each arm.
            values = self._buffer(f"rounded {name}", values.shape[1:], torch.bfloat16).copy_(values)
        self._seen[f"rounded {name}"] = values
        return values


def affine(weight: Tensor, precision: str) -> type[Affine]:
    """The kind of layer that suits the weights (k, out, in), the precision and the machine.

    >>> weight, bias = torch.eye(2).expand(3, 2, 2), torch.zeros(3, 2)
    >>> layer = affine(weight, "float32")(weight, bias, torch.zeros(3, 2), relu=True)
    >>> layer.forward(torch.tensor([[[-1.0, 2.0]]]).expand(3, 1, 2))[0]
    tensor([[0., 2.]])
    """
    if precision == "bfloat16":
        return BFloat16Affine
    # Fixed, not chosen by timing: then two runs of one seed could differ in their last bits.
    one_float32 = len(weight) == 1 and weight.dtype == torch.float32
    return OneDNNAffine if one_float32 and has_onednn(weight.device) else Affine

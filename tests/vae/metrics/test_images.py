"""What all metrics of images share: shapes, types, batches, pieces, memory, and what they refuse."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.image_samples import NAN, uniform
from tests.paths import REPOSITORY
from vae.errors import UserError
from vae.metrics import images
from vae.metrics.blur import blur_effect
from vae.metrics.sharpness import acutance, edge_contrast, foreground_recall, ink_ratio
from vae.metrics.similarity import psnr, ssim, ssim_both
from vae.metrics.transfer import transfer

Function = Callable[..., Tensor]
ALONE: dict[str, Function] = {
    "acutance": acutance,
    "blur_effect": blur_effect,
    "blur_effect_5": partial(blur_effect, h_size=5),
}
PAIRED: dict[str, Function] = {
    "edge_contrast": edge_contrast,
    "ink_ratio": ink_ratio,
    "foreground_recall": foreground_recall,
    "ssim": ssim,
    "ssim_inverted": lambda x, y: ssim_both(x, y)[1],
    "psnr": psnr,
}
FUNCTIONS = ALONE | PAIRED
every_function = pytest.mark.parametrize("name", FUNCTIONS)


def read(name: str, *shape: int, change: Callable[[Tensor], Tensor] = lambda x: x) -> Tensor:
    """The metric of noise of this shape; `change` is applied to each picture first."""
    x, y = (uniform(*shape, seed=seed) for seed in (1, 2))
    return ALONE[name](change(x)) if name in ALONE else PAIRED[name](change(x), change(y))


# One value per picture.


@every_function
@pytest.mark.parametrize("lead", [(), (4,), (4, 3), (2, 1, 3), (0,), (3, 0)])
def test_leading_sizes_are_kept(name: str, lead: tuple[int, ...]) -> None:
    values = read(name, *lead, 12, 17)
    assert values.shape == lead
    assert values.dtype == torch.float64


@every_function
def test_a_picture_reads_the_same_alone_and_in_any_piece(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five pictures, two at a time, the last piece short, against one by one."""
    monkeypatch.setattr(images, "_PIECE_ON_CPU", 2 * 12 * 17 + 5)
    together = read(name, 5, 12, 17)
    alone = torch.stack([read(name, 5, 12, 17, change=lambda x, at=at: x[at]) for at in range(5)])  # type: ignore[misc]
    torch.testing.assert_close(together, alone, rtol=1e-12, atol=1e-12)


@every_function
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float8_e4m3fn])
def test_every_floating_type_is_read_as_the_float64_it_stands_for(name: str, dtype: torch.dtype) -> None:
    values = read(name, 3, 12, 17, change=lambda x: x.to(dtype))
    assert torch.equal(values, read(name, 3, 12, 17, change=lambda x: x.to(dtype).double()))
    assert values.dtype == torch.float64


@every_function
def test_layout_and_gradients_do_not_matter(name: str) -> None:
    strided = read(name, 3, 12, 17, change=lambda x: x.permute(2, 0, 1).contiguous().permute(1, 2, 0))
    torch.testing.assert_close(strided, read(name, 3, 12, 17), rtol=1e-12, atol=1e-12)
    tracked = read(name, 3, 12, 17, change=lambda x: x.requires_grad_())
    assert not tracked.requires_grad


# Memory.

MEASURE = """
import resource, sys
import torch
from vae.metrics.blur import blur_effect
from vae.metrics.sharpness import acutance, edge_contrast, foreground_recall, ink_ratio, sigma_eq
from vae.metrics.similarity import psnr, ssim_both
from vae.metrics.transfer import transfer
torch.set_num_threads(1)
x, y = (torch.rand(10_000, 28, 28) for _ in range(2))

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

before = peak()
ssim_both(x, y), psnr(x, y), edge_contrast(x, y), ink_ratio(x, y), foreground_recall(x, y)
sigma_eq(acutance(x)), transfer(x, y), blur_effect(x), blur_effect(x, h_size=5)
print((peak() - before) / 2**20)
"""


def test_ten_thousand_pictures_take_a_small_part_of_a_gigabyte() -> None:
    """All metrics, one after another, in a process of their own: the highest resident memory, in MiB."""
    root = REPOSITORY
    done = subprocess.run([sys.executable, "-c", MEASURE], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 200


# Refusals: by name and value.

x3 = torch.full((3, 12, 9), 0.5)


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (x3.byte(), r"x is torch\.uint8; images here are floating point in \[0, 1\]\. Did you mean x / 255\?"),
        (x3.long(), r"x is torch\.int64; images here are floating point"),
        (x3.bool(), r"x is torch\.bool; images here are floating point"),
        (x3.to(torch.complex64), r"x is torch\.complex64; images here are floating point"),
        (x3.numpy(), r"x is a ndarray; it must be a torch tensor .* torch\.as_tensor\(x\)\?"),
        ([[0.5]], r"x is a list; it must be a torch tensor"),
        (x3[0, 0], r"x is \(9,\); it must end in \(H, W\)\. Did you mean x\.reshape\(3, 3\)\?"),
        (x3[0, 0, :7], r"x is \(7,\); it must end in \(H, W\)\.$"),
        (x3[0, 0, 0], r"x is \(\); it must end in \(H, W\)\.$"),
        (x3[:, :1], r"x has pictures of 1 x 9 px; each side must be at least 2 px"),
        (x3[:, :0], r"x has pictures of 0 x 9 px"),
        (2 * x3 + 99, r"x reaches from 100 to 100; allowed is \[0, 1\]\. Did you mean x / 255\?"),
        (x3 - 1, r"x reaches from -0\.5 to -0\.5; allowed is \[0, 1\]\. Did you mean \(x \+ 1\) / 2\?"),
        (x3 - 8, r"x reaches from -7\.5 to -7\.5; .* Are these logits\? Did you mean x\.sigmoid\(\)\?"),
        (x3 * 2.0002, r"x reaches from 1\.0001 to 1\.0001; .* Did you mean x\.clamp\(0, 1\)\?"),
        (x3 * torch.inf, r"x reaches from inf to inf; .* Did you mean x\.clamp\(0, 1\)\?"),
        (x3.index_fill(0, torch.tensor([1]), NAN), r"x holds NaN; every pixel must be in \[0, 1\]"),
    ],
)
def test_pictures_are_refused_by_name_and_value(picture: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        acutance(picture)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", PAIRED)
def test_pairs_are_refused_by_the_name_of_the_wrong_one(name: str) -> None:
    function, good = PAIRED[name], x3
    first, second = ("x", "y") if name in {"ssim", "ssim_inverted", "psnr"} else ("reconstruction", "original")
    with pytest.raises(UserError, match=rf"^{second} reaches from 1\.5 to 1\.5"):
        function(good, good + 1)
    with pytest.raises(UserError, match=rf"^{first} is torch\.int32"):
        function(good.int(), good)
    with pytest.raises(
        UserError, match=rf"^{first} is \(3, 12, 9\) and {second} is \(2, 12, 9\); .* nothing is broadcast"
    ):
        function(good, good[:2])
    with pytest.raises(UserError, match=rf"{first} is \(3, 1, 12, 9\) and .* Did you mean {first}\.squeeze\(-3\)\?"):
        function(good[:, None], good)
    with pytest.raises(UserError, match=rf"Did you mean {second}\.squeeze\(-3\)\?"):
        function(good, good[:, None])
    with pytest.raises(UserError, match=rf"{first} is on cpu and {second} on meta; they must be on one device"):
        function(good, good.to("meta"))


def test_transfer_is_checked_as_the_others() -> None:
    with pytest.raises(UserError, match="original holds NaN"):
        transfer(x3, x3 * NAN)


def test_pairs_may_differ_in_type() -> None:
    x, y = uniform(3, 12, 9), uniform(3, 12, 9, seed=1)
    torch.testing.assert_close(ssim(x.float(), y), ssim(x, y), rtol=0, atol=1e-6)


def test_the_result_counts_pictures_even_where_a_measure_returns_more() -> None:
    sums = images.per_image(lambda x: x.sum(dim=-1), torch.ones(2, 3, 5, 4))
    assert np.array_equal(sums.numpy(), np.full((2, 3, 5), 4.0))

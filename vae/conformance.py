"""What a loss must do before a stack can train with it, as checks that a person can run on a loss of their own.

A loss is tested as it is used: costs are summed over pixels, arms are the leading dimension, targets are shared by all
arms, and gradients come from autograd or from a formula of its own. Nearly all is computed in float64 on a few small
images, so a check takes milliseconds. Nothing is raised: even an exception of the loss is a finding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import vmap

from vae.losses import LOSSES, Loss, loss

# All sizes differ, so that a sum over the wrong dimension changes the shape.
ARMS, IMAGES, PIXELS = 2, 3, 5
EXTREME = 1e3  # logits whose sigmoid is exactly 0 or 1 in float64
LEVELS = (0.01, 0.25, 0.5, 0.75, 0.99)  # of a pixel, and how far from it a reconstruction is tried
STEPS = (-0.4, -0.1, -0.01, 0.01, 0.1, 0.4)
STEP = 1e-6  # of the central differences

# (the loss, whether it is a user's own) -> what is wrong, empty where nothing is.
Check = Callable[[Loss, bool], str]


@dataclass(frozen=True)
class Finding:
    """One property: its name, whether it holds, and what was measured where it does not."""

    name: str
    passed: bool
    detail: str = ""


def check_loss(name: str) -> list[Finding]:
    """Every property that training relies on, one finding each, in a fixed order.

    name: a built-in loss or ``package.module:function``. Raises UserError for a name that leads to no function.

    >>> [finding.name for finding in check_loss("mae")][:2]
    ['one cost per image', 'costs least where equal, a loss of your own 0']
    """
    tested, own = loss(name), name not in LOSSES
    findings = []
    for title, check in CHECKS.items():
        try:
            wrong = check(tested, own)
        except Exception as error:  # a user's function may raise anything: that is what is tested
            lines = str(error).splitlines() or [""]
            wrong = f"{type(error).__name__}: {lines[0]}"
        findings.append(Finding(title, not wrong, wrong))
    return findings


def _examples() -> tuple[Tensor, Tensor]:
    """Logits (ARMS, IMAGES, PIXELS) and targets (IMAGES, PIXELS) in (0, 1), with no two equal."""
    source = torch.Generator().manual_seed(0)
    logits = torch.randn(ARMS, IMAGES, PIXELS, generator=source, dtype=torch.float64)
    return logits, torch.rand(IMAGES, PIXELS, generator=source, dtype=torch.float64)


def _shape(tested: Loss, own: bool) -> str:
    logits, x = _examples()
    costs = tested.distortion(logits, x)
    if costs.shape != (ARMS, IMAGES):
        return f"{tuple(costs.shape)} for logits {tuple(logits.shape)}, not {(ARMS, IMAGES)}"
    return "" if costs.is_floating_point() else f"costs are {costs.dtype}, which has no gradient"


def _least(tested: Loss, own: bool) -> str:
    """A built-in loss that is a density is not 0 where equal, but must still cost least there."""
    logits, x = _examples()
    if not own:
        target = tested.mean(logits[0])
        near, far = (tested.distortion(logits[0] * scale, target) for scale in (1.01, 2.0))
        return "" if bool((near < far).all()) else f"{near.tolist()} near the target and {far.tolist()} far from it"
    equal = tested.distortion(torch.logit(x).expand_as(logits), x)
    if not torch.allclose(equal, torch.zeros_like(equal), atol=1e-9):
        return f"{float(equal[0, 0]):.3g} for a reconstruction that equals its target, not 0"
    return _beside_equality(tested)


def _beside_equality(tested: Loss) -> str:
    """One pixel at a time, above and below its target, near and far: a sum over pixels would hide a single one."""
    targets, steps = torch.tensor(LEVELS, dtype=torch.float64), torch.tensor(STEPS, dtype=torch.float64)
    x = targets.repeat_interleave(len(steps))
    images = (x + steps.repeat(len(targets))).clamp(0.001, 0.999)
    pixels = [(torch.logit(image).view(1, 1), target.view(1, 1)) for image, target in zip(images, x)]
    costs = torch.cat([tested.distortion(logits, target) for logits, target in pixels])  # (targets · steps)
    if bool((costs > 0).all()):
        return ""
    worst = int(costs.argmin())
    pair = f"{float(images[worst]):.2g} where the target is {float(x[worst]):g}"
    return f"{float(costs[worst]):.3g} for a reconstruction of {pair}, not above 0"


def _differences(tested: Loss, own: bool) -> str:
    logits, x = _examples()
    gradient = tested.autograd(logits, x)
    if not bool(torch.isfinite(gradient).all()):
        return "the gradient is not a finite number"
    if not bool(gradient.any()):
        return "the gradient is zero everywhere, so nothing would be learnt"
    steps = STEP * torch.eye(logits.numel(), dtype=logits.dtype).view(-1, *logits.shape)
    gaps = [(tested.distortion(logits + step, x) - tested.distortion(logits - step, x)).sum() for step in steps]
    numeric = torch.stack(gaps).view_as(logits) / (2 * STEP)
    return _differ("finite differences", gradient, numeric, 1e-5)


def _formula(tested: Loss, own: bool) -> str:
    if tested.gradient is None:
        return ""
    logits, x = _examples()
    return _differ("autograd", tested.gradient(logits.clone(), x), tested.autograd(logits, x), 1e-9)


def _differ(what: str, gradient: Tensor, expected: Tensor, tolerance: float) -> str:
    worst = float(((gradient - expected).abs() / (1 + expected.abs())).max())
    return "" if worst <= tolerance else f"the gradient is off by {worst:.2g} from {what}"


def _ends(tested: Loss, own: bool) -> str:
    """Pixels of 0 and 1 are common. In float32, as in training, rounding errors are larger, logits of 17 and more are
    reconstructions of exactly 1, and a pixel is often matched exactly."""
    pairs = [(logit, pixel) for logit in (-EXTREME, 0.0, EXTREME) for pixel in (0.0, 1.0)]
    for dtype, where in ((torch.float64, ""), (torch.float32, "in float32 ")):
        for logit, pixel in (*pairs, (0.0, 0.5), (17.0, 1.0)):
            logits, x = (torch.tensor([[value]], dtype=dtype) for value in (logit, pixel))
            cost, gradient = tested.distortion(logits, x), tested.autograd(logits, x)
            if not bool(torch.isfinite(cost).all() and torch.isfinite(gradient).all()):
                at = f"reconstruction {torch.sigmoid(torch.tensor(logit)):g}, target {pixel:g}"
                return f"{where}the cost or its gradient is not a finite number at {at}"
    return ""


def _arms(tested: Loss, own: bool) -> str:
    logits, x = _examples()
    together = tested.distortion(logits, x)
    alone = torch.stack([tested.distortion(arm, x) for arm in logits])
    if not torch.allclose(together, alone, rtol=1e-12, atol=1e-12):
        return f"arms cost {together[0].tolist()} in a stack and {alone[0].tolist()} alone"
    mapped = vmap(lambda arm: tested.distortion(arm, x))(logits)
    return "" if torch.allclose(mapped, alone, rtol=1e-12, atol=1e-12) else "arms cost something else under vmap"


def _images(tested: Loss, own: bool) -> str:
    """A built-in loss may fit one scale to a batch; a user's own loss is a cost of each pixel."""
    logits, x = _examples()
    together, alone = tested.distortion(logits, x)[:, :1], tested.distortion(logits[:, :1], x[:1])
    if not own or torch.allclose(together, alone, rtol=1e-12, atol=1e-12):
        return ""
    return f"an image costs {float(together[0]):.6g} in a batch and {float(alone[0]):.6g} by itself"


def _inputs(tested: Loss, own: bool) -> str:
    logits, x = _examples()
    before = x.clone()
    tested.distortion(logits[:1], x)  # one arm: several would share the targets' memory, which torch refuses to change
    return "" if torch.equal(x, before) else "the targets, which all arms share, are changed in place"


def _repeats(tested: Loss, own: bool) -> str:
    logits, x = _examples()
    first, second = tested.distortion(logits, x), tested.distortion(logits, x)
    return "" if torch.equal(first, second) else "the same images cost something else the second time"


CHECKS: dict[str, Check] = {
    "one cost per image": _shape,
    "costs least where equal, a loss of your own 0": _least,
    "gradient agrees with finite differences": _differences,
    "its own gradient agrees with autograd": _formula,
    "finite at the ends 0 and 1": _ends,
    "an arm costs the same alone and in a stack": _arms,
    "an image costs the same alone and in a batch": _images,
    "leaves its inputs alone": _inputs,
    "repeats itself": _repeats,
}

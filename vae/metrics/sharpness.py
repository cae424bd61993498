"""How sharp an image is: acutance, the blur it stands for in pixels, and what else changed at its edges.

Acutance is the mean gradient, weighted by the gradient, over the range: Higgins & Jones (1952) and Perrin (1960), but
in two dimensions, and of linear intensity instead of density. Contrast and the length of the edges do not matter.

An ideal edge relates it to a blur. A step blurred by a Gaussian of sigma px, averaged over each pixel and
differenced, has a gradient profile of spread s = √(sigma² + 1/6), cut at t of the range at ±X:

    A = erf(X / s) / (2 √π s erf(X / (√2 s))),    X = s √(2 ln(1 / (t s √(2π)))),    so 1 / (2 √π s) at t = 0.

An image without an edge reads NaN and is counted (`n_blank`). Noise lowers acutance, and binarising raises it: read
it with the ink ratio and the recall. All functions here return float64 and raise UserError.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from vae.errors import UserError
from vae.metrics.images import check_images, check_threshold, per_image

_LEAST_RANGE = 1e-3  # a picture of a smaller density range is blank
_PIXEL_VARIANCE = 1.0 / 6.0  # px²: the pixel's aperture, 1/12, and the forward difference's, 1/12
_GRID = 2048  # log-spreads at which the profile's acutance is tabled: a straight line between two is right to 1e-7
_STEPS = 3  # along that line's slope, each some 1e4 times nearer: to the last bits of a float64


def acutance(x: Tensor, *, threshold: float = 0.05) -> Tensor:
    """Acutance Σg² / (Δ Σg) in 1/px: higher is sharper; above the original's is over-sharpened, not better.

    g is the length of the forward-difference gradient, Δ the range max − min of the picture, and the sums are over
    g > threshold · Δ: without a threshold, a weak haze would lower the mean. A mirror image reads a little differently
    (3 % on MNIST), because both differences of a pixel are forward ones. MNIST's test set reads .678 ± .032 (sd over
    images), binarised 1.127.

    x: (*, H, W) in [0, 1], sides of at least 2 px. threshold: in [0, 1). Returns (*); NaN where the picture is blank
    (Δ < 1e-3, or no g above the threshold).

    >>> step = torch.zeros(2, 8, 7)
    >>> step[0, :, 3:] = 0.6
    >>> acutance(step)
    tensor([1., nan], dtype=torch.float64)
    """
    return edges(x, threshold=threshold).acutance


@dataclass(frozen=True)
class Edges:
    """Of each picture, (*) in float64: its acutance, and the sum of its gradient. See :func:`edges`."""

    acutance: Tensor
    total: Tensor

    def __getitem__(self, images: slice) -> Edges:
        return Edges(self.acutance[images], self.total[images])

    def contrast(self, original: Edges) -> Tensor:
        """:func:`edge_contrast` of the pictures that these are the edges of."""
        return _ratio(self.total, original.total)


def edges(x: Tensor, *, threshold: float = 0.05) -> Edges:
    """What :func:`acutance` and :func:`edge_contrast` need of pictures, from one gradient. As `acutance`.

    >>> x, y = torch.rand(2, 5, 8, 7).unbind()
    >>> torch.equal(edges(x).acutance, acutance(x)), torch.equal(edges(x).contrast(edges(y)), edge_contrast(x, y))
    (True, True)
    """
    check_images(x=x, least_side=2)
    check_threshold(threshold)
    return Edges(*per_image(partial(_edges, threshold=threshold), x).unbind(dim=-1))


def n_blank(acutance: Tensor) -> int:
    """How many pictures had no edge to measure: to be shown wherever a mean over the rest is.

    >>> n_blank(torch.tensor([0.6, math.nan, 0.7]))
    1
    """
    return int(acutance.isnan().sum())


def edge_acutance(sigma: Tensor | float, *, threshold: float = 0.05) -> Tensor:
    """Acutance in 1/px of an ideal edge of Gaussian spread sigma px, as measured here; the inverse of `sigma_eq`.

    sigma: (*), >= 0. Returns (*); NaN where the edge is so soft that no gradient is above the threshold.
    Within 1.5 % of measured edges for sigma >= .5.

    >>> edge_acutance(torch.tensor([0.5, 1.0, 2.0]), threshold=0.0)
    tensor([0.4370, 0.2612, 0.1382], dtype=torch.float64)
    """
    check_threshold(threshold)
    blur = torch.as_tensor(sigma, dtype=torch.float64).detach()
    if bool((blur < 0).any()):
        raise UserError(f"sigma reaches {float(blur.min()):g}; a blur in pixels is not negative.")
    return _profile_acutance((blur.square() + _PIXEL_VARIANCE).sqrt(), threshold)


def sigma_eq(acutance: Tensor | float, *, threshold: float = 0.05) -> Tensor:
    """The Gaussian blur in px whose ideal edge has this acutance: lower is sharper, 0 is a pixel-sharp edge.

    acutance: (*) in 1/px, from `acutance` with the same threshold, and so above it. Returns (*); NaN passes through.
    The 10–90 % width of the edge is 2.563 times this. Sharper than a pixel-integrated edge (A > .69 or so) reads 0.

    >>> sigma_eq(torch.tensor([0.2612, 0.1382, 1.2]), threshold=0.0).round(decimals=2)
    tensor([1., 2., 0.], dtype=torch.float64)
    """
    check_threshold(threshold)
    readings = torch.as_tensor(acutance, dtype=torch.float64).detach()
    if bool((readings <= threshold).any()):
        low = float(readings[~readings.isnan()].min())
        raise UserError(
            f"acutance={low:g} is not above threshold={threshold:g}, as every measured acutance is."
            " Was it measured with another threshold? Pass the same one here."
        )
    spread = _spread(readings, threshold)
    return (spread.square() - _PIXEL_VARIANCE).clamp_min(0.0).sqrt()


def edge_contrast(reconstruction: Tensor, original: Tensor) -> Tensor:
    """Σg of the reconstruction over Σg of the original: the share of the edges that is left.

    A blur does not change it for a single edge, but lowers it where strokes are thin; noise and ghosts raise it.
    Both (*, H, W) in [0, 1], sides of at least 2 px. Returns (*); NaN where the original has no edge.

    >>> original = torch.eye(6).expand(3, 6, 6)
    >>> edge_contrast(0.5 * original, original)
    tensor([0.5000, 0.5000, 0.5000], dtype=torch.float64)
    """
    check_images(reconstruction=reconstruction, original=original, least_side=2)
    return edges(reconstruction).contrast(edges(original))


def ink_ratio(reconstruction: Tensor, original: Tensor, *, light_ground: bool = False) -> Tensor:
    """Ink of the reconstruction over that of the original: 1 keeps the ink, below 1 loses it (a median does, on thin
    strokes).

    Ink is Σ x on a dark ground and Σ (1 − x) on a light one. Both (*, H, W) in [0, 1]. Returns (*); NaN where the
    original has no ink.

    >>> dark, half = torch.eye(6), 0.5 * torch.eye(6)
    >>> ink_ratio(half, dark), ink_ratio(1 - half, 1 - dark, light_ground=True)
    (tensor(0.5000, dtype=torch.float64), tensor(0.5000, dtype=torch.float64))
    """
    check_images(reconstruction=reconstruction, original=original)

    def ratio(x: Tensor, y: Tensor) -> Tensor:
        return _ratio(*(_ink(image, light_ground).sum(dim=(-2, -1)) for image in (x, y)))

    return per_image(ratio, reconstruction, original)


def foreground_recall(reconstruction: Tensor, original: Tensor, *, light_ground: bool = False) -> Tensor:
    """P(ink of the reconstruction > .5 | ink of the original > .5) over the pixels of a picture: the strokes that
    survive, in [0, 1].

    Ink is x on a dark ground and 1 − x on a light one. Both (*, H, W) in [0, 1]. Returns (*); NaN where the original
    has no pixel of ink above .5.
    """
    check_images(reconstruction=reconstruction, original=original)
    return per_image(lambda x, y: _recall(_ink(x, light_ground), _ink(y, light_ground)), reconstruction, original)


def _edges(x: Tensor, threshold: float) -> Tensor:
    """(n, H, W) -> (n, 2): acutance, and the sum of the gradient."""
    squares = _squared_gradient(x)
    lengths = squares.sqrt()  # (n, H, W)
    span = x.amax(dim=(-2, -1)) - x.amin(dim=(-2, -1))  # (n)
    kept = lengths > threshold * span[:, None, None]  # (n, H, W)
    total = (lengths * kept).sum(dim=(-2, -1))  # (n)
    total_square = (squares * kept).sum(dim=(-2, -1))
    # Where no gradient is above the threshold this is 0 / 0, which is NaN too.
    acutance = (total_square / (span * total)).masked_fill(span < _LEAST_RANGE, math.nan)
    return torch.stack([acutance, lengths.sum(dim=(-2, -1))], dim=-1)


def _squared_gradient(x: Tensor) -> Tensor:
    """g² of forward differences (n, H, W): the last column has no gx, the last row no gy."""
    squares = torch.zeros_like(x)
    squares[..., :-1] += x.diff(dim=-1).square()
    squares[..., :-1, :] += x.diff(dim=-2).square()
    return squares


def _ink(x: Tensor, light_ground: bool) -> Tensor:
    return 1 - x if light_ground else x


def _recall(x: Tensor, y: Tensor) -> Tensor:
    """(n, H, W) twice -> (n)."""
    ink = y > 0.5
    return _ratio(((x > 0.5) & ink).sum(dim=(-2, -1)).double(), ink.sum(dim=(-2, -1)).double())


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    return (part / whole).masked_fill(whole == 0, math.nan)


def _profile_acutance(spread: Tensor, threshold: float) -> Tensor:
    """A of a Gaussian gradient profile of this spread (px), cut at `threshold`; NaN where nothing is left."""
    uncut = 1.0 / (2.0 * math.sqrt(math.pi) * spread)
    if threshold == 0.0:
        return uncut
    reach = (-2.0 * torch.log(threshold * math.sqrt(2.0 * math.pi) * spread)).sqrt()  # X / s
    return uncut * torch.erf(reach) / torch.erf(reach / math.sqrt(2.0))


def _spread(acutance: Tensor, threshold: float) -> Tensor:
    """The spread (px) whose profile has this acutance, at least the pixel's own: `_profile_acutance` falls in it."""
    sharpest = math.sqrt(_PIXEL_VARIANCE)
    if threshold == 0.0:
        return (1.0 / (2.0 * math.sqrt(math.pi) * acutance)).clamp_min(sharpest)
    softest = max(sharpest, 1.0 / (threshold * math.sqrt(2.0 * math.pi)))  # its peak just reaches the threshold
    least, most = math.log(sharpest), math.log(softest) - 1e-12  # at the softest itself no profile is left
    grid = torch.linspace(least, most, _GRID, dtype=torch.float64, device=acutance.device)  # of ln spread
    values = _profile_acutance(grid.exp(), threshold).log()  # falling
    wanted = acutance.log().clamp(max=float(values[0]))
    cell = torch.searchsorted(-values, -wanted).clamp(1, _GRID - 1)
    slope = (values[cell] - values[cell - 1]) / (grid[cell] - grid[cell - 1])
    log_spread = grid[cell - 1] + (wanted - values[cell - 1]) / slope
    for _ in range(_STEPS):
        missed = _profile_acutance(log_spread.exp(), threshold).log() - wanted
        log_spread = (log_spread - missed / slope).clamp(least, most)
    return log_spread.exp().masked_fill(acutance.isnan(), math.nan)

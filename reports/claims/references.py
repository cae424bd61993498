"""What a data set itself gives, before anything is trained: floors and ceilings of metrics, eigenvalues, sizes.

Claims use it for margins that are shares of a natural range, and for numbers that are predicted from the training
images (`reports.claims.resolve`). It is logged with the study. `ablations.references` computes it.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from vae.errors import UserError
from vae.metrics.catalogue import CATALOGUE


@dataclass(frozen=True)
class References:
    """References of one data set. Values of metrics are in the metric's units.

    floor: metric -> value of a model without latents: the better of the mean and the median training image, by the
    metric's direction; of the mean image where no direction is better. floor_with_labels: the same with one such image
    for each class, for conditional models; empty without labels. ceiling: metric -> value of the originals, as
    reconstructions; of random training images, as samples. Infinite values are left out.
    test_images, classes, pixels: how many; classes is 0 without labels. levels: distinct grey levels of the training
    images. light_ground: whether the median pixel of the training images is above .5.
    ppca: "eigenvalues", of the pixel covariance of the training images, decreasing. histogram: metric -> value of a
    histogram for each pixel, "bits_per_dim".

    >>> values = {"floor_with_labels": {}, "ppca": {"eigenvalues": [5.2]}, "histogram": {}}
    >>> sizes = {"test_images": 360, "classes": 0, "pixels": 64, "levels": 17, "light_ground": False}
    >>> one = References(floor={"ssim": 0.2}, ceiling={"ssim": 1.0}, **values, **sizes)
    >>> one.range_of("ssim"), one.range_of("ssim", conditional=True), one.range_of("psnr")
    (0.8, None, None)
    >>> References.from_json(one.to_json()) == one
    True
    """

    floor: Mapping[str, float]
    floor_with_labels: Mapping[str, float]
    ceiling: Mapping[str, float]
    test_images: int
    classes: int
    pixels: int
    levels: int
    light_ground: bool
    ppca: Mapping[str, Sequence[float]]
    histogram: Mapping[str, float]

    @property
    def eigenvalues(self) -> tuple[float, ...]:
        """Eigenvalues of the pixel covariance of the training images, decreasing; none where they were not computed."""
        return tuple(self.ppca.get("eigenvalues", ()))

    def floor_of(self, metric: str, conditional: bool = False) -> float | None:
        """The value of a model without latents, in the metric's units; None where it is not known.

        conditional: of models that are given the label, whose floor is one image for each class. Samples are compared
        with real images of all classes whatever the model is given, so they have one floor.
        """
        of_samples = metric in CATALOGUE and CATALOGUE[metric].where == "samples"
        return (self.floor_with_labels if conditional and not of_samples else self.floor).get(metric)

    def range_of(self, metric: str, conditional: bool = False) -> float | None:
        """How far the floor lies from the ceiling, in the metric's units; None where either is not known.

        conditional: as of `floor_of`.
        """
        floor = self.floor_of(metric, conditional)
        width = abs(self.ceiling.get(metric, math.nan) - (math.nan if floor is None else floor))
        return width if math.isfinite(width) else None

    def to_json(self) -> str:
        """The text that `from_json` reads back. NaN is null; a value that is infinite is left out."""
        return json.dumps(_to_plain(dataclasses.asdict(self)), allow_nan=False, indent=1)

    @classmethod
    def from_json(cls, text: str) -> References:
        """The references of a text. Raises UserError for one that `to_json` did not write."""
        try:
            table = json.loads(text)
            return cls(**{field: _CHECKS[field](value) for field, value in table.items()})
        except (json.JSONDecodeError, AttributeError, KeyError, TypeError, ValueError) as error:
            wrong = f"{type(error).__name__}: {error}"
            raise UserError(f"the references of this study cannot be read by this version ({wrong})") from None


def _to_plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _to_plain(item) for key, item in value.items() if not (_is_float(item) and math.isinf(item))}
    if isinstance(value, list | tuple):
        return [_to_plain(item) for item in value]
    return None if _is_float(value) and math.isnan(value) else value


def _is_float(value: object) -> bool:
    return isinstance(value, float)


def _number(value: object) -> float:
    return math.nan if value is None else float(value)  # type: ignore[arg-type]


def _values(table: Mapping[str, object]) -> dict[str, float]:
    return {str(name): _number(value) for name, value in table.items()}


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{value!r} is not a whole number")
    return value


def _lists(table: Mapping[str, Sequence[object]]) -> dict[str, list[float]]:
    return {str(name): [_number(value) for value in values] for name, values in table.items()}


# field -> what reads its value
_CHECKS: Final[Mapping[str, Any]] = {
    "floor": _values,
    "floor_with_labels": _values,
    "ceiling": _values,
    "test_images": _whole,
    "classes": _whole,
    "pixels": _whole,
    "levels": _whole,
    "light_ground": bool,
    "ppca": _lists,
    "histogram": _values,
}

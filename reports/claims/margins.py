"""Margins: in the metric's units, or as a share of a natural range of the data set.

    margin = 0.02                            units of the metric
    share = 0.01, of = "floor to ceiling"    from the value of a model without latents to that of the originals
    share = 0.05, of = "rate at beta 1"      the rate that a linear VAE spends at beta 1 under squared error, in nats
    share = 0.01, of = "chance to all"       from a class drawn at random to every class right
    share = 0.25, of = "prediction"          the predicted number; of claims of kind "predicted" alone

Shares become units when a study is planned (`reports.claims.resolve`).
"""

from __future__ import annotations

from typing import Final

from vae.errors import UserError
from vae.metrics.catalogue import CATALOGUE

FLOOR_TO_CEILING: Final = "floor to ceiling"
RATE_AT_BETA_1: Final = "rate at beta 1"
CHANCE_TO_ALL: Final = "chance to all"
PREDICTION: Final = "prediction"
RANGES: Final = (FLOOR_TO_CEILING, RATE_AT_BETA_1, CHANCE_TO_ALL, PREDICTION)


def check_form(margin: float | None, share: float | None, of: str) -> None:
    """Refuse a margin that is given twice or by half. Raises UserError.

    >>> check_form(0.1, 0.2, "floor to ceiling")
    Traceback (most recent call last):
    vae.errors.UserError: margin=0.1 and share=0.2: give one, a margin in the metric's units or a share of a range
    """
    if margin is not None and share is not None:
        raise UserError(
            f"margin={margin:g} and share={share:g}: give one, a margin in the metric's units or a share of a range"
        )
    if share is not None and not of:
        raise UserError(f"of is missing: share={share:g} needs the range that it is a share of, one of {list(RANGES)}")
    if share is None and of:
        raise UserError(f"share is missing: of={of!r} needs the share of that range, such as 0.01")


def check_range(of: str, metric: str, *, predicted: bool) -> None:
    """Refuse a range that the metric does not have. A metric outside the catalogue may have any. Raises UserError.

    >>> check_range("rate at beta 1", "ssim", predicted=False)
    Traceback (most recent call last):
    vae.errors.UserError: of='rate at beta 1' is in nats, and ssim is not; was 'floor to ceiling' meant?
    """
    if of == PREDICTION and not predicted:
        raise UserError(
            f"of={of!r}: only a claim of kind 'predicted' has a prediction; was {FLOOR_TO_CEILING!r} meant?"
        )
    known = CATALOGUE.get(metric)
    if known is None:
        return
    if of == RATE_AT_BETA_1 and known.unit != "nats":
        raise UserError(f"of={of!r} is in nats, and {metric} is not; was {FLOOR_TO_CEILING!r} meant?")
    if of == CHANCE_TO_ALL and not (known.by_classifier and (known.low, known.high) == (0, 1)):
        raise UserError(f"of={of!r} is of classes read rightly, and {metric} is not; was {FLOOR_TO_CEILING!r} meant?")
    if of == FLOOR_TO_CEILING and known.sees == "latents":
        meant = f"; was {RATE_AT_BETA_1!r} meant?" if known.unit == "nats" else ": give a margin in its units"
        raise UserError(f"of={of!r}: {metric} is of the latents, which no picture has{meant}")

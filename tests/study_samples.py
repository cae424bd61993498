"""One small study for all tests that train cells: of the same images, so that one classifier is trained for all."""

from __future__ import annotations

from functools import cache
from typing import Any

import vae

IMAGES = {"train": 600, "test": 90, "held_out": 70}
IMAGE_OPTIONS = tuple(text for key, value in IMAGES.items() for text in ("--set", f"images.{key}={value}"))
TABLE: dict[str, Any] = {
    "name": "small",
    "dataset": "digits",
    "seeds": "0-1",
    "claims": [],
    "images": IMAGES,
    "model": {"hidden": [12], "latents": 3},
    "training": {"epochs": 2, "batch_size": 32},
    "grid": {"loss": ["bce", "mae"]},
    "evaluation": {
        "per_epoch_images": 16,
        "point_images": 20,
        "iwae_images": 3,
        "iwae_samples": 2,
        "generated": 30,
        "blur_images": 20,
        "classifiers": 2,
        "kept_images": 40,
    },
}


@cache
def digits() -> vae.ImageData:
    """The images of these studies."""
    return vae.load("digits", **IMAGES)

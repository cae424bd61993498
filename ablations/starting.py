"""`ablate init`: a study file and a claims file for a person's own images, every line explained.

What the images are like is read from them: how many, of which size, with labels or not. Nothing is asked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ablations.study import Study, checked
from reports.claims.load import load_claims
from vae import ImageData
from vae.errors import UserError

LARGEST_SIDE: Final = 64  # of images that a small network learns in minutes; larger ones are made smaller
SMALLER_SIDE: Final = 32

STUDY: Final = """\
# A study: which images, which models, how they are trained. Made by: ablate init {data}
# What would be trained, and how long that takes:  ablate plan {name}.toml
# Train, measure, and write the report:            ablate run {name}.toml
# Every key below may be overridden:               ablate run {name}.toml --set training.epochs=5

title = {title}  # stands at the top of the report
dataset = {dataset}  # a folder of pictures, an .npz file, or digits, mnist, fashion-mnist, kmnist
seeds = "0-7"  # each arm is trained once per seed; fewer than 5 seeds can decide no claim
claims = [{claims}]  # the sentences to judge; fix them before the first run

[images]  # {found}
held_out = {held_out}  # training images set aside, to fit the scales of calibrated likelihoods
{size}colour = {colour}  # true for three channels; false turns colours into grey
# train = 1000  # keep the first n training images; test = n likewise

[model]
family = "mlp"  # or "conv", with channels = [16, 32] in place of hidden
hidden = [{hidden}]  # widths of the encoder's layers; the decoder mirrors them
latents = {latents}  # numbers that the code of one image consists of
# conditional = true  # gives the labels to encoder and decoder: {labels}

[training]  # Adam
epochs = {epochs}  # passes over the training images; the report says where arms still change after the last
batch_size = {batch_size}
learning_rate = 1e-3

[grid]  # every combination is an arm; write several values of a setting as a list
loss = ["bce", "mse", "mae"]  # or one of your own, as "mymodule:myloss"; first: ablate check loss mymodule:myloss
reduction = ["sum"]  # "mean" divides by the pixels, which is beta times the number of pixels
beta = [0.1, 0.25, 0.5, 1, 2]  # the weight of the rate: more of it, less detail; claims at equal rate need several

# [evaluation]  # how much is measured; these are the defaults
# classifiers = 3  # how many read the pictures, where there are labels
# generated = 2000  # samples from each model, compared with the test images
# iwae_images = 150  # images of the importance bound, the most expensive metric

# [storage]
# weights = "all"  # "best" keeps those of the best seed of each arm, "none" keeps none
"""

CLAIMS: Final = """\
# Claims: sentences that the report of {name}.toml judges. Check this file with: ablate check claims {claims}
# A claim compares arms by a metric (listed by: ablate metrics) and names the least difference that matters.

[margins.acutance_ratio]  # a margin, once for each metric, and why
margin = 0.02
reason = "two per cent of the originals' sharpness"

[margins.ssim]
share = 0.01  # or as a share of the way from a model without latents to the original images
of = "floor to ceiling"
reason = "a hundredth of the way: less is not seen beside the original"

[matched_rate]  # a smaller beta buys detail with a higher rate, so arms are compared at equal rate too
shares = [0.25, 0.5, 0.75]  # of the rates that all arms reach

[[claim]]
id = "mae-sharper"  # lower-case words and hyphens; names the claim everywhere
quote = "Trained with the absolute error, pictures are sharper than with the squared error"  # the sentence judged
kind = "greater"  # or "less"; "equivalent" says that a difference does not matter; "trend" needs several betas
places = ["nominal", "matched-rate"]  # at the settings named, and at equal rate; "nominal" alone by default
metric = "acutance_ratio"
a = {{ loss = "mae", beta = 1 }}  # a minus b is judged; an arm that the grid lacks is trained for the claim
b = {{ loss = "mse", beta = 1 }}

[[claim]]
id = "mse-like-bce"
quote = "Squared error and cross-entropy give pictures of the same quality"
kind = "equivalent"
metric = "ssim"
a = {{ loss = "mse", beta = 1 }}
b = {{ loss = "bce", beta = 1 }}
"""


@dataclass(frozen=True)
class Start:
    """Two files and what they hold. study, claims: where they are to lie."""

    study: Path
    claims: Path
    texts: Mapping[Path, str]


def start_for(data: str, images: ImageData, *, size: int | None, colour: bool, folder: Path, name: str = "") -> Start:
    """The files for these images, which are checked and not yet written.

    data: as it was given. size: the side that the images were resized to, if they were. Raises UserError for a name
    that no study can have, and where one of the files is there already.
    """
    name = name or re.sub(r"[^a-z0-9]+", "-", images.name.lower()).strip("-") or "mine"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
        raise UserError(f"--name {name!r} must be letters, digits, dots and hyphens: it names two files and a folder")
    study, claims = folder / f"{name}.toml", folder / f"{name}-claims.toml"
    for path in (study, claims):
        if path.exists():
            raise UserError(f"{path.name} is there already; name another with --name, or move it away")
    fields = _fields(data, images, size=size, colour=colour) | {"name": name, "claims": json.dumps(claims.name)}
    texts = {study: STUDY.format(**fields), claims: CLAIMS.format(**{**fields, "claims": claims.name})}
    return Start(study, claims, texts)


def write(start: Start) -> Study:
    """Write the files. Returns the study as it is read back."""
    import tomllib

    for path, text in start.texts.items():
        path.write_text(text, encoding="utf-8")
    load_claims(start.claims)
    return checked({"name": start.study.stem, **tomllib.loads(start.texts[start.study])}, start.study.name)


def _fields(data: str, images: ImageData, *, size: int | None, colour: bool) -> dict[str, str]:
    count, pixels = len(images.train), images.pixels
    shape = "×".join(map(str, images.image_shape))
    found = f"found: {count:,} training and {len(images.test):,} test images of {shape}"
    classes = f"{images.n_classes} classes were found" if images.n_classes else "these images have none"
    small = pixels <= 256
    steps = min(2000, 40 * count // 32)  # enough for a first look, in minutes
    batch = next(power for power in (128, 64, 32, 16, 8, 4, 2, 1) if power <= max(1, count // 16))
    resized = f"size = {size}  # resized to a square, because the pictures are large or differ in size"
    return {
        "data": data,
        "title": json.dumps(f"BCE, MSE and MAE on {images.name}", ensure_ascii=False),
        "dataset": json.dumps(data, ensure_ascii=False),
        "found": found,
        "held_out": str(min(1000, count // 10)),
        "size": "# size = 32  # resize to a square of so many pixels\n" if size is None else f"{resized}\n",
        "colour": "true" if colour else "false",
        "hidden": "128" if small else "400",
        "latents": "8" if small else "20",
        "labels": classes,
        "epochs": str(max(5, min(30, steps * batch // max(count, 1)))),
        "batch_size": str(batch),
    }

"""`ablate export`: a trained arm as files that other programs read.

ARM.safetensors holds the weights, and in its metadata the settings of the arm; load_ARM.py reads it with this package.
ARM.pt2 is the whole function from images to reconstructions as torch.export writes it: it needs torch alone.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch

from ablations.records import state_of
from ablations.trained import TrainedArm
from vae.arms import Arm
from vae.building import rebuilt
from vae.errors import UserError
from vae.factors import factors
from vae.losses import loss
from vae.models import Reconstructor

LOADER: Final = '''\
"""{cell}: images to reconstructions, and samples. Needs vae-ablations; {program} needs torch alone."""

from pathlib import Path

from ablations.export import load

model = load(Path(__file__).with_name("{weights}"))  # a torch.nn.Module, on the CPU
samples = model.sample(10)  # ({shape}) each, in [0, 1]
print("samples", tuple(samples.shape), "reconstructions", tuple(model({call}).shape))
'''


def export(trained: TrainedArm, arm: str, folder: Path) -> dict[str, Path]:
    """Write the three files of an arm. Returns what each is: "weights", "loader", "program" -> its path.

    The program takes any number of images, (n, *image_shape); of a conditional arm also their labels, (n,) int64.
    Raises UserError where the folder cannot be written to.
    """
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "-", arm)
    paths = {"weights": folder / f"{stem}.safetensors", "loader": folder / f"load_{_module(stem)}.py"}
    paths["program"] = folder / f"{stem}.pt2"
    shape = ", ".join(map(str, trained.image_shape))
    loader = LOADER.format(
        cell=trained.cell,
        weights=paths["weights"].name,
        program=paths["program"].name,
        shape=shape,
        call="samples, __import__('torch').arange(10) % model.model.classes" if trained.classes else "samples",
    )
    facts = {
        "arm": json.dumps(dict(trained.texts)),
        "image_shape": json.dumps(trained.image_shape),
        "classes": str(trained.classes),
        "cell": trained.cell,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        paths["weights"].write_bytes(_with_facts(trained.weights, facts))
        paths["loader"].write_text(loader, encoding="utf-8")
        torch.export.save(_program(trained), paths["program"])
    except OSError as error:
        raise UserError(f"--out {str(folder)!r} cannot be written to: {error.strerror}") from None
    return paths


def load(path: str | Path) -> Reconstructor:
    """The model of a file that `export` wrote, on the CPU. Raises UserError for any other file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), "pt") as file:
            facts: Mapping[str, str] = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise UserError(f"{str(path)!r} cannot be read: {error}") from None
    if "arm" not in facts:
        raise UserError(f"{str(path)!r} does not say of which arm it is: name a file that ablate export wrote")
    known, texts = factors(), json.loads(facts["arm"])
    arm = Arm.of({name: known[name].parse(text) for name, text in texts.items()}, recorded=True)
    model = rebuilt(arm, json.loads(facts["image_shape"]), int(facts["classes"]), state)
    return Reconstructor(model, loss(arm.loss).mean, arm.posterior).eval()


def _module(stem: str) -> str:
    return re.sub(r"\W", "_", stem)


def _with_facts(weights: bytes, facts: Mapping[str, str]) -> bytes:
    from safetensors.torch import save

    return bytes(save(dict(state_of(weights)), metadata=dict(facts)))


def _program(trained: TrainedArm) -> torch.export.ExportedProgram:
    """Two images as an example: of one, the number of images would be fixed."""
    model = trained.model()
    dtype = next(model.parameters()).dtype
    example: tuple[torch.Tensor, ...] = (torch.zeros(2, *trained.image_shape, dtype=dtype),)
    if trained.classes:
        example = (*example, torch.zeros(2, dtype=torch.int64))
    images = torch.export.Dim("images", min=1)
    dynamic = tuple({0: images} for _ in example)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # torch's own, of parts that are deprecated
        return torch.export.export(model, example, dynamic_shapes=dynamic)

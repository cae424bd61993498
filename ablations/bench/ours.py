"""(c), (e) What this suite does with the arms of the bench: an epoch of a stack, in a process with our settings.

    python -m ablations.bench.ours --images images.npy --arms 12 --precision bfloat16

Arm i has the loss bce, mse or mae in turn and beta 1 + i. Two epochs, of which the second is timed; then the losses on
the first 1,024 images, by torch's own functions. The last line printed is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from time import perf_counter

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ablations.bench.setting import BATCH
from vae import VAE, Arm, ImageData, Stack, fit

LOSSES: dict[str, Callable[..., Tensor]] = {"bce": F.binary_cross_entropy, "mse": F.mse_loss, "mae": F.l1_loss}


class AnyModule(VAE):
    """The same network as a user's own class: its gradients come from autograd."""


def arms_of_bench(count: int, precision: str) -> list[Arm]:
    training = {"epochs": 2, "batch_size": BATCH, "precision": precision, "last_batch": "keep"}
    return [Arm(list(LOSSES)[number % len(LOSSES)], beta=1.0 + number, **training) for number in range(count)]


@torch.no_grad()
def losses(stack: Stack, x: Tensor) -> dict[str, float]:
    """ "loss beta" -> nats per image of x (n, 28, 28), distortion and weighted KL, at one sampled z an image."""
    noise, values = torch.randn(len(x), stack.latents, device=x.device), {}
    for number, arm in enumerate(stack.arms):
        model = stack.module(number)
        mean, logvar = model.encode(x)  # type: ignore[operator]
        images = torch.sigmoid(model.decode(mean + noise * torch.exp(0.5 * logvar)))  # type: ignore[operator]
        divergence = -0.5 * torch.sum(1 + logvar - mean.pow(2) - logvar.exp())
        total: Tensor = LOSSES[arm.loss](images, x, reduction="sum") + arm.beta * divergence
        values[f"{arm.loss} {arm.beta:g}"] = float(total) / len(x)
    return values


def now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return perf_counter()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", required=True)
    parser.add_argument("--arms", type=int, default=12)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--path", choices=("fused", "autograd"), default="fused")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    device = torch.device(options.device)
    pixels = torch.from_numpy(np.load(options.images)).float().div(255)
    images = ImageData("bench", pixels, pixels[:0], None, None, pixels[:0], digest="")
    family = VAE if options.path == "fused" else AnyModule
    arms = arms_of_bench(options.arms, options.precision)
    stack = Stack.create(
        lambda: family((28, 28), 20, hidden=(400,)), arms, dataset="bench", seed=options.seed, device=device
    )
    epochs = fit(stack, images)
    next(epochs)
    started = now(device)
    next(epochs)
    seconds = (now(device) - started) / len(arms)
    epochs.close()  # type: ignore[attr-defined]
    torch.manual_seed(options.seed)
    settings = {name: value for name, value in os.environ.items() if name.startswith(("OMP_", "MKL_", "KMP_", "GOMP_"))}
    environment = {"threads": torch.get_num_threads(), "torch": torch.__version__, "settings": settings}
    report = {"seconds": seconds, "losses": losses(stack, pixels[:1024].to(device)), "environment": environment}
    print(json.dumps(report))


if __name__ == "__main__":
    main()

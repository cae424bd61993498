"""(b) One model with all images in memory as one tensor: no loader, and no number read from the device.

The network, the loss and the optimiser of example.py. Two epochs, of which the second is timed; then the loss on the
first 1,024 images. The last line printed is JSON.

    python memory.py --images images.npy       # (N, 28, 28) bytes
"""

from __future__ import annotations

import argparse
import json
import os
from time import perf_counter

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F


class VAE(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(784, 400)
        self.fc21 = nn.Linear(400, 20)
        self.fc22 = nn.Linear(400, 20)
        self.fc3 = nn.Linear(20, 400)
        self.fc4 = nn.Linear(400, 784)

    def loss(self, x: Tensor) -> Tensor:
        """BCE and KL, summed over pixels, latents and images (n, 784)."""
        hidden = F.relu(self.fc1(x))
        mean, logvar = self.fc21(hidden), self.fc22(hidden)
        z = mean + torch.randn_like(logvar) * torch.exp(0.5 * logvar)
        recon = torch.sigmoid(self.fc4(F.relu(self.fc3(z))))
        bce = F.binary_cross_entropy(recon, x, reduction="sum")
        return bce - 0.5 * torch.sum(1 + logvar - mean.pow(2) - logvar.exp())


def epoch(model: VAE, optimiser: torch.optim.Optimizer, pixels: Tensor) -> None:
    order = torch.randperm(len(pixels), device=pixels.device)
    for rows in torch.split(order, 128):
        optimiser.zero_grad()
        model.loss(pixels[rows]).backward()  # type: ignore[no-untyped-call]
        optimiser.step()


def now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return perf_counter()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    device = torch.device(options.device)
    pixels = torch.from_numpy(np.load(options.images)).flatten(1).float().div(255).to(device)
    model = VAE().to(device)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(2):
        started = now(device)
        epoch(model, optimiser, pixels)
        seconds = now(device) - started
    with torch.no_grad():
        loss = float(model.loss(pixels[:1024])) / len(pixels[:1024])
    settings = {name: value for name, value in os.environ.items() if name.startswith(("OMP_", "MKL_", "KMP_", "GOMP_"))}
    environment = {"threads": torch.get_num_threads(), "torch": torch.__version__, "settings": settings}
    print(json.dumps({"seconds": seconds, "losses": {"bce 1": loss}, "environment": environment}))


if __name__ == "__main__":
    main()

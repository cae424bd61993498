"""(a) The protocol of PyTorch's own VAE example (github.com/pytorch/examples, vae/main.py), an epoch of it timed.

One model of 784-400-20. A DataLoader over pictures with ToTensor, shuffled; Adam at 1e-3; BCE and KL summed;
``loss.item()`` at every step, and a line printed at every tenth. Two epochs, of which the second is timed; then the
loss on the first 1,024 images. The last line printed is JSON.

    python example.py --root data              # the first images of torchvision's MNIST
    python example.py --images images.npy      # (N, 28, 28) bytes, through PIL as torchvision's MNIST has its own
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sized
from time import perf_counter
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn, optim
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import datasets, transforms


class VAE(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(784, 400)
        self.fc21 = nn.Linear(400, 20)
        self.fc22 = nn.Linear(400, 20)
        self.fc3 = nn.Linear(20, 400)
        self.fc4 = nn.Linear(400, 784)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        hidden = F.relu(self.fc1(x.view(-1, 784)))
        mean, logvar = self.fc21(hidden), self.fc22(hidden)
        z = mean + torch.randn_like(logvar) * torch.exp(0.5 * logvar)
        return torch.sigmoid(self.fc4(F.relu(self.fc3(z)))), mean, logvar


def loss_function(recon: Tensor, x: Tensor, mean: Tensor, logvar: Tensor) -> Tensor:
    bce = F.binary_cross_entropy(recon, x.view(-1, 784), reduction="sum")
    kld = -0.5 * torch.sum(1 + logvar - mean.pow(2) - logvar.exp())
    return bce + kld


class Pictures(Dataset[tuple[Tensor, int]]):
    """Images one by one through PIL and a transform, as torchvision's MNIST has them."""

    def __init__(self, path: str) -> None:
        self.data, self.transform = torch.from_numpy(np.load(path)), transforms.ToTensor()

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.data[index].numpy())), 0


def first_images(options: argparse.Namespace) -> Any:
    """The data set, cut to the first images: nothing stands between it and the loader."""
    if options.root is None:
        return Pictures(options.images)
    mnist = datasets.MNIST(options.root, train=True, transform=transforms.ToTensor())
    mnist.data, mnist.targets = mnist.data[: options.count], mnist.targets[: options.count]
    return mnist


def train(
    model: VAE, loader: DataLoader[Any], optimiser: optim.Optimizer, device: torch.device, epoch: int, images: Sized
) -> None:
    model.train()
    total = 0.0
    for number, (data, _) in enumerate(loader):
        data = data.to(device)
        optimiser.zero_grad()
        loss = loss_function(*in_order(model(data), data))
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.item()
        optimiser.step()
        if number % 10 == 0:
            print(f"Train Epoch: {epoch} [{number * len(data)}/{len(images)}]\tLoss: {loss.item() / len(data):.6f}")
    print(f"====> Epoch: {epoch} Average loss: {total / len(images):.4f}")


def in_order(outputs: tuple[Tensor, Tensor, Tensor], x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    recon, mean, logvar = outputs
    return recon, x, mean, logvar


def now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return perf_counter()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images")
    parser.add_argument("--root")
    parser.add_argument("--count", type=int, default=60_000)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    device = torch.device(options.device)
    images = first_images(options)
    on_gpu = device.type == "cuda"
    loader = DataLoader(images, batch_size=128, shuffle=True, num_workers=int(on_gpu), pin_memory=on_gpu)
    model = VAE().to(device)
    optimiser = optim.Adam(model.parameters(), lr=1e-3)
    for epoch in (1, 2):
        started = now(device)
        train(model, loader, optimiser, device, epoch, images)
        seconds = now(device) - started
    with torch.no_grad():
        x = torch.stack([images[index][0] for index in range(min(1024, len(images)))]).to(device)
        loss = float(loss_function(*in_order(model(x), x))) / len(x)
    settings = {name: value for name, value in os.environ.items() if name.startswith(("OMP_", "MKL_", "KMP_", "GOMP_"))}
    environment = {"threads": torch.get_num_threads(), "torch": torch.__version__, "settings": settings}
    print(json.dumps({"seconds": seconds, "losses": {"bce 1": loss}, "environment": environment}))


if __name__ == "__main__":
    main()

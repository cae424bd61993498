"""(b2) Many models side by side by the recipe of torch's tutorial on model ensembling.

``stack_module_state`` puts the weights of all models along a leading axis, ``vmap`` of ``grad`` of a
``functional_call`` gives the gradients of all at once, and one Adam steps the stacked tensors. ``vmap`` runs one
function for all, so the models of each loss form an ensemble of their own. Arm i has the loss bce, mse or mae in turn
and beta 1 + i. Images are in memory; two epochs, of which the second is timed; then the losses on the first 1,024
images. The last line printed is JSON.

    python vmap.py --images images.npy --arms 12
"""

from __future__ import annotations

import argparse
import copy
import json
import os
from collections.abc import Callable
from time import perf_counter

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn import functional as F

LOSSES: dict[str, Callable[..., Tensor]] = {
    "bce": F.binary_cross_entropy,
    "mse": F.mse_loss,
    "mae": F.l1_loss,
}


class VAE(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(784, 400)
        self.fc21 = nn.Linear(400, 20)
        self.fc22 = nn.Linear(400, 20)
        self.fc3 = nn.Linear(20, 400)
        self.fc4 = nn.Linear(400, 784)

    def forward(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        hidden = F.relu(self.fc1(x))
        mean, logvar = self.fc21(hidden), self.fc22(hidden)
        z = mean + noise * torch.exp(0.5 * logvar)
        return torch.sigmoid(self.fc4(F.relu(self.fc3(z)))), mean, logvar


class Ensemble:
    """The models of one loss. betas: the weight of KL in each."""

    def __init__(self, loss: str, betas: list[float], device: torch.device) -> None:
        models = [VAE().to(device) for _ in betas]
        parameters, _ = stack_module_state(models)
        self.parameters = {name: value.detach() for name, value in parameters.items()}  # grad() needs no other graph
        self.betas = torch.tensor(betas, device=device)
        base = copy.deepcopy(models[0]).to("meta")

        def objective(parameters: dict[str, Tensor], beta: Tensor, x: Tensor, noise: Tensor) -> Tensor:
            recon, mean, logvar = functional_call(base, parameters, (x, noise))
            divergence = -0.5 * torch.sum(1 + logvar - mean.pow(2) - logvar.exp())
            return LOSSES[loss](recon, x, reduction="sum") + beta * divergence

        self.objectives = vmap(objective, in_dims=(0, 0, None, None))
        self.gradients = vmap(grad(objective), in_dims=(0, 0, None, None))
        self.optimiser = torch.optim.Adam(self.parameters.values(), lr=1e-3)

    def step(self, x: Tensor, noise: Tensor) -> None:
        gradients = self.gradients(self.parameters, self.betas, x, noise)
        for name, value in self.parameters.items():
            value.grad = gradients[name]
        self.optimiser.step()


def epoch(ensembles: list[Ensemble], pixels: Tensor) -> None:
    order = torch.randperm(len(pixels), device=pixels.device)
    for rows in torch.split(order, 128):
        x, noise = pixels[rows], torch.randn(len(rows), 20, device=pixels.device)
        for ensemble in ensembles:
            ensemble.step(x, noise)


def now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return perf_counter()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", required=True)
    parser.add_argument("--arms", type=int, default=12)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    device = torch.device(options.device)
    pixels = torch.from_numpy(np.load(options.images)).flatten(1).float().div(255).to(device)
    betas = {loss: [float(1 + arm) for arm in range(options.arms)][number::3] for number, loss in enumerate(LOSSES)}
    ensembles = {loss: Ensemble(loss, own, device) for loss, own in betas.items() if own}
    for _ in range(2):
        started = now(device)
        epoch(list(ensembles.values()), pixels)
        seconds = (now(device) - started) / options.arms
    x = pixels[:1024]
    noise, losses = torch.randn(len(x), 20, device=device), dict[str, float]()
    for loss, ensemble in ensembles.items():
        values = ensemble.objectives(ensemble.parameters, ensemble.betas, x, noise) / len(x)
        losses |= {f"{loss} {beta:g}": value for beta, value in zip(betas[loss], values.tolist())}
    settings = {name: value for name, value in os.environ.items() if name.startswith(("OMP_", "MKL_", "KMP_", "GOMP_"))}
    environment = {"threads": torch.get_num_threads(), "torch": torch.__version__, "settings": settings}
    print(json.dumps({"seconds": seconds, "losses": losses, "environment": environment}))


if __name__ == "__main__":
    main()

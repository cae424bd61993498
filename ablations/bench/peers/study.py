"""A study by plain loops: one model after another, measured picture by picture, as somebody without this suite would.

Each model is trained twice, for the two usual loops: a DataLoader with a number read at every step, and images in
memory. The second is measured: SSIM, PSNR and blur by scikit-image, sharpness and transfer by numpy, likelihoods, ELBO
and the importance-weighted bound by torch; legibility, KID, Fréchet distance and coverage by small classifiers, which
are trained first. After some epochs the same is measured on fewer images, without that bound. All goes to
``mlflow.log_metrics``. Left out of what the suite does: likelihoods of grey levels (bits per dim), kept pictures and
weights, statistics, the report. The last line printed is JSON.

    python study.py settings.json
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any

import numpy as np
import torch
from skimage.measure import blur_effect
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

Images = np.ndarray[Any, np.dtype[np.float64]]
LOSSES: dict[str, Callable[..., Tensor]] = {"bce": F.binary_cross_entropy, "mse": F.mse_loss, "mae": F.l1_loss}


class VAE(nn.Module):
    def __init__(self, pixels: int, hidden: int, latents: int) -> None:
        super().__init__()
        self.fc1, self.fc21 = nn.Linear(pixels, hidden), nn.Linear(hidden, latents)
        self.fc22, self.fc3 = nn.Linear(hidden, latents), nn.Linear(latents, hidden)
        self.fc4 = nn.Linear(hidden, pixels)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = F.relu(self.fc1(x))
        mean, logvar = self.fc21(hidden), self.fc22(hidden)
        return mean, logvar

    def decode(self, z: Tensor) -> Tensor:
        """Logits."""
        out: Tensor = self.fc4(F.relu(self.fc3(z)))
        return out

    def loss(self, x: Tensor, loss: str, beta: float) -> Tensor:
        mean, logvar = self.encode(x)
        z = mean + torch.randn_like(logvar) * torch.exp(0.5 * logvar)
        distortion = LOSSES[loss](torch.sigmoid(self.decode(z)), x, reduction="sum")
        return distortion + beta * kl(mean, logvar).sum()


class Classifier(nn.Module):
    """Two convolutions that halve the picture (one of them does not where it is small), 64 features, a class."""

    def __init__(self, side: int, classes: int) -> None:
        super().__init__()
        first = 2 if side >= 16 else 1
        self.conv1, self.conv2 = nn.Conv2d(1, 16, 5, first, 2), nn.Conv2d(16, 32, 5, 2, 2)
        self.hidden = nn.Linear(32 * math.ceil(side / first / 2) ** 2, 64)
        self.output = nn.Linear(64, classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (n, side, side) -> features (n, 64), scores (n, classes)."""
        x = F.relu(self.conv2(F.relu(self.conv1(images[:, None]))))
        features = F.relu(self.hidden(x.flatten(1)))
        return features, self.output(features)


def kl(mean: Tensor, logvar: Tensor) -> Tensor:
    return -0.5 * (1 + logvar - mean.pow(2) - logvar.exp()).sum(-1)


def steps(optimiser: torch.optim.Optimizer, loss: Callable[..., Tensor], batches: Iterator[Any], *, read: bool) -> None:
    """optimiser: one for all epochs of a model. A new one for each epoch forgets the large gradients of the first."""
    total = 0.0
    for batch in batches:
        optimiser.zero_grad()
        value = loss(*batch)
        value.backward()  # type: ignore[no-untyped-call]
        if read:
            total += value.item()
        optimiser.step()


def shuffled(size: int, *tensors: Tensor) -> Iterator[list[Tensor]]:
    """Whole batches of one epoch: as the suite does, the rest is left out."""
    order = torch.randperm(len(tensors[0]), device=tensors[0].device)
    for rows in torch.split(order[: len(order) // size * size], size):
        yield [tensor[rows] for tensor in tensors]


def classifier(images: Tensor, labels: Tensor, device: torch.device) -> Classifier:
    """Six passes over the images, or 1,200 steps."""
    network = Classifier(images.shape[-1], int(labels.max()) + 1).to(device)
    passes = max(6, math.ceil(1200 / math.ceil(len(images) / 128)))
    batches = (batch for _ in range(passes) for batch in shuffled(128, images, labels))
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    steps(optimiser, lambda x, y: F.cross_entropy(network(x)[1], y), batches, read=False)
    return network


def gradients(image: Images) -> Images:
    squares = np.zeros_like(image)
    squares[:, :-1] += np.diff(image, axis=1) ** 2
    squares[:-1] += np.diff(image, axis=0) ** 2
    return np.sqrt(squares)


def acutance(image: Images) -> float:
    span, lengths = np.ptp(image), gradients(image)
    lengths = lengths[lengths > 0.05 * span]
    return float((lengths**2).sum() / (span * lengths.sum())) if span > 1e-3 and lengths.size else math.nan


def picture_scores(image: Images, original: Images, blur: bool) -> dict[str, float]:
    """What is measured of one reconstruction against its original."""
    options: dict[str, Any] = {"gaussian_weights": True, "sigma": 1.5} if min(image.shape) >= 11 else {"win_size": 7}
    options |= {"use_sample_covariance": False, "data_range": 1.0}
    scores = {
        "ssim": structural_similarity(image, original, **options),
        "ssim_inverted": structural_similarity(1 - image, 1 - original, **options),
        "psnr": peak_signal_noise_ratio(original, image, data_range=1.0),
        "acutance": acutance(image),
        "acutance_ratio": acutance(image) / acutance(original),
        "edge_contrast": gradients(image).sum() / gradients(original).sum(),
        "ink_ratio": image.sum() / original.sum(),
        "foreground_recall": ((image > 0.5) & (original > 0.5)).sum() / max(1, (original > 0.5).sum()),
    }
    if blur:
        for size in (11, 5):
            scores[f"blur_effect_{size}"] = np.mean(blur_effect(image, h_size=size, reduce_func=None))
    return {name: float(value) for name, value in scores.items()}


def transfer_scores(images: Images, originals: Images) -> dict[str, float]:
    """The frequency at which half of the originals' amplitude is left, from sums over rings of frequency."""
    own, real = np.fft.fft2(images), np.fft.fft2(originals)
    side = images.shape[-1]
    frequencies = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    rings = np.rint(side * frequencies).astype(int).ravel()
    cross = np.bincount(rings, (own * real.conj()).real.sum(0).ravel())
    power = np.bincount(rings, (np.abs(real) ** 2).sum(0).ravel())
    below = np.flatnonzero(cross / power < 0.5)
    return {"mtf50": float(below[0] / side) if below.size else 0.5}


@torch.no_grad()
def likelihood_scores(model: VAE, x: Tensor, calibration: Tensor) -> dict[str, float]:
    """Costs of a sampled z, nats per image, under several observation models."""
    mean, logvar = model.encode(calibration)
    fitted = torch.sigmoid(model.decode(mean + torch.randn_like(logvar) * torch.exp(0.5 * logvar)))
    spread, scale = (fitted - calibration).square().mean().sqrt(), (fitted - calibration).abs().mean()
    mean, logvar = model.encode(x)
    logits = model.decode(mean + torch.randn_like(logvar) * torch.exp(0.5 * logvar))
    images, rate = torch.sigmoid(logits), kl(mean, logvar).mean()
    bce = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1).mean()
    densities = {
        "continuous_bernoulli": torch.distributions.ContinuousBernoulli(logits=logits),
        "gaussian": torch.distributions.Normal(images, 0.5**0.5),
        "gaussian_calibrated": torch.distributions.Normal(images, spread),
        "laplace": torch.distributions.Laplace(images, 1.0),
        "laplace_calibrated": torch.distributions.Laplace(images, scale),
    }
    costs = {f"nll_{name}": -density.log_prob(x).sum(-1).mean() for name, density in densities.items()}
    latents = {
        "active_units": (mean.var(0) > 0.01).sum(),
        "aggregate_variance": (mean.var(0) + logvar.exp().mean(0)).mean(),
    }
    errors = {"mse": (images - x).square().sum(-1).mean(), "mae": (images - x).abs().sum(-1).mean()}
    values = {"rate": rate, "bce": bce, "neg_elbo": bce + rate, **errors, **costs, **latents}
    return {name: float(value) for name, value in values.items()}


@torch.no_grad()
def importance_bound(model: VAE, x: Tensor, samples: int) -> dict[str, float]:
    """−IWAE of binarised images, one image after the other."""
    bounds = []
    for image in torch.bernoulli(x):
        mean, logvar = model.encode(image)
        noise = torch.randn(samples, len(mean), device=x.device)
        z = mean + noise * torch.exp(0.5 * logvar)
        cost = F.binary_cross_entropy_with_logits(model.decode(z), image.expand(samples, -1), reduction="none").sum(-1)
        weights = 0.5 * (noise.square() - z.square() + logvar).sum(-1) - cost
        bounds.append(math.log(samples) - float(torch.logsumexp(weights.double(), 0)))
    return {"neg_iwae": float(np.mean(bounds))}


@torch.no_grad()
def classifier_scores(
    network: Classifier, images: Tensor, labels: Tensor, samples: Tensor, real: Tensor
) -> dict[str, float]:
    """images: reconstructions of the labelled ones. samples: of the prior. real: features of real images."""
    drawn, classes = network(samples)
    shares = torch.bincount(classes.argmax(-1), minlength=classes.shape[-1]).double() / len(samples)
    real, drawn = (features[: min(len(real), len(drawn))].double() for features in (real, drawn))
    cubic = [(a @ b.T / a.shape[-1] + 1) ** 3 for a, b in ((real, real), (drawn, drawn), (real, drawn))]
    same = [(kernel.sum() - kernel.trace()) / (len(kernel) * (len(kernel) - 1)) for kernel in cubic[:2]]
    covariances = [features.T.cov() for features in (real, drawn)]
    shared = torch.linalg.eigvals(covariances[0] @ covariances[1]).real.clamp_min(0).sqrt().sum()
    radius = torch.cdist(real, real).topk(6, largest=False).values[:, -1]
    values = {
        "legibility": (network(images)[1].argmax(-1) == labels).double().mean(),
        "kid": same[0] + same[1] - 2 * cubic[2].mean(),
        "frechet": (real.mean(0) - drawn.mean(0)).square().sum() + sum(c.trace() for c in covariances) - 2 * shared,
        "coverage": (torch.cdist(real, drawn).amin(-1) < radius).double().mean(),
        "class_entropy": torch.special.entr(shares).sum(),
    }
    return {name: float(value) for name, value in values.items()}


class Study:
    """The data, the settings and the classifiers that all cells share."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings, self.device = settings, torch.device(settings["device"])
        arrays = {name: torch.from_numpy(array).to(self.device) for name, array in np.load(settings["images"]).items()}
        self.train, self.test, self.labels = arrays["train"], arrays["test"], arrays["test_labels"]
        self.networks = [
            classifier(self.train, arrays["train_labels"], self.device) for _ in range(settings["classifiers"])
        ]

    def new_model(self) -> VAE:
        pixels = self.train[0].numel()
        return VAE(pixels, self.settings["hidden"], self.settings["latents"]).to(self.device)

    def optimiser(self, model: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.Adam(model.parameters(), lr=self.settings["learning_rate"])

    def by_loader(self, loss: str, beta: float) -> None:
        """All epochs through a DataLoader, with a number read at every step."""
        model = self.new_model()
        data, size = TensorDataset(self.train.cpu().flatten(1)), self.settings["batch"]
        loader = DataLoader(data, size, shuffle=True, drop_last=True)
        batches = (x for _ in range(self.settings["epochs"]) for x in loader)
        steps(self.optimiser(model), lambda x: model.loss(x.to(self.device), loss, beta), batches, read=True)

    def measure(self, model: VAE, count: int, *, last: bool) -> dict[str, float]:
        """On the first ``count`` test images. last: with the importance-weighted bound."""
        settings, x = self.settings, self.test[:count]
        generated = settings["generated"] if last else min(settings["generated"], count)
        with torch.no_grad():
            images = torch.sigmoid(model.decode(model.encode(x.flatten(1))[0])).view_as(x)
            noise = torch.randn(generated, settings["latents"], device=self.device)
            samples = torch.sigmoid(model.decode(noise)).view(-1, *x.shape[1:])
            real = [network(x)[0][:generated] for network in self.networks]
        pictures, originals = images.double().cpu().numpy(), x.double().cpu().numpy()
        rows = [
            picture_scores(picture, original, number < settings["blur_images"])
            for number, (picture, original) in enumerate(zip(pictures, originals))
        ]
        scores = {name: float(np.nanmean([row[name] for row in rows if name in row])) for name in rows[0]}
        scores["sample_acutance"] = float(np.nanmean([acutance(sample) for sample in samples.double().cpu().numpy()]))
        scores |= transfer_scores(pictures, originals)
        scores |= likelihood_scores(model, x.flatten(1), self.train[:500].flatten(1))
        read = [
            classifier_scores(network, images, self.labels[:count], samples, features)
            for network, features in zip(self.networks, real)
        ]
        scores |= {name: float(np.mean([row[name] for row in read])) for name in read[0]}
        if last:
            chosen = x[: settings["iwae_images"]].flatten(1)
            scores |= importance_bound(model, chosen, settings["iwae_samples"])
        return scores


class Clock:
    """Seconds by stage."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.seconds = device, dict[str, float]()
        self.last = perf_counter()

    def add(self, stage: str) -> None:
        """The time since the last call goes to a stage."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        now = perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self.last
        self.last = now


def cell(study: Study, loss: str, beta: float, clock: Clock) -> dict[str, float]:
    """One model: trained by both loops, measured and logged. Returns its metrics."""
    import mlflow

    settings = study.settings
    study.by_loader(loss, beta)
    clock.add("training_loader")
    model, pixels = study.new_model(), study.train.flatten(1)
    optimiser = study.optimiser(model)
    clock.add("training_memory")
    with mlflow.start_run():
        mlflow.log_params({"loss": loss, "beta": beta})
        clock.add("tracking")
        for epoch in range(1, settings["epochs"] + 1):
            batches = shuffled(settings["batch"], pixels)
            steps(optimiser, lambda x: model.loss(x, loss, beta), batches, read=False)
            clock.add("training_memory")
            first = study.test[: settings["per_epoch_images"]].flatten(1)
            with torch.no_grad():
                scores = {"test_neg_elbo": float(model.loss(first, "bce", 1.0)) / len(first)}
            if epoch in settings["point_epochs"]:
                points = study.measure(model, settings["point_images"], last=False)
                scores |= {f"points_{name}": value for name, value in points.items()}
            clock.add("measuring")
            mlflow.log_metrics(scores, step=epoch)
            clock.add("tracking")
        scores = study.measure(model, len(study.test), last=True)
        clock.add("measuring")
        mlflow.log_metrics(scores)
    clock.add("tracking")
    return scores


def main(path: str) -> None:
    with open(path, encoding="utf-8") as file:
        settings = json.load(file)
    import mlflow

    mlflow.set_tracking_uri(settings["store"])
    mlflow.set_experiment("plain loops")
    torch.manual_seed(0)
    clock = Clock(torch.device(settings["device"]))
    study = Study(settings)
    clock.add("classifiers")
    metrics = [cell(study, loss, beta, clock) for loss, beta in settings["arms"]]
    own = {name: value for name, value in os.environ.items() if name.startswith(("OMP_", "MKL_", "KMP_", "GOMP_"))}
    environment = {"threads": torch.get_num_threads(), "torch": torch.__version__, "settings": own}
    print(json.dumps({"seconds": clock.seconds, "metrics": metrics, "environment": environment}))


if __name__ == "__main__":
    main(sys.argv[1])

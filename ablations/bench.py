"""Throughput: the loop everyone writes, the stack, and the machine's ceiling, in one run on one machine.

    python -m ablations.bench                 # about a minute; needs nothing but torch and torchvision
    python -m ablations.bench --quick         # a few seconds: does it run, is it roughly right
    python -m ablations.bench --device cuda

Every row is timed once per repetition, in turn, so that a machine that slows down affects all rows alike; a ratio is
the median over repetitions of ratios taken within one. The unit is model-epochs per second: one model seeing as many
images as the training set has. What was tried to get here, and what it gave, stands in ``bench.md`` beside this file.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter, strftime
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import ToTensor

from vae import VAE, Arm, ImageData, Stack, UserError, fit, load
from vae.metrics.similarity import ssim
from vae.training.layers import has_onednn, product
from vae.training.precision import tensor_cores
from vae.training.threads import side_by_side

LOSSES = ("bce", "mse", "mae")
QUICK, PLENTY = 1_280, 12_800  # images in one timing; results are scaled to the whole training set


@dataclass(frozen=True)
class Setting:
    """What all rows share: the images, the network, the batch and the device. arms: of the stack."""

    images: ImageData
    hidden: int
    latents: int
    batch: int
    arms: int
    device: torch.device

    def build(self) -> VAE:
        return VAE(self.images.image_shape, self.latents, hidden=(self.hidden,))

    @property
    def steps(self) -> int:
        return len(self.images.train) // self.batch


@dataclass
class Row:
    """One thing to time. work: does it once, for `models` models, and returns the seconds it took."""

    key: str
    label: str
    models: int
    work: Callable[[], float]
    seconds: list[float] = field(default_factory=list)
    peaks: list[int] = field(default_factory=list)

    def per_model(self) -> list[float]:
        return [seconds / self.models for seconds in self.seconds]


class Pictures(Dataset[tuple[Tensor, int]]):
    """Images one by one through PIL and ToTensor, line for line what torchvision's MNIST does with its own."""

    def __init__(self, images: Tensor) -> None:
        self.data, self.transform = (images * 255).round().to(torch.uint8), ToTensor()

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.data[index].numpy())), 0


def plain_loop(setting: Setting) -> float:
    """(a) The loop of the tutorials: a DataLoader, one model, a number read from the device at each step."""
    loader = DataLoader(Pictures(setting.images.train), setting.batch, shuffle=True, drop_last=True)
    model = setting.build().to(setting.device)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    total, started = 0.0, clock(setting.device)
    for x, _ in loader:
        optimiser.zero_grad()
        loss = usual_loss(model, x.to(setting.device).squeeze(1))
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.item()
        optimiser.step()
    return clock(setting.device) - started


def in_memory(setting: Setting) -> float:
    """(b) The same model and step with the images as one tensor, and no number read."""
    pixels = setting.images.train.to(setting.device)
    model = setting.build().to(setting.device)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    started = clock(setting.device)
    order = torch.randperm(len(pixels), device=setting.device)
    for step in range(setting.steps):
        optimiser.zero_grad()
        loss = usual_loss(model, pixels[order[step * setting.batch : (step + 1) * setting.batch]])
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return clock(setting.device) - started


def usual_loss(model: VAE, x: Tensor) -> Tensor:
    """BCE and KL summed, as in PyTorch's own example."""
    mean, logvar = model.encode(x)
    recon = torch.sigmoid(model.decode(mean + torch.exp(0.5 * logvar) * torch.randn_like(logvar)))
    bce = F.binary_cross_entropy(recon, x, reduction="sum")
    return bce - 0.5 * torch.sum(1 + logvar - mean.pow(2) - logvar.exp())


def stack(setting: Setting, precision: str) -> float:
    """(c), (e) What this suite does: all arms, three losses, one epoch. The second of two, so without the set-up."""
    training = {"epochs": 2, "batch_size": setting.batch, "precision": precision}
    arms = [Arm(LOSSES[i % len(LOSSES)], beta=1 + i, **training) for i in range(setting.arms)]
    whole = Stack.create(setting.build, arms, dataset="bench", seed=0, device=setting.device)
    records = fit(whole, setting.images)
    next(records)
    started = clock(setting.device)
    next(records)
    return clock(setting.device) - started


def products_by_bmm(setting: Setting, dtype: torch.dtype) -> float:
    """(d) The products of an epoch and nothing else: torch.bmm over all arms, with all threads, into given memory."""
    pairs = operands(setting, dtype)
    results = [a.new_empty(len(a), a.shape[1], b.shape[2]) for a, b in pairs]
    with tensor_cores(setting.device):
        started = clock(setting.device)
        for _ in range(setting.steps):
            for (a, b), result in zip(pairs, results):
                torch.bmm(a, b, out=result)
        return clock(setting.device) - started


def products_as_called(setting: Setting) -> float:
    """(d) The same products by the routine that the stack takes on this machine: oneDNN's, each core its own arm."""
    pairs = operands(setting, torch.float32)

    def one_arm(arm: int, _stopped: object) -> None:
        own = [(a[arm], b[arm].T) for a, b in pairs]
        for _ in range(setting.steps):
            for a, b in own:
                product(a, b)

    started = clock(setting.device)
    side_by_side([partial(one_arm, arm) for arm in range(setting.arms)])
    return clock(setting.device) - started


def operands(setting: Setting, dtype: torch.dtype) -> list[tuple[Tensor, Tensor]]:
    """The operands of the eleven products of a step of this network, (arms, rows, columns) each: three for each layer,
    but for the first, whose input needs no gradient, two."""
    pixels, hidden, latents = setting.images.pixels, setting.hidden, setting.latents
    arms, pairs = setting.arms, []
    for number, (inward, outward) in enumerate(
        [(pixels, hidden), (hidden, 2 * latents), (latents, hidden), (hidden, pixels)]
    ):
        new = partial(torch.rand, dtype=dtype, device=setting.device)
        inputs, weight = new(arms, setting.batch, inward), new(arms, outward, inward)
        gradient = new(arms, setting.batch, outward)
        pairs += [(inputs, weight.mT), (gradient.mT, inputs), *([(gradient, weight)] if number else [])]
    return pairs


def clock(device: torch.device) -> float:
    """Seconds, read when the device has finished all its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return perf_counter()


def rows(setting: Setting) -> list[Row]:
    """All that is timed, in the order of the table."""
    ceilings = [("ceiling-bmm", "(d) products alone, torch.bmm", partial(products_by_bmm, setting, torch.float32))]
    if has_onednn(setting.device):
        ceilings.append(
            ("ceiling-onednn", "(d) products alone, as the stack calls them", partial(products_as_called, setting))
        )
    table = [
        ("plain", "(a) plain loop: DataLoader, ToTensor, loss.item()", 1, partial(plain_loop, setting)),
        ("memory", "(b) one model, data in memory", 1, partial(in_memory, setting)),
        ("stack", f"(c) the stack, {setting.arms} arms, float32", setting.arms, partial(stack, setting, "float32")),
        *((key, label, setting.arms, work) for key, label, work in ceilings),
        (
            "bfloat16",
            f"(e) the stack, {setting.arms} arms, bfloat16",
            setting.arms,
            partial(stack, setting, "bfloat16"),
        ),
        (
            "ceiling-bfloat16",
            "    products alone, torch.bmm in bfloat16",
            setting.arms,
            partial(products_by_bmm, setting, torch.bfloat16),
        ),
    ]
    return [Row(key, label, models, work) for key, label, models, work in table]


def measure(table: Sequence[Row], repetitions: int, device: torch.device) -> None:
    """Each row once per repetition, in turn; the first turn, which loads what all later ones use, does not count."""
    for repetition in range(repetitions + 1):
        for row in table:
            forget_peak(device)
            seconds = row.work()
            if repetition:
                row.seconds.append(seconds)
                row.peaks.append(peak_bytes(device))


def forget_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with suppress(OSError):  # not on Linux, or not allowed: the peak is then the process's whole life's
            Path("/proc/self/clear_refs").write_text("5")


def peak_bytes(device: torch.device) -> int:
    """Of the device since :func:`forget_peak`, or of the process; 0 where the system does not say."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    try:
        status = Path("/proc/self/status").read_text().split("VmHWM:")[1]
    except (OSError, IndexError):
        return 0
    return int(status.split()[0]) * 1024


def similarity(images: Tensor) -> dict[str, float] | None:
    """Images per second of SSIM, batched here and one by one in scikit-image; None where that is not installed."""
    try:
        from skimage.metrics import structural_similarity
    except ImportError:
        return None
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    if min(images.shape[-2:]) < 11:
        options = {"win_size": 7, "use_sample_covariance": False, "data_range": 1.0}
    x = images.double()
    y = (0.9 * x + 0.05 * torch.rand(x.shape, dtype=x.dtype)).clamp(0, 1)
    batched, one_by_one = [], []
    for _ in range(3):
        started = perf_counter()
        ssim(x, y)
        batched.append(len(x) / (perf_counter() - started))
        started = perf_counter()
        for a, b in zip(x.numpy(), y.numpy()):
            structural_similarity(a, b, **options)
        one_by_one.append(len(x) / (perf_counter() - started))
    return {"batched": median(batched), "scikit_image": median(one_by_one)}


def summary(setting: Setting, table: Sequence[Row], whole: int, ssim_rates: dict[str, float] | None) -> dict[str, Any]:
    """All results as plain values. whole: images in a full epoch, to which the timings are scaled. ssim_rates: as
    `similarity` gives them."""
    scale = whole / (setting.steps * setting.batch)
    by_key = {row.key: row.per_model() for row in table}
    ceilings = [by_key[row.key] for row in table if row.key in ("ceiling-bmm", "ceiling-onednn")]
    ceiling = [min(turn) for turn in zip(*ceilings)]
    timings = [
        {
            "row": row.key,
            "label": row.label,
            "models": row.models,
            "seconds_per_model_epoch": median(by_key[row.key]) * scale,
            "model_epochs_per_second": 1 / (median(by_key[row.key]) * scale),
            "times_plain": median(a / b for a, b in zip(by_key["plain"], by_key[row.key])),
            "of_bmm_ceiling": median(a / b for a, b in zip(by_key["ceiling-bmm"], by_key[row.key])),
            "of_ceiling": median(a / b for a, b in zip(ceiling, by_key[row.key])),
            "peak_mib": round(max(row.peaks) / 2**20),
        }
        for row in table
    ]
    return {"machine": machine(setting), "rows": timings, "ssim_images_per_second": ssim_rates}


def machine(setting: Setting) -> dict[str, Any]:
    on_gpu = setting.device.type == "cuda"
    return {
        "date": strftime("%Y-%m-%d"),
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(setting.device) if on_gpu else platform.machine(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "dataset": setting.images.name,
        "network": f"{setting.images.pixels}-{setting.hidden}-{setting.latents}",
        "batch": setting.batch,
        "arms": setting.arms,
    }


def table_text(result: dict[str, Any]) -> str:
    """The results as lines for a terminal."""
    about = result["machine"]
    load = "" if about["load"] is None else f", load {about['load']:.1f}"
    head = (
        f"{about['dataset']}, {about['network']}, batch {about['batch']}, {about['device']} "
        f"({about['capability']}, {about['threads']} threads{load}), torch {about['torch']}, {about['date']}"
    )
    lines = [
        f"{row['label']:<51}{row['model_epochs_per_second']:>15.3f}{row['seconds_per_model_epoch']:>9.3f}"
        f"{row['times_plain']:>8.2f}{row['of_ceiling']:>8.2f}{row['of_bmm_ceiling']:>8.2f}{row['peak_mib']:>10}"
        for row in result["rows"]
    ]
    columns = f"{'':<51}{'model-epochs/s':>15}{'s each':>9}{'× (a)':>8}{'of (d)':>8}{'of bmm':>8}{'peak MiB':>10}"
    lines = [head, columns, *lines]
    ssim_rates = result["ssim_images_per_second"]
    if ssim_rates:
        times = ssim_rates["batched"] / ssim_rates["scikit_image"]
        lines.append(f"SSIM: {ssim_rates['batched']:.0f} images/s batched, {times:.1f} × scikit-image one by one")
    lines.append("(d) is the faster of its rows; a busy machine lowers every figure, so read the ratios.")
    return "\n".join(lines)


def images_for(name: str, root: str | None) -> ImageData:
    """MNIST where it is, else digits, else (without scikit-learn) made-up images: speed does not depend on content."""
    for dataset in ("mnist", "digits") if name == "auto" else (name,):
        try:
            return made_up(60_000) if dataset == "made-up" else load(dataset, root, download=False)
        except (UserError, ImportError):
            if name != "auto":
                raise
    return made_up(60_000)


def made_up(count: int) -> ImageData:
    """Noise of MNIST's shape."""
    images = torch.rand(count, 28, 28)
    return ImageData("made-up", images, images[:1000], None, None, images[:0], digest="")


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("ablate bench", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument(
        "--dataset", default="auto", help="a data set, or made-up; auto: MNIST where it is, else digits"
    )
    parser.add_argument("--data-dir", help="where MNIST/raw lies (default: ABLATE_DATA, then ./data)")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--arms", type=int, help="of the stack (default: 12, on a GPU 36)")
    parser.add_argument("--repetitions", type=int, help="of every row (default: 5, quick 1)")
    parser.add_argument(
        "--quick", action="store_true", help="fewer images and repetitions: seconds instead of a minute"
    )
    parser.add_argument("--json", default="bench.json", help="where to write the results (default: bench.json)")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the bench, print its table and write its JSON. Returns the exit code; raises UserError for bad requests."""
    options = arguments(argv)
    if options.device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: torch sees no CUDA device here; use --device cpu, or auto")
    device = torch.device("cuda" if options.device != "cpu" and torch.cuda.is_available() else "cpu")
    images = images_for(options.dataset, options.data_dir)
    whole = len(images.train)
    few = replace(images, train=images.train[: QUICK if options.quick else PLENTY], train_labels=None)
    large = images.pixels > 64
    hidden, latents, batch = (400, 20, 128) if large else (128, 8, 64)
    setting = Setting(few, hidden, latents, batch, options.arms or (12 if device.type == "cpu" else 36), device)
    table = rows(setting)
    measure(table, options.repetitions or (1 if options.quick else 5), device)
    result = summary(setting, table, whole, similarity(images.test[: 64 if options.quick else 256]))
    print(table_text(result))
    Path(options.json).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"Written to {options.json}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(f"ablate bench: {error}")

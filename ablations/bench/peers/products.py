"""(d) The ceiling: the matrix products of a step of many models of 784-400-20, and nothing else, by every routine.

A step has eleven products: three for each of the four layers (the mean and the log variance are one of 400 to 40), but
for the first, whose input needs no gradient, two. Each routine is tried with all threads in every product of all
models, and on a CPU also with models of its own on each core, all at once or one after the other; with oneDNN on and
off on a CPU; with and without TF32 on a GPU. All are probed on a few models; the fastest three then do a whole epoch of
all models, and the least time of these is the ceiling. The last line printed is JSON.

    python products.py --count 12800 --arms 12 --precision float32
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from itertools import pairwise
from time import perf_counter
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

BATCH = 128
LAYERS = ((784, 400), (400, 2 * 20), (20, 400), (400, 784))
PROBE_STEPS, PROBED, FULL = 3, 2, 3  # steps and arms per core of the probe; routines that go on to a whole epoch
Operands = tuple[Tensor, Tensor, Tensor]  # a (arms, n, k), b (arms, k, m), memory for the result (arms, n, m)

# What torch.compile calls for a linear layer. Not public in torch, hence the check.
_INNER_PRODUCT = getattr(torch.ops.mkldnn, "_linear_pointwise", None)


def by_bmm(a: Tensor, b: Tensor, out: Tensor) -> None:
    torch.bmm(a, b, out=out)


def by_baddbmm(a: Tensor, b: Tensor, out: Tensor) -> None:
    torch.baddbmm(out, a, b, beta=0, out=out)


def by_matmul(a: Tensor, b: Tensor, out: Tensor) -> None:
    torch.matmul(a, b)


def by_mm(a: Tensor, b: Tensor, out: Tensor) -> None:
    for arm in range(len(a)):
        torch.mm(a[arm], b[arm], out=out[arm])


def by_linear(a: Tensor, b: Tensor, out: Tensor) -> None:
    for arm in range(len(a)):
        F.linear(a[arm], b[arm].T)


def by_inner_product(a: Tensor, b: Tensor, out: Tensor) -> None:
    for arm in range(len(a)):
        _INNER_PRODUCT(a[arm], b[arm].T, None, "none", [], "")  # type: ignore[misc]


class Routine(NamedTuple):
    """A way to do the products. cores: each core has models of its own. at_once: of them in one product, None for all.
    setting: what it needs of torch."""

    name: str
    product: Callable[[Tensor, Tensor, Tensor], None]
    cores: bool
    at_once: int | None
    setting: Callable[[], AbstractContextManager[None]]


def routines(device: torch.device, precision: str) -> list[Routine]:
    """Every routine that there is for a device and a precision."""
    named = {
        "bmm": by_bmm,
        "baddbmm": by_baddbmm,
        "matmul": by_matmul,
        "mm per arm": by_mm,
        "linear per arm": by_linear,
    }
    settings: dict[str, Callable[[], AbstractContextManager[None]]] = {"": nullcontext}
    places: list[tuple[str, bool, int | None]] = [(", all threads", False, None)]
    if device.type == "cpu":
        settings[", oneDNN off"] = without_onednn
        places += [(", a core each", True, None), (", a core each, arm by arm", True, 1)]
    elif precision == "float32":
        settings[", TF32"] = with_tf32
    table = [
        Routine(f"{name}{place}{which}", product, cores, at_once, setting)
        for which, setting in settings.items()
        for place, cores, at_once in places
        for name, product in named.items()
    ]
    if device.type == "cpu" and _INNER_PRODUCT is not None:  # it is oneDNN's own, so there is nothing to switch off
        name = "oneDNN's inner product per arm"
        table += [
            Routine(f"{name}{place}", by_inner_product, cores, at_once, nullcontext) for place, cores, at_once in places
        ]
    return table


@contextmanager
def without_onednn() -> Iterator[None]:
    # Its own context also sets what a GPU of Intel's may round, and warns where there is none.
    setattr(torch.backends.mkldnn, "enabled", False)  # noqa: B010  mypy takes it for constant
    try:
        yield
    finally:
        setattr(torch.backends.mkldnn, "enabled", True)  # noqa: B010


@contextmanager
def with_tf32() -> Iterator[None]:
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision("highest")


def operands(arms: int, dtype: torch.dtype, device: torch.device) -> list[Operands]:
    """The operands of the eleven products, and memory for their results."""
    new, triples = partial(torch.rand, dtype=dtype, device=device), []
    for number, (inward, outward) in enumerate(LAYERS):
        inputs, weight = new(arms, BATCH, inward), new(arms, outward, inward)
        gradient = new(arms, BATCH, outward)
        pairs = [(inputs, weight.mT), (gradient.mT, inputs), *([(gradient, weight)] if number else [])]
        triples += [(a, b, a.new_empty(len(a), a.shape[1], b.shape[2])) for a, b in pairs]
    return triples


def blocks(routine: Routine, triples: Sequence[Operands], workers: int) -> list[list[list[Operands]]]:
    """The operands as each worker takes them, block after block."""
    arms = len(triples[0][0])
    shares = []
    for worker in range(workers):
        low, high = arms * worker // workers, arms * (worker + 1) // workers
        size = routine.at_once or high - low
        edges = [*range(low, high, size), high]
        shares.append([[(a[i:j], b[i:j], out[i:j]) for a, b, out in triples] for i, j in pairwise(edges)])
    return shares


def seconds_of(
    routine: Routine, triples: Sequence[Operands], steps: int, device: torch.device, longest: float = math.inf
) -> float:
    """Seconds of that many steps of all models, once a first step has been done; infinite if that one took longer than
    `longest`."""
    threads = torch.get_num_threads()
    workers = min(threads, len(triples[0][0])) if routine.cores else 1
    shares = blocks(routine, triples, workers)

    def work(share: Sequence[Sequence[Operands]], count: int) -> None:
        if routine.cores:
            torch.set_num_threads(1)  # of this thread
        for block in share:
            for _ in range(count):
                for a, b, out in block:
                    routine.product(a, b, out)

    try:
        with routine.setting(), ThreadPoolExecutor(workers) as pool:
            run = partial(pool.map, work, shares) if routine.cores else partial(map, work, shares)
            started = now(device)
            list(run([1] * workers))
            if now(device) - started > longest:
                return math.inf
            started = now(device)
            list(run([steps] * workers))
            return now(device) - started
    finally:
        torch.set_num_threads(threads)


def probe(table: dict[str, Routine], triples: Sequence[Operands], device: torch.device) -> dict[str, float]:
    """Seconds of a step of each routine; one that is far behind the best so far is not waited for."""
    seconds: dict[str, float] = {}
    for name, routine in table.items():
        longest = max(0.25, 10 * min(seconds.values(), default=math.inf))
        seconds[name] = seconds_of(routine, triples, PROBE_STEPS, device, longest) / PROBE_STEPS
    return seconds


def now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return perf_counter()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=60_000)
    parser.add_argument("--arms", type=int, default=12)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    device, threads = torch.device(options.device), torch.get_num_threads()
    triples = operands(options.arms, getattr(torch, options.precision), device)
    steps, few = (
        -(-options.count // BATCH),
        min(options.arms, PROBED * threads if device.type == "cpu" else options.arms),
    )
    table = {routine.name: routine for routine in routines(device, options.precision)}
    probed = probe(table, [(a[:few], b[:few], out[:few]) for a, b, out in triples], device)
    fastest = sorted(probed, key=lambda name: probed[name])[:FULL]
    whole = {name: seconds_of(table[name], triples, steps, device) / options.arms for name in fastest}
    best = min(whole, key=lambda name: whole[name])
    probes = {name: seconds * steps / few for name, seconds in probed.items() if math.isfinite(seconds)}
    settings = {name: value for name, value in os.environ.items() if name.startswith(("OMP_", "MKL_", "KMP_", "GOMP_"))}
    environment = {"threads": threads, "torch": torch.__version__, "settings": settings}
    timed = {"seconds": whole[best], "losses": {}, "environment": environment}
    print(json.dumps({**timed, "routine": best, "routines": probes | whole}))


if __name__ == "__main__":
    main()

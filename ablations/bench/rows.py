"""What the bench times: the rows of its table, and the program behind each."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ablations.bench.processes import Failure, Timing, timed
from ablations.bench.setting import Setting

PEERS = Path(__file__).parent / "peers"
OURS = "ablations.bench.ours"
STACK = "stack"  # the row that the losses of all others are compared with
CEILINGS = {"float32": "ceiling", "bfloat16": "ceiling-bfloat16"}

Round = dict[str, Timing | Failure]  # row's key -> what its program reported


@dataclass(frozen=True)
class Row:
    """arguments: of Python. ours: it runs this suite, with its settings; else it is started as its user would do it."""

    key: str
    label: str
    arguments: tuple[str, ...]
    ours: bool = False
    precision: str = "float32"

    @property
    def is_ceiling(self) -> bool:
        return self.key in CEILINGS.values()


def rows(setting: Setting) -> list[Row]:
    """All that is timed, in the order of the table."""
    images, device = ("--images", str(setting.file)), ("--device", setting.device)
    arms, count = ("--arms", str(setting.arms)), ("--count", str(setting.count))
    source = ("--root", str(setting.root), *count) if setting.root else images

    def peer(key: str, label: str, file: str, *options: str, precision: str = "float32") -> Row:
        return Row(key, label, (str(PEERS / file), *options, *device), precision=precision)

    def stack(key: str, label: str, path: str, precision: str) -> Row:
        options = ("--path", path, "--precision", precision, *images, *arms, *device)
        return Row(key, label, ("-m", OURS, *options), ours=True, precision=precision)

    def ceiling(precision: str) -> Row:
        label, options = f"(d) products alone, {precision}", ("--precision", precision, *count, *arms)
        return peer(CEILINGS[precision], label, "products.py", *options, precision=precision)

    side_by_side = f"{setting.arms} arms"
    return [
        peer("example", "(a) PyTorch's example: DataLoader, ToTensor, item()", "example.py", *source),
        peer("memory", "(b) one model, images in memory", "memory.py", *images),
        peer("vmap", f"(b2) torch.vmap, {side_by_side}", "vmap.py", *images, *arms),
        stack(STACK, f"(c) the stack, {side_by_side}, float32", "fused", "float32"),
        stack("autograd", f"(c) the stack by autograd, {side_by_side}", "autograd", "float32"),
        ceiling("float32"),
        stack("bfloat16", f"(e) the stack, {side_by_side}, bfloat16", "fused", "bfloat16"),
        ceiling("bfloat16"),
    ]


def measure(table: Sequence[Row], rounds: int) -> list[Round]:
    """Every row once a round, in turn, so that a machine that slows down affects all rows alike."""
    results: list[Round] = []
    for number in range(1, rounds + 1):
        results.append({})
        for row in table:
            print(f"round {number} of {rounds}: {row.label}", file=sys.stderr, flush=True)
            seed = () if row.is_ceiling else ("--seed", str(number))
            results[-1][row.key] = timed((*row.arguments, *seed), ours=row.ours)
    return results

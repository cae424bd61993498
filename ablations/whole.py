"""What of a study's stored parts a report can be made of: each is checked; what is damaged is left out and named."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from reports.numbers import counted
from reports.page.base import ALWAYS_THERE
from reports.page.evidence import Pictures
from tracking import schema
from tracking.reader import StudyInfo
from tracking.sums import Damage
from vae.errors import UserError

T = TypeVar("T")
SHOWN = 5  # damaged parts that the top of a report names one by one
_TEXTS = ("key", "measures", "arm", "origin")
_NUMBERS = ("beta", "beta_eff", "seed")


def plan_table(text: str) -> pd.DataFrame:
    """The planned cells of a study, one row each. Raises ValueError for what `ablations.records.planned` never gives.

    >>> plan_table("[]")
    Traceback (most recent call last):
    ValueError: it lists no cell
    """
    rows = json.loads(text)
    if not isinstance(rows, list) or not rows:
        raise ValueError("it lists no cell")
    for row in rows:
        if not isinstance(row, dict) or row.keys() != rows[0].keys():
            raise ValueError("its cells are not tables of the same keys")
        if wrong := [name for name in (*_TEXTS, "loss", "reduction") if not isinstance(row.get(name), str)]:
            raise ValueError(f"{wrong[0]} of a cell is no text")
        if wrong := [name for name in _NUMBERS if not _is_finite(row.get(name))]:
            raise ValueError(f"{wrong[0]} of a cell is not a finite number")
        if absent := [name for name in ALWAYS_THERE if name not in row]:
            raise ValueError(f"a cell lacks {absent[0]}")
    table = pd.DataFrame(rows)
    if table["key"].duplicated().any():
        raise ValueError("it lists a cell twice")
    return table


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def facts_of(text: str) -> dict[str, Any]:
    """The environment of a run. Raises ValueError for what `ablations.records.environment` never gives."""
    facts = json.loads(text)
    versions = facts.get("versions", {}) if isinstance(facts, dict) else None
    if not isinstance(versions, dict) or not all(isinstance(text, str) for text in versions.values()):
        raise ValueError("it is no table of an environment")
    return {name: str(value) for name, value in facts.items() if name != "versions"} | {"versions": versions}


def read_or(info: StudyInfo, name: str, parse: Callable[[str], T], damage: list[Damage], otherwise: T) -> T:
    """A file of a study as ``parse`` gives it; ``otherwise`` where it is missing or cannot be read, which is noted."""
    if name not in info.artifacts:
        if all(part.part != name for part in info.damage):
            damage.append(Damage(f"study {info.study}", info.run_id, name, "is missing"))
        return otherwise
    try:
        return parse(info.artifacts[name])
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
        lines = str(error).splitlines() or [type(error).__name__]
        damage.append(Damage(f"study {info.study}", info.run_id, name, f"cannot be read: {lines[0].rstrip('.')}"))
        return otherwise


def needed(info: StudyInfo, name: str, parse: Callable[[str], T]) -> T:
    """A file of a study without which there is no report. Raises UserError where it is missing or cannot be read."""
    damage: list[Damage] = []
    value = read_or(info, name, parse, damage, None)
    if value is None:
        why = damage[-1].why if damage else "is lost"
        raise UserError(
            f"study={info.study!r}: the file {name} of its latest run ({info.run_id}) {why}; "
            f"ablate run {info.study} writes it again and trains nothing that is done"
        )
    return value


def same_size(pictures: Mapping[str, Pictures], runs: Mapping[str, Any], damage: list[Damage]) -> dict[str, Pictures]:
    """The pictures of the cells that are images of the size that most are; the others are noted."""
    sizes = {key: _size(arrays) for key, arrays in pictures.items()}
    usual = Counter(size for size in sizes.values() if size).most_common(1)
    for key, size in sizes.items():
        if not size or size != usual[0][0]:
            info = runs[key].info
            damage.append(
                Damage(f"cell {info.run_name}", info.run_id, schema.PICTURES, "holds images of another size or form")
            )
    return {key: arrays for key, arrays in pictures.items() if sizes[key] and sizes[key] == usual[0][0]}


def _size(arrays: Pictures) -> tuple[int, ...]:
    """Shape of one image; empty for arrays that are not images of one size, as `Evaluator.measure` makes them."""
    images = [np.asarray(arrays[name]) for name in ("originals", "reconstructions", "samples") if name in arrays]
    if not all(array.ndim in (3, 4) and array.dtype == np.uint8 for array in images):
        return ()
    shapes = {array.shape[1:] for array in images if len(array)}
    originals, shown = (len(arrays.get(name, ())) for name in ("originals", "reconstructions"))
    good = len(shapes) == 1 and originals >= shown
    return next(iter(shapes)) if good and ("originals" in arrays or not shown) else ()


def notes(study: str, damage: Sequence[Damage]) -> list[str]:
    """What the top of a report says of what is damaged: each part with its run, and what repairs it.

    >>> notes("small", [Damage("cell mae-sum-b1-s0", "a1", "pictures.npz", "is missing")])[0]
    'Damaged: pictures.npz of cell mae-sum-b1-s0 (run a1) is missing.'
    """
    parts = list(dict.fromkeys(damage))
    if not parts:
        return []
    more = [f"{counted(len(parts) - SHOWN, 'more part')} of runs are damaged."] if len(parts) > SHOWN else []
    repair = f"This report is made without what is damaged; ablate run {study} repairs it."
    return [*(f"Damaged: {part.sentence}" for part in parts[:SHOWN]), *more, repair]

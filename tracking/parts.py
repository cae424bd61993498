"""The files that lie with runs, each checked as it is read: by its sum where its run has one, and by its form.

What is damaged is an error, or, where a list is given for it, a `Damage` in that list: the rest is read all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from tracking import artifacts, schema
from tracking.errors import TrackingError, first_line
from tracking.store import Store
from tracking.sums import PARTS, Damage, damage_of, file_damage, numbers_damage, record_of, sum_of, sums_of
from tracking.values import history_of

if TYPE_CHECKING:
    from mlflow.entities import Run

T = TypeVar("T")
_MOVED = "Was the folder moved or cleaned? MLflow keeps its absolute address"


def read_parts(
    store: Store,
    runs: Mapping[str, Run],
    name: str,
    parse: Callable[[bytes], T],
    damage: list[Damage] | None = None,
    *,
    required: bool = False,
) -> dict[str, T]:
    """One file of each of many runs, by any key, as ``parse`` gives it; those that have none are left out.

    damage: takes what is damaged; None raises TrackingError for the first. required: a run without the file is damaged,
    as is one whose sums name it.
    """
    errors: dict[str, TrackingError] = {}
    contents = artifacts.read(store, artifacts.addresses(runs), name, errors)
    parsed: dict[str, T] = {}
    for key, content in contents.items():
        wrong = file_damage(runs[key], name, content)
        if key in errors:
            wrong = damage_of(runs[key], name, f"cannot be read: {errors[key]}")
        elif content is None and (required or wrong is not None):
            wrong = damage_of(runs[key], name, f"is not at {runs[key].info.artifact_uri}. {_MOVED}")
        elif content is not None and wrong is None:
            try:
                parsed[key] = parse(content)
            except (Exception, MemoryError) as error:  # json, zipfile, zlib and numpy each have their own
                wrong = damage_of(runs[key], name, f"cannot be read: {first_line(error)}")
        if wrong is not None:
            note(wrong, damage)
    return parsed


def note(wrong: Damage, damage: list[Damage] | None) -> None:
    """Adds to the list of what is damaged; raises TrackingError where there is none."""
    if damage is None:
        raise TrackingError(f"{wrong.sentence.rstrip('.')}. Run the study again: it repairs the cell.")
    damage.append(wrong)


def check_cells(store: Store, runs: Mapping[str, Run]) -> dict[str, list[Damage]]:
    """What is damaged of these cells' runs, by key: the parts that a report reads, and the numbers."""
    damage = [wrong for run in runs.values() if (wrong := numbers_damage(run)) is not None]
    for name in PARTS:
        done = {key: run for key, run in runs.items() if name in sums_of(run) or schema.TAG_SUMS not in run.data.tags}
        parse: Callable[[bytes], Any] = _history if name == schema.HISTORY else artifacts.unpack
        read_parts(store, done, name, parse, damage, required=name == schema.HISTORY)
    keys = {run.info.run_id: key for key, run in runs.items()}
    by_key: dict[str, list[Damage]] = {}
    for wrong in damage:
        by_key.setdefault(keys[wrong.run_id], []).append(wrong)
    return by_key


def check_weights(store: Store, runs: Mapping[str, Run]) -> list[Damage]:
    """The weights kept in these runs that are lost or damaged."""
    damage: list[Damage] = []
    holders = {key: run for key, run in runs.items() if run.data.tags.get(schema.TAG_WEIGHTS) == run.info.run_id}
    sums = read_parts(store, holders, schema.WEIGHTS, sum_of, damage, required=True)
    for key, digest in sums.items():
        if digest != holders[key].data.tags.get(schema.TAG_WEIGHTS_DIGEST):
            damage.append(damage_of(holders[key], schema.WEIGHTS, "is damaged: it is not what was written"))
    return damage


def read_records(store: Store, runs: Mapping[str, Run]) -> dict[str, dict[str, Any]]:
    """The record of each run that has one that is whole, by the same keys."""
    return read_parts(store, runs, schema.RECORD, record_of, [])


def read_texts(store: Store, run: Run, names: tuple[str, ...]) -> tuple[dict[str, str], tuple[Damage, ...]]:
    """Those of these text files that a run has, and what of them is damaged; what its record still holds is whole."""
    texts: dict[str, str] = {}
    damage: list[Damage] = []
    for name in names:
        texts |= read_parts(store, {name: run}, name, bytes.decode, damage)
    if damage:
        kept = read_records(store, {"": run}).get("", {}).get("files", {})
        texts |= {wrong.part: kept[wrong.part] for wrong in damage if wrong.part in kept}
    return texts, tuple(damage)


def _history(content: bytes) -> object:
    return history_of(content.decode())

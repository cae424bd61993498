"""Weights kept with cells, so that a new metric is measured on them and nothing is trained again.

The run that trained a cell holds them as a file. Its own tags, and those of every run that measured the same weights
later, say which run that is and what the file's SHA-256 is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from tracking import artifacts
from tracking.errors import TrackingError
from tracking.parts import read_parts, read_records
from tracking.schema import HISTORY, TAG_KEY, TAG_WEIGHTS, TAG_WEIGHTS_DIGEST, WEIGHTS
from tracking.search import complete_runs
from tracking.store import Store
from tracking.sums import Damage
from tracking.values import history_of

if TYPE_CHECKING:
    from mlflow.entities import Run

History = tuple[dict[str, float], ...]

_RESERVED = ("ablate.", "mlflow.")  # tags that the writer and MLflow set themselves


@dataclass(frozen=True)
class KeptCell:
    """A trained cell whose weights are kept: what a second record of it, under other measures, is made of.

    run_id: the run that holds the file. address: that run's artifact address. sha256: of the file. params, name,
    history, tags: as they were given to the `CellRecord` that was trained; params as text.
    """

    key: str
    run_id: str
    address: str
    sha256: str
    name: str
    params: Mapping[str, str]
    history: tuple[Mapping[str, float], ...]
    tags: Mapping[str, str]


def kept(store: Store, keys: Iterable[str], study: str | None = None) -> dict[str, KeptCell]:
    """The trained cells among ``keys`` whose tags say that weights are kept, however they were measured, if they were.

    In the order of ``keys``. study: where to look first. The weights themselves are not read. A cell whose training
    run was deleted in MLflow, or whose history is lost, in its record too, is not among them.
    """
    wanted = list(dict.fromkeys(keys))
    holders: dict[str, Run] = {}
    for run in complete_runs(store, wanted, study, enough=_is_holder):
        if _is_holder(run):
            first = holders.setdefault(run.data.tags[TAG_KEY], run)
            if first.info.experiment_id == run.info.experiment_id:
                holders[run.data.tags[TAG_KEY]] = run  # the latest: damaged weights were trained again
    damage: list[Damage] = []
    there = read_parts(store, holders, HISTORY, _history, damage, required=True)
    lost = {key: run for key, run in holders.items() if key not in there}
    for key, record in read_records(store, lost).items() if lost else ():
        there[key] = history_of(record.get("history", "[]"))
    return {key: _kept_cell(key, holders[key], there[key]) for key in wanted if key in there}


def read_weights(store: Store, cell: KeptCell) -> bytes:
    """The content of a cell's weights' file, checked. Raises TrackingError if it is missing or not what was written."""
    content = artifacts.read(store, {cell.key: (cell.run_id, cell.address)}, WEIGHTS)[cell.key]
    if content is None:
        raise TrackingError(
            f"{WEIGHTS} of cell {cell.name} (run {cell.run_id}) is not at {cell.address}. "
            "Was the folder moved or cleaned? Delete the run in MLflow, and the cell is trained again."
        )
    if sha256(content).hexdigest() != cell.sha256:
        raise TrackingError(
            f"{WEIGHTS} of cell {cell.name} (run {cell.run_id}) is damaged: its {len(content)} bytes are not those "
            "that were written. Delete the run in MLflow, and the cell is trained again."
        )
    return content


def weights_behind(store: Store, run: Run) -> bytes | None:
    """The content of the weights' file that the numbers of a done cell were measured on, wherever it lies.

    None where none is kept. Raises TrackingError as `read_weights` does.
    """
    holder = run.data.tags.get(TAG_WEIGHTS)
    if holder is None:
        return None
    info = run.info if holder == run.info.run_id else store.client.get_run(holder).info
    digest = run.data.tags.get(TAG_WEIGHTS_DIGEST, "")
    where = KeptCell(run.data.tags[TAG_KEY], holder, info.artifact_uri, digest, run.info.run_name, {}, (), {})
    return read_weights(store, where)


def _is_holder(run: Run) -> bool:
    return bool(run.data.tags.get(TAG_WEIGHTS) == run.info.run_id)


def _history(content: bytes) -> History:
    return history_of(content.decode())


def _kept_cell(key: str, run: Run, history: History) -> KeptCell:
    return KeptCell(
        key=key,
        run_id=run.info.run_id,
        address=run.info.artifact_uri,
        sha256=run.data.tags.get(TAG_WEIGHTS_DIGEST, ""),
        name=run.info.run_name,
        params=dict(run.data.params),
        history=history,
        tags={name: value for name, value in run.data.tags.items() if not name.startswith(_RESERVED)},
    )

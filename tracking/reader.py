"""Reads a study back: a tidy frame, its history, its pictures. Refuses what cannot be trusted.

A cell lists the metrics it measured and those that came out NaN or infinite, so a value that is missing, or a NaN that
MLflow has stored as 0, is seen here and not averaged.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from tracking import artifacts
from tracking.errors import TrackingError
from tracking.schema import (
    CLAIMS_FILE,
    ENVIRONMENT,
    FINAL,
    HISTORY,
    HISTORY_COLUMNS,
    LEADING_COLUMNS,
    NUMBERS,
    OTHER_COLUMNS,
    PICTURES,
    REQUIRED,
    SECONDS,
    STATUS_DONE,
    STUDY_FILE,
    TAG_KEY,
    TAG_METRICS,
    TAG_NON_FINITE,
    TAG_REASON,
    TAG_STATUS,
    TAG_STUDY,
)
from tracking.search import Gathered, gather, parents
from tracking.store import Store
from tracking.values import history_rows, split_names

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from mlflow.entities import Run

_LARGEST = 1.7976931348623157e308  # what MLflow stores for infinity
_TAGS: Mapping[str, str] = {"key": TAG_KEY, "status": TAG_STATUS, "reason": TAG_REASON}


@dataclass(frozen=True)
class StudyInfo:
    """One invocation of a study: its parent run. Times in UTC; status is MLflow's word, which proves nothing."""

    study: str
    run_id: str
    status: str
    started: datetime
    finished: datetime | None
    params: Mapping[str, str]
    tags: Mapping[str, str]
    metrics: Mapping[str, float]
    artifacts: Mapping[str, str]


def read_cells(
    store: Store,
    keys: Iterable[str] | Gathered | None = None,
    study: str | None = None,
    *,
    fields: Sequence[str] = (),
    allow_missing: bool = False,
) -> pd.DataFrame:
    """The tidy frame: one row per cell, done or failed; columns as in `tracking.schema`, then ``fields``.

    keys: the cells wanted, in this order, wherever in the store they are, or what `gather` found; None for all of
    ``study``, or of the store.
    fields: further params to add as columns, numbers where they read as such. allow_missing: leave out keys that have
    no complete run, instead of refusing. What the reader should know is in ``frame.attrs["notes"]``, sentences.

    A done cell's NaN is a metric that came out NaN or infinite, or one that only other cells measure; a failed cell's
    metrics are all NaN. Raises TrackingError for missing cells and for a cell whose metrics do not add up.
    """
    import pandas as pd

    found = gather(store, keys, study)
    if found.missing and not allow_missing:
        raise TrackingError(
            f"{len(found.missing)} of {len(found.missing) + len(found.runs)} cells are not complete in {store.shown}, "
            f"such as {found.missing[0]}. Run the study again: it trains what is missing."
        )
    rows = [_row(run, fields) for run in found.runs.values()]
    metrics = dict.fromkeys(name for _, measured in rows for name in measured)
    data = {name: [row[name] for row, _ in rows] for name in LEADING_COLUMNS}
    data |= {name: [measured.get(name, math.nan) for _, measured in rows] for name in metrics}
    data |= {name: [row[name] for row, _ in rows] for name in (*OTHER_COLUMNS, *fields)}
    frame = pd.DataFrame(data)
    frame = frame.astype({name: kind for name, kind in NUMBERS.items() if kind is float} | {"seed": "int64"})
    frame.attrs["notes"] = (*found.notes, *_uneven(rows, list(metrics)))
    return frame


def read_history(store: Store, keys: Iterable[str] | Gathered | None = None, study: str | None = None) -> pd.DataFrame:
    """Per-epoch values of complete cells, failed ones included: columns key, epoch, metric, value.

    keys, study: as for `read_cells`; keys without a complete run are left out. NaN and infinity are kept as such.
    Raises TrackingError for a cell whose history is missing.
    """
    import pandas as pd

    runs = gather(store, keys, study).runs
    contents = _read_all(store, runs, HISTORY)
    rows = [(key, *row) for key, content in contents.items() for row in history_rows(content.decode())]
    columns = list(zip(*rows, strict=True)) or [()] * len(HISTORY_COLUMNS)
    kinds = {"key": "str", "epoch": "int64", "metric": "str", "value": "float64"}
    return pd.DataFrame(dict(zip(HISTORY_COLUMNS, map(list, columns), strict=True))).astype(kinds)


def read_pictures(store: Store, keys: Iterable[str] | Gathered) -> dict[str, dict[str, np.ndarray]]:
    """The arrays of each cell's `pictures.npz`, by key. Cells without a complete run or without pictures are left out.

    Read without pickle. Raises TrackingError for a file that is no archive of arrays.
    """
    runs = gather(store, keys).runs
    found = artifacts.read(store, _addresses(runs), PICTURES)
    result = {}
    for key, content in found.items():
        if content is not None:
            try:
                result[key] = artifacts.unpack(content)
            except Exception as error:  # zipfile, zlib and numpy each have their own
                raise TrackingError(f"{PICTURES} of cell {runs[key].info.run_name} cannot be read: {error}") from error
    return result


def studies(store: Store) -> list[StudyInfo]:
    """All invocations of all studies in the store, newest first, without their artifacts."""
    return [_info(run, {}) for run in parents(store)]


def study_info(store: Store, study: str, files: Sequence[str] = (STUDY_FILE, CLAIMS_FILE, ENVIRONMENT)) -> StudyInfo:
    """The latest invocation of a study, with those of its text ``files`` that exist.

    Raises TrackingError, with the nearest name, if the study was never run in this store.
    """
    runs = parents(store, study)
    if not runs:
        known = sorted({run.data.tags.get(TAG_STUDY, "") for run in parents(store)})
        near = get_close_matches(study, known, n=1)
        tail = f" Did you mean {near[0]!r}?" if near else ""
        raise TrackingError(f"study={study!r} was never run in {store.shown}; it holds {known}.{tail}")
    run = runs[0]
    texts = {}
    for name in files:
        content = artifacts.read(store, _addresses({name: run}), name)[name]
        if content is not None:
            texts[name] = content.decode()
    return _info(run, texts)


def _row(run: Run, fields: Sequence[str]) -> tuple[dict[str, Any], dict[str, float]]:
    """A cell's columns, and its metrics in the order measured (empty for a failed one)."""
    params, tags = run.data.params, run.data.tags
    if absent := [name for name in REQUIRED if name not in params]:
        raise TrackingError(f"cell {_called(run)} has no param {absent[0]!r}: it was not written by this program.")
    row: dict[str, Any] = {
        name: tags.get(_TAGS[name], "") if name in _TAGS else _parsed(run, name)
        for name in (*LEADING_COLUMNS, *OTHER_COLUMNS)
    }
    row["seconds"] = run.data.metrics.get(SECONDS, math.nan)
    row |= {name: _guessed(params.get(name, "")) for name in fields}
    return row, _metrics(run) if tags[TAG_STATUS] == STATUS_DONE else {}


def _metrics(run: Run) -> dict[str, float]:
    """A done cell's final metrics, checked against the names that it lists.

    Raises TrackingError for a hole, and for a value that stands where NaN or infinity came out.
    """
    names, complete = split_names(run.data.tags.get(TAG_METRICS, ""))
    bad, all_bad = split_names(run.data.tags.get(TAG_NON_FINITE, ""))
    sent = {name.removeprefix(FINAL): value for name, value in run.data.metrics.items() if name.startswith(FINAL)}
    holes = [name for name in names if name not in sent and name not in bad]
    if holes and all_bad:
        raise TrackingError(
            f"cell {_called(run)} is marked done but lacks {holes}: it was changed after it was written. "
            "Delete the run in MLflow and run the study again."
        )
    for name, value in sent.items():
        if name in bad or not math.isfinite(value) or abs(value) >= _LARGEST:
            raise TrackingError(
                f"cell {_called(run)}: {FINAL}{name}={value} stands for a NaN or infinity, which MLflow cannot store. "
                "Delete the run in MLflow and run the study again."
            )
    rest = () if complete else sorted(set(sent) - set(names))
    return {name: sent.get(name, math.nan) for name in (*names, *rest)}


def _parsed(run: Run, name: str) -> Any:
    """A param in the type of its column; a number that is absent is NaN, a word is empty."""
    text = run.data.params.get(name, "")
    kind = NUMBERS.get(name)
    if kind is None:
        return text
    if not text:
        return math.nan
    try:
        return kind(text)
    except ValueError as error:
        raise TrackingError(f"cell {_called(run)} has {name}={text!r}, which is no {kind.__name__}.") from error


def _guessed(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _uneven(rows: Sequence[tuple[Mapping[str, Any], Mapping[str, float]]], metrics: Sequence[str]) -> list[str]:
    """Metrics that only some of the done cells measured, said in a sentence each."""
    done = [measured for row, measured in rows if row["status"] == STATUS_DONE]
    counts = {name: sum(name in measured for measured in done) for name in metrics}
    return [f"{name} was measured in {n} of {len(done)} cells." for name, n in counts.items() if n < len(done)]


def _read_all(store: Store, runs: Mapping[str, Run], name: str) -> dict[str, bytes]:
    """One file of each run. Raises TrackingError where it is missing."""
    result: dict[str, bytes] = {}
    for key, content in artifacts.read(store, _addresses(runs), name).items():
        if content is None:
            raise TrackingError(
                f"{name} of cell {_called(runs[key])} is not at {runs[key].info.artifact_uri}. "
                "Was the folder moved or cleaned? MLflow keeps its absolute address."
            )
        result[key] = content
    return result


def _addresses(runs: Mapping[str, Run]) -> dict[str, tuple[str, str]]:
    return {key: (run.info.run_id, run.info.artifact_uri) for key, run in runs.items()}


def _info(run: Run, texts: Mapping[str, str]) -> StudyInfo:
    end = run.info.end_time
    return StudyInfo(
        study=run.data.tags.get(TAG_STUDY, ""),
        run_id=run.info.run_id,
        status=run.info.status,
        started=datetime.fromtimestamp(run.info.start_time / 1000, UTC),
        finished=None if end is None else datetime.fromtimestamp(end / 1000, UTC),
        params=dict(run.data.params),
        tags=dict(run.data.tags),
        metrics=dict(run.data.metrics),
        artifacts=texts,
    )


def _called(run: Run) -> str:
    return f"{run.info.run_name} (run {run.info.run_id})"

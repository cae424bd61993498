"""Reads a study back: a tidy frame, its history, its pictures. Refuses what cannot be trusted.

A cell lists the metrics it measured and those that came out NaN or infinite, so a value that is missing, or a NaN that
MLflow has stored as 0, is seen here and not averaged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from difflib import get_close_matches
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from tracking import artifacts, schema
from tracking.errors import TrackingError
from tracking.parts import note, read_parts, read_texts
from tracking.search import Keys, gather, parents
from tracking.store import Store
from tracking.sums import NUMBERS, Damage, damage_of, numbers_damage
from tracking.values import history_of, split_names

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from mlflow.entities import Run

_LARGEST = 1.7976931348623157e308  # what MLflow stores for infinity
_TAGS: Mapping[str, str] = {"key": schema.TAG_KEY, "status": schema.TAG_STATUS, "reason": schema.TAG_REASON}


@dataclass(frozen=True)
class StudyInfo:
    """One invocation of a study: its parent run. Times in UTC; status is MLflow's own. artifacts: its text files; where
    one is damaged (see damage), as its record has it."""

    study: str
    run_id: str
    status: str
    started: datetime
    finished: datetime | None
    params: Mapping[str, str]
    tags: Mapping[str, str]
    metrics: Mapping[str, float]
    artifacts: Mapping[str, str]
    damage: tuple[Damage, ...] = ()


def read_cells(
    store: Store,
    keys: Keys = None,
    study: str | None = None,
    *,
    parsers: Mapping[str, Callable[[str], Any]] = MappingProxyType({}),
    allow_missing: bool = False,
    damage: list[Damage] | None = None,
) -> pd.DataFrame:
    """The tidy frame: one row per cell, done or failed; columns as in `tracking.schema`, then those of ``parsers``.

    keys: the cells wanted, in this order, wherever in the store they are; a mapping names the measures of each; or
    what `gather` returned; None for all of ``study``, or of the store.
    parsers: further params to add as columns, and what makes a value of the text; None where a cell has no such param.
    allow_missing: leave out keys that have no complete run, instead of refusing. ``frame.attrs["notes"]`` are sentences
    for the reader. damage: takes cells that cannot be trusted, which are then left out, instead of refusing.

    A done cell's NaN is a metric that came out NaN or infinite, or one that only other cells measure; a failed cell's
    metrics are all NaN. Raises TrackingError for missing cells, for a cell whose metrics do not add up, and for a
    param that cannot be parsed.
    """
    import pandas as pd

    cells = gather(store, keys, study)
    if cells.missing and not allow_missing:
        raise TrackingError(
            f"{len(cells.missing)} of {len(cells.missing) + len(cells.runs)} cells are not complete in {store.shown}, "
            f"such as {cells.missing[0]}. Run the study again: it trains what is missing."
        )
    rows = [row for run in cells.runs.values() if (row := _trusted(run, parsers, damage)) is not None]
    metrics = dict.fromkeys(name for _, measured in rows for name in measured)
    data: dict[str, Any] = {name: [row[name] for row, _ in rows] for name in schema.LEADING_COLUMNS}
    data |= {name: [measured.get(name, math.nan) for _, measured in rows] for name in metrics}
    data |= {name: [row[name] for row, _ in rows] for name in schema.OTHER_COLUMNS}
    for name in parsers:
        values = [row[name] for row, _ in rows]
        # Where some are None the values stay as they are: pandas would make NaN of them.
        data[name] = pd.Series(values, dtype=object if None in values else None)
    frame = pd.DataFrame(data)
    frame = frame.astype({name: kind for name, kind in schema.NUMBERS.items() if kind is float} | {"seed": "int64"})
    frame.attrs["notes"] = (*cells.notes, *_uneven(rows, list(metrics)))
    return frame


def read_history(
    store: Store, keys: Keys = None, study: str | None = None, damage: list[Damage] | None = None
) -> pd.DataFrame:
    """Per-epoch values of complete cells, failed ones included: columns key, epoch, metric, value.

    keys, study: as for `read_cells`; keys without a complete run are left out. NaN and infinity are kept as such.
    damage: takes histories that are missing or damaged, which are then left out; without it they raise TrackingError.
    """
    import pandas as pd

    runs = gather(store, keys, study).runs
    rows = [
        (key, row[schema.EPOCH], name, value)
        for key, history in read_parts(store, runs, schema.HISTORY, _history, damage, required=True).items()
        for row in history
        for name, value in row.items()
        if name != schema.EPOCH
    ]
    columns = list(zip(*rows, strict=True)) or [()] * len(schema.HISTORY_COLUMNS)
    kinds = {"key": "str", "epoch": "int64", "metric": "str", "value": "float64"}
    return pd.DataFrame(dict(zip(schema.HISTORY_COLUMNS, map(list, columns), strict=True))).astype(kinds)


def read_pictures(store: Store, keys: Keys, damage: list[Damage] | None = None) -> dict[str, dict[str, np.ndarray]]:
    """The arrays of each cell's `pictures.npz`, by key. Cells without a complete run or without pictures are left out.

    Read without pickle. Raises TrackingError for a file that is not an archive of arrays, unless ``damage`` takes it.
    """
    return _read_arrays(store, keys, schema.PICTURES, None, damage)


def read_per_image(
    store: Store, keys: Keys, metrics: Iterable[str], damage: list[Damage] | None = None
) -> dict[str, dict[str, np.ndarray]]:
    """The values that these metrics are the means of, by key of the cell and metric, from `per_image.npz`.

    (m,) by image, (K, m) by classifier and image, (K,) by classifier; float32, NaN where an image has no value. Beside
    each of the first two, ``<metric>.images``: over how many images the metric is the mean, m of which were kept. The
    images are the same for every cell of a data set. Cells and metrics without kept values are left out. Raises
    TrackingError for a file that is not an archive of arrays, unless ``damage`` takes it.
    """
    names = {name for metric in metrics for name in (metric, f"{metric}.images")}
    return _read_arrays(store, keys, schema.PER_IMAGE, names, damage)


def _read_arrays(
    store: Store, keys: Keys, file: str, names: Container[str] | None, damage: list[Damage] | None
) -> dict[str, dict[str, np.ndarray]]:
    runs = gather(store, keys).runs
    return read_parts(store, runs, file, lambda content: artifacts.unpack(content, names), damage)


def _history(content: bytes) -> tuple[dict[str, float], ...]:
    return history_of(content.decode())


def _trusted(
    run: Run, parsers: Mapping[str, Callable[[str], Any]], damage: list[Damage] | None
) -> tuple[dict[str, Any], dict[str, float]] | None:
    """A cell's row; None, and a damage, where it cannot be trusted."""
    try:
        row = _row(run, parsers)
    except TrackingError as error:
        if damage is None:
            raise
        damage.append(damage_of(run, NUMBERS, f"cannot be read: {error}".rstrip(".")))
        return None
    wrong = numbers_damage(run)
    if wrong is not None:
        note(wrong, damage)
    return row if wrong is None else None


def studies(store: Store) -> list[StudyInfo]:
    """All invocations of all studies in the store, newest first, without their artifacts."""
    return [_info(run, {}) for run in parents(store)]


def study_info(
    store: Store, study: str, files: Sequence[str] = (schema.STUDY_FILE, schema.CLAIMS_FILE, schema.ENVIRONMENT)
) -> StudyInfo:
    """The latest invocation of a study, with those of its text ``files`` that exist.

    Raises TrackingError, with the nearest name, if the study was never run in this store.
    """
    info = latest(store, study, files)
    if info is None:
        known = sorted({run.data.tags.get(schema.TAG_STUDY, "") for run in parents(store)})
        near = get_close_matches(study, known, n=1)
        tail = f" Did you mean {near[0]!r}?" if near else ""
        raise TrackingError(f"study={study!r} was never run in {store.shown}; it holds {known}.{tail}")
    return info


def invocations(
    store: Store, study: str, files: Iterable[str], wanted: Callable[[Mapping[str, str]], bool]
) -> Iterator[StudyInfo]:
    """The invocations of a study whose params are ``wanted``, newest first, with those of its text files that exist."""
    for run in parents(store, study):
        if wanted(run.data.params):
            texts, damage = read_texts(store, run, tuple(files))
            yield replace(_info(run, texts), damage=damage)


def latest(store: Store, study: str, files: Iterable[str] = ()) -> StudyInfo | None:
    """The latest invocation of a study, with those of its text ``files`` that exist; None if it was never run."""
    run = next(iter(parents(store, study)), None)
    if run is None:
        return None
    texts, damage = read_texts(store, run, tuple(files))
    return replace(_info(run, texts), damage=damage)


def _row(run: Run, parsers: Mapping[str, Callable[[str], Any]]) -> tuple[dict[str, Any], dict[str, float]]:
    """A cell's columns, and its metrics in the order measured (empty for a failed one)."""
    params, tags = run.data.params, run.data.tags
    if absent := [name for name in schema.REQUIRED if name not in params]:
        raise TrackingError(f"cell {_shown(run)} has no param {absent[0]!r}: it was not written by this program.")
    row: dict[str, Any] = {
        name: tags.get(_TAGS[name], "") if name in _TAGS else _column(run, name)
        for name in (*schema.LEADING_COLUMNS, *schema.OTHER_COLUMNS)
    }
    row["seconds"] = run.data.metrics.get(schema.SECONDS, math.nan)
    row |= {name: _parsed(run, name, parse) if name in params else None for name, parse in parsers.items()}
    return row, _metrics(run) if tags[schema.TAG_STATUS] == schema.STATUS_DONE else {}


def _metrics(run: Run) -> dict[str, float]:
    """A done cell's final metrics, checked against the names that it lists.

    Raises TrackingError for a hole, and for a value that stands where NaN or infinity came out.
    """
    names, complete = split_names(run.data.tags.get(schema.TAG_METRICS, ""))
    bad, all_bad = split_names(run.data.tags.get(schema.TAG_NON_FINITE, ""))
    final = schema.FINAL
    sent = {name.removeprefix(final): value for name, value in run.data.metrics.items() if name.startswith(final)}
    holes = [name for name in names if name not in sent and name not in bad]
    if holes and all_bad:
        raise TrackingError(
            f"cell {_shown(run)} is marked done but lacks {holes}: it was changed after it was written. "
            "Delete the run in MLflow and run the study again."
        )
    for name, value in sent.items():
        if name in bad or not math.isfinite(value) or abs(value) >= _LARGEST:
            raise TrackingError(
                f"cell {_shown(run)}: {final}{name}={value} stands for a NaN or infinity, "
                "which MLflow cannot store. Delete the run in MLflow and run the study again."
            )
    rest = () if complete else sorted(set(sent) - set(names))
    return {name: sent.get(name, math.nan) for name in (*names, *rest)}


def _column(run: Run, name: str) -> Any:
    """A param in the type of its column; a number that is absent is NaN, a text is empty."""
    text, kind = run.data.params.get(name, ""), schema.NUMBERS.get(name)
    if kind is None:
        return text
    if not text:
        return math.nan
    number = _parsed(run, name, kind)
    if not math.isfinite(number):
        raise TrackingError(f"cell {_shown(run)} has {name}={text!r}, which is not a finite number.")
    return number


def _parsed(run: Run, name: str, parse: Callable[[str], Any]) -> Any:
    text = run.data.params[name]
    try:
        return parse(text)
    except (ValueError, OverflowError) as error:
        reason = f"is not of type {parse.__name__}" if isinstance(parse, type) else f"cannot be read: {error}"
        raise TrackingError(f"cell {_shown(run)} has {name}={text!r}, which {reason.rstrip('.')}.") from error


def _uneven(rows: Sequence[tuple[Mapping[str, Any], Mapping[str, float]]], metrics: Sequence[str]) -> list[str]:
    """Metrics that only some of the done cells of an arm measured, a sentence for each. Whole arms may lack a metric:
    models without labels have no accuracy by class, for example."""
    done = [(row["arm"], measured) for row, measured in rows if row["status"] == schema.STATUS_DONE]
    notes = []
    for name in metrics:
        arms = {arm for arm, measured in done if name in measured}
        counted = [name in measured for arm, measured in done if arm in arms]
        if not all(counted):
            notes.append(f"{name} was measured in {sum(counted)} of {len(counted)} cells.")
    return notes


def _info(run: Run, texts: Mapping[str, str]) -> StudyInfo:
    end = run.info.end_time
    return StudyInfo(
        study=run.data.tags.get(schema.TAG_STUDY, ""),
        run_id=run.info.run_id,
        status=run.info.status,
        started=datetime.fromtimestamp(run.info.start_time / 1000, UTC),
        finished=None if end is None else datetime.fromtimestamp(end / 1000, UTC),
        params=dict(run.data.params),
        tags=dict(run.data.tags),
        metrics=dict(run.data.metrics),
        artifacts=texts,
    )


def _shown(run: Run) -> str:
    return f"{run.info.run_name} (run {run.info.run_id})"

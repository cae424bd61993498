"""What the store holds of one arm or one cell: its numbers, where its pictures lie, and its page in MLflow's UI."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ablations.records import read_results
from ablations.whole import needed, plan_table
from tracking import reader, schema
from tracking.search import Gathered
from tracking.store import Store, local_folder
from vae.errors import not_one_of
from vae.metrics.catalogue import CATALOGUE

PICTURES = ("reconstructions.png", "samples.png")
ADDRESS = "http://127.0.0.1:5000"  # where `ablate ui` serves, if nothing else does


@dataclass(frozen=True)
class Number:
    """A metric of an arm: its mean over seeds, and its range. Of a cell, all three are its value."""

    metric: str
    unit: str
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Shown:
    """seeds: with results. missing: cells of it without. links: cell -> its page in MLflow's UI."""

    study: str
    name: str
    seeds: tuple[int, ...]
    missing: tuple[str, ...]
    reasons: tuple[str, ...]
    numbers: tuple[Number, ...]
    pictures: tuple[Path, ...]
    links: dict[str, str]


def show(store: Store, study: str, name: str) -> Shown:
    """An arm by its label, or a cell by its label and seed, such as mae-sum-b1-s0, of a study as it was last run.

    Raises UserError for a name that is neither.
    """
    info = reader.study_info(store, study, (schema.PLAN_FILE,))
    planned = needed(info, schema.PLAN_FILE, plan_table)
    planned = planned.assign(cell=[f"{arm}-s{seed}" for arm, seed in zip(planned["arm"], planned["seed"])])
    rows = planned[(planned["arm"] == name) | (planned["cell"] == name)]
    if rows.empty:
        raise not_one_of("ARM|CELL", name, list(dict.fromkeys(planned["arm"])))
    cells, frame = read_results(store, rows.drop(columns="cell"), study)
    names = dict(zip(rows["key"], rows["cell"]))
    done = frame[frame["status"] == schema.STATUS_DONE]
    failed = frame[frame["status"] == schema.STATUS_FAILED]
    return Shown(
        study=study,
        name=name,
        seeds=tuple(int(seed) for seed in done["seed"]),
        missing=tuple(names[key] for key in cells.missing),
        reasons=tuple(f"{names[key]} failed: {reason}" for key, reason in zip(failed["key"], failed["reason"])),
        numbers=_numbers(done),
        pictures=_pictures(cells),
        links={names[key]: _link(store, run) for key, run in cells.runs.items()},
    )


def _numbers(done: pd.DataFrame) -> tuple[Number, ...]:
    numbers = []
    for metric, entry in CATALOGUE.items():
        values = [float(value) for value in done.get(metric, ()) if not math.isnan(value)]
        if values:
            mean = math.fsum(values) / len(values)
            numbers.append(Number(metric, entry.unit, mean, min(values), max(values)))
    return tuple(numbers)


def _pictures(cells: Gathered) -> tuple[Path, ...]:
    folders = [local_folder(run.info.artifact_uri) for run in cells.runs.values()]
    paths = (folder / name for folder in folders if folder is not None for name in PICTURES)
    return tuple(path for path in paths if path.is_file())


def _link(store: Store, run: object) -> str:
    info = run.info  # type: ignore[attr-defined]
    base = store.shown if store.is_server else ADDRESS
    return f"{base}/#/experiments/{info.experiment_id}/runs/{info.run_id}"

"""Finds cells by their keys, wherever in the store they are, and picks one run for each.

A key's identity is content, so a cell counts whichever study trained it. Failures are never taken for results: one
complete run beats any number of failed ones. A run without our completion tag is half-written and does not exist.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tracking.errors import TrackingError, explained
from tracking.schema import (
    FINAL,
    KIND_CELL,
    KIND_STUDY,
    STATUS_DONE,
    STATUS_FAILED,
    STATUSES,
    TAG_KEY,
    TAG_KIND,
    TAG_STATUS,
)
from tracking.store import Store

if TYPE_CHECKING:
    from mlflow.entities import Run

_PAGE = 1000


@dataclass(frozen=True)
class Gathered:
    """One run per key, in the order asked for (or first seen); keys without one; what to know of the choice.

    Finding runs costs more than reading them: gather once and hand the result to every `read_...` in place of keys.
    """

    runs: dict[str, Run]
    missing: tuple[str, ...]
    notes: tuple[str, ...]


def completed(store: Store, keys: Iterable[str] | None = None, study: str | None = None) -> set[str]:
    """Keys of the cells that are done and need not be trained again. Failed and half-written cells are not among them.

    keys: look for these only, in the study's experiment first and then in all others; None for all. study: where to
    look first; with ``keys`` None, the only place. About 3 ms per cell read.
    """
    wanted = None if keys is None else set(keys)
    found = _search(store, wanted, study, f"AND tags.`{TAG_STATUS}` = '{STATUS_DONE}'")
    return {run.data.tags[TAG_KEY] for run in found}


def gather(store: Store, keys: Iterable[str] | Gathered | None = None, study: str | None = None) -> Gathered:
    """The run to read for each key: the earliest that is done, else the latest that failed.

    keys, study: as for `completed`; what is gathered already is returned as it is.
    Raises TrackingError for a status that this version does not know.
    """
    if isinstance(keys, Gathered):
        return keys
    wanted = None if keys is None else list(dict.fromkeys(keys))
    candidates: dict[str, list[Run]] = {key: [] for key in wanted or ()}
    for run in _search(store, None if wanted is None else set(wanted), study):
        status = run.data.tags.get(TAG_STATUS)
        if status is None:
            continue
        if status not in STATUSES:
            raise TrackingError(f"run {run.info.run_id} has {TAG_STATUS}={status!r}, not one of {list(STATUSES)}.")
        candidates.setdefault(run.data.tags[TAG_KEY], []).append(run)
    chosen = {key: _chosen(runs) for key, runs in candidates.items() if runs}
    missing = tuple(key for key in wanted or () if key not in chosen)
    return Gathered(chosen, missing, tuple(note for runs in candidates.values() for note in _notes(runs)))


def parents(store: Store, study: str | None = None) -> list[Run]:
    """The parent runs of a study, or of all, newest first."""
    experiments = _experiments(store, study, others=study is None)
    query = f"tags.`{TAG_KIND}` = '{KIND_STUDY}'"
    return list(_pages(store, experiments, query, "DESC"))


def _search(store: Store, wanted: set[str] | None, study: str | None, more: str = "") -> Iterator[Run]:
    """Runs of cells, oldest first within an experiment; stops once every wanted key has one that is done."""
    query = f"tags.`{TAG_KIND}` = '{KIND_CELL}' {more}"
    pending = None if wanted is None else set(wanted)
    for experiment in _experiments(store, study, others=wanted is not None or study is None):
        if pending is not None and not pending:
            return
        for run in _pages(store, [experiment], query, "ASC"):
            key = run.data.tags.get(TAG_KEY)
            if key is None or (wanted is not None and key not in wanted):
                continue
            if pending is not None and run.data.tags.get(TAG_STATUS) == STATUS_DONE:
                pending.discard(key)
            yield run


def _experiments(store: Store, study: str | None, *, others: bool) -> list[str]:
    """Ids of the experiments to search: the study's own first, then all others if so asked."""
    with explained(f"{store.shown} cannot be searched"):
        ours = list(_all_experiments(store)) if others else []
        own = store.client.get_experiment_by_name(study) if study is not None else None
    first = [own.experiment_id] if own is not None and own.lifecycle_stage == "active" else []
    return [*first, *(each for each in ours if each not in first)]


def _all_experiments(store: Store) -> Iterator[str]:
    """Ids of the experiments of all studies, the oldest first."""
    token = None
    while True:
        page = store.client.search_experiments(
            filter_string=f"tags.`{TAG_KIND}` = '{KIND_STUDY}'", order_by=["creation_time ASC"], page_token=token
        )
        yield from (each.experiment_id for each in page)
        token = page.token
        if not token:
            return


def _pages(store: Store, experiments: Collection[str], query: str, order: str) -> Iterator[Run]:
    """All runs that match, page by page. Oldest first, a run that another process adds meanwhile moves none."""
    if not experiments:
        return
    token = None
    while True:
        with explained(f"{store.shown} cannot be searched"):
            page = store.client.search_runs(
                list(experiments),
                query,
                max_results=_PAGE,
                order_by=[f"attributes.start_time {order}"],
                page_token=token,
            )
        yield from page
        token = page.token
        if not token:
            return


def _age(run: Run) -> tuple[int, str]:
    return run.info.start_time, run.info.run_id


def _chosen(runs: list[Run]) -> Run:
    done = [run for run in runs if run.data.tags[TAG_STATUS] == STATUS_DONE]
    return min(done, key=_age) if done else max(runs, key=_age)


def _notes(runs: list[Run]) -> Iterator[str]:
    """What to know of a cell of which several runs are complete: trained twice at once, or a mistake."""
    done = sorted((run for run in runs if run.data.tags[TAG_STATUS] == STATUS_DONE), key=_age)
    failed = len(runs) - len(done)
    if len(done) > 1:
        name, first = done[0].info.run_name, done[0]
        yield f"{len(done)} runs of cell {name} are done; the earliest, {first.info.run_id}, is read{_worst(done)}."
    elif failed > 1 and not done:
        yield f"cell {runs[0].info.run_name} has {failed} {STATUS_FAILED} runs; the latest is read."


def _worst(done: list[Run]) -> str:
    """Where the duplicates of a cell differ most; empty if they agree to the last digit."""
    first = done[0].data.metrics
    gaps = [
        (abs(value - first[name]) / (abs(first[name]) or 1.0), name, value)
        for run in done[1:]
        for name, value in run.data.metrics.items()
        if name.startswith(FINAL) and name in first and value != first[name]
    ]
    if not gaps:
        return "; their metrics are equal"
    _, name, value = max(gaps)
    return f"; they differ most in {name.removeprefix(FINAL)}: {first[name]:.6g} against {value:.6g}"

"""Finds cells by their keys, wherever in the store they are, and picks one run for each.

A key's identity is content, so a cell counts whichever study trained it. One complete run beats any number of failed
ones. A run without our completion tag is half-written and does not exist. A cell may be measured several times, under
different measures: each time is a run of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from tracking import schema
from tracking.errors import TrackingError, explained
from tracking.store import Store

if TYPE_CHECKING:
    from mlflow.entities import Run

_PAGE = 1000
_ONLY_DONE = f" AND tags.`{schema.TAG_STATUS}` = '{schema.STATUS_DONE}'"


@dataclass(frozen=True)
class Gathered:
    """One run per key, in the order of the keys (or in which they were read); keys without one; notes on the choice.

    The search takes longer than reading: gather once, and pass the result to every `read_...` in place of keys.
    """

    runs: dict[str, Run]
    missing: tuple[str, ...]
    notes: tuple[str, ...]


Keys = Iterable[str] | Mapping[str, str] | Gathered | None


def completed(
    store: Store, keys: Iterable[str] | Mapping[str, str] | None = None, study: str | None = None
) -> set[str]:
    """Keys of the cells that are done. Failed and half-written cells are not among them.

    keys: look for these only, in the study's experiment first and then in all others; None for all. A mapping of key
    to measures counts a cell only if it was measured under just those. study: where to look first; with ``keys``
    None, the only place. About 1 ms per cell read.
    """
    counts = _counts(keys)
    return {run.data.tags[schema.TAG_KEY] for run in done_runs(store, keys, study, enough=counts) if counts(run)}


def gather(store: Store, keys: Keys = None, study: str | None = None) -> Gathered:
    """The run to read for each key: the earliest that is done, else the latest that failed.

    keys, study: as for `completed`; what is gathered already is returned as it is. Where a mapping names the measures,
    a cell that is done only under others is missing, even if it has failed too: its weights exist. Where nothing names
    them, a cell measured under several is read as it was measured last.
    Raises TrackingError for a status that this version does not have.
    """
    if isinstance(keys, Gathered):
        return keys
    wanted = None if keys is None else list(dict.fromkeys(keys))
    counts = _counts(keys)
    candidates: dict[str, list[Run]] = {key: [] for key in wanted or ()}
    for run in _cells(store, wanted, study, enough=lambda run: is_done(run) and counts(run)):
        status = run.data.tags.get(schema.TAG_STATUS)
        if status is not None:
            if status not in schema.STATUSES:
                raise TrackingError(
                    f"run {run.info.run_id} has {schema.TAG_STATUS}={status!r}, not one of {list(schema.STATUSES)}."
                )
            candidates.setdefault(run.data.tags[schema.TAG_KEY], []).append(run)
    alike = {key: _alike(runs, counts) for key, runs in candidates.items()}
    chosen = {key: runs[0] if is_done(runs[0]) else runs[-1] for key, runs in alike.items() if runs}
    missing = tuple(key for key in wanted or () if key not in chosen)
    return Gathered(chosen, missing, tuple(note for runs in alike.values() for note in _notes(runs)))


def complete_runs(
    store: Store, keys: Iterable[str], study: str | None, *, enough: Callable[[Run], bool]
) -> Iterator[Run]:
    """Runs of cells that are done or have failed, however measured; keys, study and enough as for `done_runs`."""
    return _cells(store, list(keys), study, enough=enough)


def done_runs(
    store: Store, keys: Iterable[str] | None, study: str | None, *, enough: Callable[[Run], bool]
) -> Iterator[Run]:
    """Runs of cells that are done, under whatever measures; keys and study as for `completed`.

    enough: whether a run is one to return; the search ends once every key has such a run.
    """
    return _cells(store, None if keys is None else list(keys), study, _ONLY_DONE, enough=enough)


def parents(store: Store, study: str | None = None) -> list[Run]:
    """The parent runs of a study, or of all, newest first."""
    experiments = _experiments(store, study, others=study is None)
    query = f"tags.`{schema.TAG_KIND}` = '{schema.KIND_STUDY}'"
    return list(_pages(store, experiments, query, "DESC"))


def children(store: Store, parent: Run) -> Iterator[Run]:
    """The runs of the cells that an invocation has begun, oldest first."""
    query = f"tags.`{schema.TAG_KIND}` = '{schema.KIND_CELL}' AND tags.`{schema.TAG_PARENT}` = '{parent.info.run_id}'"
    return _pages(store, [parent.info.experiment_id], query, "ASC")


def _cells(
    store: Store, keys: Iterable[str] | None, study: str | None, condition: str = "", *, enough: Callable[[Run], bool]
) -> Iterator[Run]:
    """Runs of cells, oldest first within an experiment; stops between experiments once every key has enough."""
    query = f"tags.`{schema.TAG_KIND}` = '{schema.KIND_CELL}'{condition}"
    wanted = None if keys is None else set(keys)
    pending = set(wanted or ())
    for experiment in _experiments(store, study, others=wanted is not None or study is None):
        if wanted is not None and not pending:
            return
        for run in _pages(store, [experiment], query, "ASC"):
            key = run.data.tags.get(schema.TAG_KEY)
            if key is None or (wanted is not None and key not in wanted):
                continue
            if enough(run):
                pending.discard(key)
            yield run


def _counts(keys: Iterable[str] | Mapping[str, str] | None) -> Callable[[Run], bool]:
    """Whether a done run counts: any does, unless a mapping names the measures of its key."""
    if not isinstance(keys, Mapping):
        return lambda run: True
    return lambda run: run.data.tags.get(schema.TAG_MEASURES, "") == keys[run.data.tags[schema.TAG_KEY]]


def _experiments(store: Store, study: str | None, *, others: bool) -> list[str]:
    """Ids of the experiments to search: the study's own first, then, with `others`, all others."""
    query = {"filter_string": f"tags.`{schema.TAG_KIND}` = '{schema.KIND_STUDY}'", "order_by": ["creation_time ASC"]}
    with explained(f"{store.shown} cannot be searched"):
        known = list(_items(store, partial(store.client.search_experiments, **query))) if others else []
        own = store.client.get_experiment_by_name(study) if study is not None else None
    first = [own.experiment_id] if own is not None and own.lifecycle_stage == "active" else []
    return [*first, *(other.experiment_id for other in known if other.experiment_id not in first)]


def _pages(store: Store, experiments: Sequence[str], query: str, order: str) -> Iterator[Run]:
    """All runs that match. Where the oldest come first, a run that another process adds meanwhile moves none."""
    if experiments:
        ordered = {"max_results": _PAGE, "order_by": [f"attributes.start_time {order}"]}
        yield from _items(store, partial(store.client.search_runs, experiments, query, **ordered))


def _items(store: Store, search: Callable[..., Any]) -> Iterator[Any]:
    """All results of one of MLflow's searches, page by page."""
    token = None
    while True:
        with explained(f"{store.shown} cannot be searched"):
            page = search(page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def is_done(run: Run) -> bool:
    """Whether a run of a cell holds its results, rather than its failure."""
    return bool(run.data.tags.get(schema.TAG_STATUS) == schema.STATUS_DONE)


def _alike(runs: list[Run], counts: Callable[[Run], bool]) -> list[Run]:
    """The runs of a cell among which to choose, oldest first: done under the same measures, or all failed."""
    runs = sorted(runs, key=lambda run: (run.info.start_time, run.info.run_id))
    whole = [run for run in runs if schema.TAG_DAMAGED not in run.data.tags]
    if any(is_done(run) and counts(run) for run in whole):
        runs = whole  # a damaged one is read only where nothing has repaired it
    done = [run for run in runs if is_done(run)]
    if not done:
        return runs
    counted = [run for run in done if counts(run)]
    if not counted:  # measured only under others: what remains is a failure to measure it under these
        return [run for run in runs[runs.index(done[-1]) + 1 :] if not is_done(run)]
    return [
        run
        for run in counted
        if run.data.tags.get(schema.TAG_MEASURES) == counted[-1].data.tags.get(schema.TAG_MEASURES)
    ]


def _notes(runs: list[Run]) -> Iterator[str]:
    """A note on a cell of which several alike runs are complete: trained twice at once, or a mistake."""
    if len(runs) < 2:
        return
    name, first = runs[0].info.run_name, runs[0].info.run_id
    if is_done(runs[0]):
        yield f"{len(runs)} runs of cell {name} are done; the earliest, {first}, is read{_worst(runs)}."
    else:
        yield f"cell {name} has {len(runs)} {schema.STATUS_FAILED} runs; the latest is read."


def _worst(done: list[Run]) -> str:
    """Where the duplicates of a cell differ most; empty if they agree to the last digit."""
    first = done[0].data.metrics
    gaps = [
        (abs(value - first[name]) / (abs(first[name]) or 1.0), name, value)
        for run in done[1:]
        for name, value in run.data.metrics.items()
        if name.startswith(schema.FINAL) and name in first and value != first[name]
    ]
    if not gaps:
        return "; their metrics are equal"
    _, name, value = max(gaps)
    return f"; they differ most in {name.removeprefix(schema.FINAL)}: {first[name]:.6g} against {value:.6g}"

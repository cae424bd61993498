"""In which order claims, cells and reports came about, and what a reader must know of it.

Paired tests keep their promise only for claims fixed before the cells were trained, and for seeds chosen before a
result was seen. Anything else is not refused: the top of the report says so.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from reports.claims.registration import Registration
from reports.judging.statistics import least_seeds
from reports.numbers import counted, listed, sentence_case, which_seeds
from tracking.reader import StudyInfo
from tracking.store import Store

ALPHA = 0.05  # level of the tests at a first look
TAG_REPORT = "ablate.report"  # JSON: the looks that were taken at this run


@dataclass(frozen=True)
class Look:
    """A report was made. at: ISO 8601, UTC. seeds: those of its plan. claims_hash: of the claims it judged."""

    at: str
    seeds: tuple[int, ...]
    claims_hash: str


def looks_of(run: StudyInfo) -> tuple[Look, ...]:
    """The reports that were made of a run, oldest first."""
    looks = json.loads(run.tags.get(TAG_REPORT, "[]"))
    return tuple(Look(look["at"], tuple(look["seeds"]), look["claims_hash"]) for look in looks)


def remember(store: Store, run: StudyInfo, seeds: Iterable[int], claims_hash: str) -> None:
    """Add a look to a run; one that shows what the last one showed is not news."""
    looks = looks_of(run)
    new = Look(datetime.now(UTC).isoformat(timespec="seconds"), tuple(sorted(set(seeds))), claims_hash)
    if looks and (looks[-1].seeds, looks[-1].claims_hash) == (new.seeds, new.claims_hash):
        return
    store.client.set_tag(run.run_id, TAG_REPORT, json.dumps([asdict(look) for look in (*looks, new)]))


def fixed_at(runs: Iterable[StudyInfo], claims_hash: str) -> datetime | None:
    """When a run was first opened with these claims, of whatever study; None if never."""
    return min((run.started for run in runs if run.params.get("claims_hash") == claims_hash), default=None)


def count_looks(looks: Collection[Look], seeds: Collection[int]) -> int:
    """At which look of its study a report stands: how many other sets of seeds were reported before its own was first.

    looks: the reports made of the study before. seeds: of this one. Sets too small to decide anything do not count.

    >>> small, first = Look("2026-01-01", (0,), "a"), Look("2026-01-02", (0, 1, 2, 3, 4), "a")
    >>> count_looks([], range(8)), count_looks([small], range(8)), count_looks([small, first], range(8))
    (1, 1, 2)
    >>> count_looks([small, first], range(5))
    1
    """
    own = tuple(sorted(set(seeds)))
    before: set[tuple[int, ...]] = set()
    for look in sorted(looks, key=lambda look: look.at):
        if look.seeds == own:
            break
        if len(look.seeds) >= least_seeds(ALPHA):
            before.add(look.seeds)
    return 1 + len(before)


def sentence(registrations: Collection[Registration], claims_hash: str, fixed: datetime | None) -> str:
    """Where the claims' hash was registered before the run, or that nobody but the suite has.

    fixed: when the claims were first logged.
    """
    if registrations:
        places = listed(f"{one.where}, on {one.when.isoformat()}" for one in registrations)
        return f"By their file, the claims were registered at {places}. Compare the hash there with {claims_hash}."
    when = f": logged with the study on {fixed:%Y-%m-%d %H:%M} UTC" if fixed is not None else ""
    return f"The claims are registered by this suite alone{when}. Nobody else can vouch for the date."


def notes(
    *, fixed: datetime | None, trained: Sequence[datetime], looks: Collection[Look], seeds: Collection[int]
) -> list[str]:
    """What stands at the top of a report, as sentences; empty where all was fixed before anything was seen.

    fixed: when the claims judged were first logged; trained: when each cell they are judged on was written. looks: the
    reports made of this study before; seeds: of this one.

    >>> early, late = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    >>> notes(fixed=early, trained=[late], looks=[], seeds=[0])
    []
    >>> notes(fixed=late, trained=[early, early, late], looks=[], seeds=[0])
    ['The claims judged here, or some of them, were fixed only after 2 of the 3 cells had been trained.']
    """
    before = sum(fixed is None or when < fixed for when in trained)
    sentences = []
    if before:
        cells = "all cells" if before == len(trained) else f"{before} of the {counted(len(trained), 'cell')}"
        sentences.append(f"The claims judged here, or some of them, were fixed only after {cells} had been trained.")
    if looks:
        first = min(looks, key=lambda look: look.at)
        seen = {seed for look in looks for seed in look.seeds}
        sentences += _changed(set(seeds) - set(first.seeds), "added after", first)
        sentences += _changed(seen - set(seeds), "left out, though in", first)
    return sentences


def _changed(seeds: Collection[int], what: str, first: Look) -> list[str]:
    if not seeds:
        return []
    subject = f"{sentence_case(which_seeds(seeds))} {'was' if len(seeds) == 1 else 'were'}"
    when = first.at[:16].replace("T", " ")
    return [f"{subject} {what} an earlier report; the first was made on {when} UTC."]

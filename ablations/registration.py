"""In which order claims, cells and reports came about, and what a reader must know of it.

Paired tests keep their promise only for claims fixed before the cells were trained, and for seeds chosen before a
result was seen. Anything else is not refused: the top of the report says so.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256

import pandas as pd

from ablations.study import Study
from reports.claims.registration import Registration
from reports.judging.statistics import least_seeds
from reports.numbers import counted, listed, sentence_case, which_seeds
from tracking import schema
from tracking.reader import StudyInfo
from tracking.store import Store

ALPHA = 0.05  # level of the tests at a first look
TAG_REPORT = "ablate.report"  # JSON: the looks that were taken at this run


@dataclass(frozen=True)
class Look:
    """A report was made. at: ISO 8601, UTC. seeds: of which it had a result. claims_hash: of the claims it judged.

    settings: of the study, as `settings_hash` gives it; empty of looks that were kept before there was one.
    """

    at: str
    seeds: tuple[int, ...]
    claims_hash: str
    settings: str = ""


def looks_of(run: StudyInfo) -> tuple[Look, ...]:
    """The reports that were made of a run, oldest first."""
    looks = json.loads(run.tags.get(TAG_REPORT, "[]"))
    return tuple(Look(**{**look, "seeds": tuple(look["seeds"])}) for look in looks)


def looked(frame: pd.DataFrame, claims_hash: str, settings: str) -> Look:
    """The look that a report of these cells takes now."""
    seeds = frame.loc[frame["status"] == schema.STATUS_DONE, "seed"]
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Look(now, tuple(sorted(map(int, set(seeds)))), claims_hash, settings)


def remember(store: Store, run: StudyInfo, look: Look) -> None:
    """Add a look to a run; one that shows what the last one showed is not news."""
    looks = looks_of(run)
    if looks and replace(looks[-1], at=look.at) == look:
        return
    store.client.set_tag(run.run_id, TAG_REPORT, json.dumps([asdict(one) for one in (*looks, look)]))


def settings_hash(study: Study) -> str:
    """Of what a study trains, whatever its name, title and seeds, and however it is measured and judged.

    >>> study = Study(name="x", grid={"beta": [1, 2]})
    >>> settings_hash(study) == settings_hash(study.model_copy(update={"name": "y", "seeds": (0, 1)}))
    True
    >>> settings_hash(study) == settings_hash(study.model_copy(update={"dataset": "mnist"}))
    False
    """
    trained = study.model_dump(mode="json", include={"dataset", "images", "model", "training", "grid"})
    return sha256(json.dumps(trained, sort_keys=True).encode()).hexdigest()[:16]


def earlier_looks(runs: Iterable[StudyInfo], name: str, settings: str) -> tuple[tuple[Look, ...], tuple[Look, ...]]:
    """The reports made before of a study with these settings, under whatever name; and those made under its name with
    other settings."""
    of_runs = [(run.study, look) for run in runs for look in looks_of(run)]
    same = [look for study, look in of_runs if look.settings == settings or (study == name and not look.settings)]
    others = [look for study, look in of_runs if study == name and look.settings not in ("", settings)]
    return tuple(same), tuple(others)


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


def sentence(
    registrations: Collection[Registration],
    claims_hash: str,
    fixed: datetime | None,
    *,
    files: Collection[str] = (),
    first_cell: datetime | None = None,
) -> str:
    """Where the claims' hash was registered before the run, or that nobody but the suite has.

    fixed: when the claims were first logged. files: names of the claims files. first_cell: when the first cell was
    trained.
    """
    if not registrations:
        when = f": logged with the study on {fixed:%Y-%m-%d %H:%M} UTC" if fixed is not None else ""
        return f"The claims are registered by this suite alone{when}. Nobody else can vouch for the date."
    several = len(files) > 1
    sentences = [_registered(one, named=several, first_cell=first_cell) for one in registrations]
    lacking = [name for name in files if several and name not in {one.file for one in registrations}]
    if lacking:
        sentences.append(f"Those of {listed(lacking)} are registered by this suite alone.")
    return " ".join((*sentences, f"Compare the hash there with {claims_hash}."))


def _registered(one: Registration, *, named: bool, first_cell: datetime | None) -> str:
    whose = f"the claims of {one.file}" if named and one.file else "the claims"
    late = first_cell is not None and one.when > first_cell.date()
    after = f", which is after the first cell was trained, on {first_cell:%Y-%m-%d}" if late and first_cell else ""
    return f"By their file, {whose} were registered at {one.where}, on {one.when.isoformat()}{after}."


def notes(
    *,
    fixed: datetime | None,
    trained: Sequence[datetime],
    looks: Collection[Look],
    seeds: Collection[int],
    others: Collection[Look] = (),
) -> list[str]:
    """What stands at the top of a report, as sentences; empty where all was fixed before anything was seen.

    fixed: when the claims judged were first logged; trained: when each cell they are judged on was written. looks: the
    reports made of this study before; seeds: of this one. others: reports of its name with other settings.

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
    if others:
        first = min(others, key=lambda look: look.at)
        sentences.append(
            f"A study of this name was reported before with other settings, first on {_minute(first)}: whoever chose "
            "these settings may have seen it."
        )
    return sentences


def _changed(seeds: Collection[int], what: str, first: Look) -> list[str]:
    if not seeds:
        return []
    subject = f"{sentence_case(which_seeds(seeds))} {'was' if len(seeds) == 1 else 'were'}"
    return [f"{subject} {what} an earlier report; the first was made on {_minute(first)}."]


def _minute(look: Look) -> str:
    return f"{look.at[:16].replace('T', ' ')} UTC"

"""What a report says of the order in which claims, cells and reports came about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd

from ablations import registration
from ablations.registration import Look, earlier_looks, fixed_at, looked, looks_of, remember
from reports.claims.registration import Registration
from tests.tracking_samples import cell, local_store
from tracking.reader import studies, study_info
from tracking.writer import open_study

START = datetime(2026, 1, 1, tzinfo=UTC)
CELLS = [START + timedelta(hours=hour) for hour in (1, 2, 3)]


def notes(*, fixed: datetime | None = START, looks: tuple[Look, ...] = (), seeds: tuple[int, ...] = (0, 1, 2)) -> str:
    return " ".join(registration.notes(fixed=fixed, trained=CELLS, looks=looks, seeds=set(seeds)))


def look(day: int, *seeds: int, settings: str = "") -> Look:
    return Look(f"2026-01-{day:02d}T08:32:11+00:00", seeds, "abc", settings)


def test_claims_fixed_first_need_no_word() -> None:
    assert notes() == ""
    assert notes(looks=(look(3, 0, 1, 2),)) == ""


def test_claims_fixed_late_are_told_with_the_cells_that_came_first() -> None:
    assert "only after 1 of the 3 cells had been trained" in notes(fixed=START + timedelta(hours=1.5))
    assert "only after all cells had been trained" in notes(fixed=START + timedelta(days=1))
    assert "only after all cells had been trained" in notes(fixed=None)  # judged by a file that no run was opened with


def test_seeds_that_come_or_go_after_a_look_are_told_with_the_first_look() -> None:
    looks = (look(5, 0, 1, 2, 4), look(3, 0, 1, 4))
    assert notes(looks=looks) == (
        "Seed 2 was added after an earlier report; the first was made on 2026-01-03 08:32 UTC. "
        "Seed 4 was left out, though in an earlier report; the first was made on 2026-01-03 08:32 UTC."
    )
    assert notes(looks=(look(3, 0),)).startswith("Seeds 1–2 were added after")


def test_looks_are_kept_with_the_run_and_told_once(tmp_path: Path) -> None:
    store = local_store(tmp_path)
    for study, claims in (("one", "abc"), ("two", "abc"), ("one", "xyz")):
        with open_study(store, study, {"claims_hash": claims}, {}) as writer:
            writer.write_cell(cell(f"{study}{claims}"))
    remember(store, study_info(store, "one"), look(3, 0, 1))
    first = looks_of(study_info(store, "one"))
    remember(store, study_info(store, "one"), look(4, 0, 1))
    assert looks_of(study_info(store, "one")) == first  # the same again is no news, and does not move the first look
    remember(store, study_info(store, "one"), look(5, 0, 1, 2))
    assert [look.seeds for look in looks_of(study_info(store, "one"))] == [(0, 1), (0, 1, 2)]
    runs = studies(store)
    assert fixed_at(runs, "abc") == min(run.started for run in runs)  # whatever study had them first
    assert fixed_at(runs, "abc") < fixed_at(runs, "xyz")
    assert fixed_at(runs, "never") is None


def test_a_look_is_of_the_seeds_that_have_a_result() -> None:
    table = pd.DataFrame({"seed": [3, 0, 0, 1], "status": ["done", "done", "failed", "failed"]})
    assert looked(table, "abc", "s").seeds == (0, 3)


def test_looks_of_one_study_under_other_names_count_and_those_of_other_settings_are_told(tmp_path: Path) -> None:
    store = local_store(tmp_path)
    taken = {
        "one": (look(3, 0, 1, settings="s"), look(4, 0, settings="t"), look(5, 7)),
        "two": (look(6, 2, settings="s"),),
    }
    for study, looks in taken.items():
        with open_study(store, study, {}, {}) as writer:
            writer.write_cell(cell(study))
        for one in looks:
            remember(store, study_info(store, study), one)
    same, others = earlier_looks(studies(store), "one", "s")
    assert {one.seeds for one in same} == {(0, 1), (7,), (2,)}  # one that was kept without settings counts by its name
    assert {one.seeds for one in others} == {(0,)}
    assert {one.seeds for one in earlier_looks(studies(store), "two", "t")[0]} == {(0,)}
    told = registration.notes(fixed=START, trained=CELLS, looks=(), seeds={0}, others=others)
    assert told == [
        "A study of this name was reported before with other settings, first on 2026-01-04 08:32 UTC: whoever chose "
        "these settings may have seen it."
    ]


def _registration(day: str, file: str = "") -> Registration:
    return Registration(where="https://osf.io/abcde", when=day, file=file)


def test_a_registration_is_told_with_its_day() -> None:
    told = registration.sentence([_registration("2026-01-01")], "f00", START, files=["a.toml"], first_cell=CELLS[0])
    assert told == (
        "By their file, the claims were registered at https://osf.io/abcde, on 2026-01-01. "
        "Compare the hash there with f00."
    )


def test_a_registration_after_the_first_cell_says_so() -> None:
    told = registration.sentence([_registration("2026-01-02")], "f00", START, files=["a.toml"], first_cell=CELLS[0])
    assert "on 2026-01-02, which is after the first cell was trained, on 2026-01-01." in told


def test_of_several_files_each_is_named() -> None:
    told = registration.sentence([_registration("2026-01-01", "a.toml")], "f00", START, files=["a.toml", "notes"])
    assert "the claims of a.toml were registered at" in told
    assert "Those of notes are registered by this suite alone." in told

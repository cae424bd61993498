"""What a report says of the order in which claims, cells and reports came about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from ablations import registration
from ablations.registration import Look, fixed_at, looks_of, remember
from tests.tracking_samples import cell, local_store
from tracking.reader import studies, study_info
from tracking.writer import open_study

START = datetime(2026, 1, 1, tzinfo=UTC)
CELLS = [START + timedelta(hours=hour) for hour in (1, 2, 3)]


def notes(*, fixed: datetime | None = START, looks: tuple[Look, ...] = (), seeds: tuple[int, ...] = (0, 1, 2)) -> str:
    return " ".join(registration.notes(fixed=fixed, trained=CELLS, looks=looks, seeds=set(seeds)))


def look(day: int, *seeds: int) -> Look:
    return Look(f"2026-01-{day:02d}T08:32:11+00:00", seeds, "abc")


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
    remember(store, study_info(store, "one"), [1, 0], "xyz")
    first = looks_of(study_info(store, "one"))
    remember(store, study_info(store, "one"), [0, 1], "xyz")
    assert looks_of(study_info(store, "one")) == first  # the same again is no news, and does not move the first look
    remember(store, study_info(store, "one"), [0, 1, 2], "xyz")
    assert [look.seeds for look in looks_of(study_info(store, "one"))] == [(0, 1), (0, 1, 2)]
    runs = studies(store)
    assert fixed_at(runs, "abc") == min(run.started for run in runs)  # whatever study had them first
    assert fixed_at(runs, "abc") < fixed_at(runs, "xyz")
    assert fixed_at(runs, "never") is None

"""Looks for damage in all that a study has stored, whether or not a report reads it."""

from __future__ import annotations

from tracking.parts import check_cells, check_weights, read_texts
from tracking.schema import TAG_DAMAGED
from tracking.search import done_runs, parents
from tracking.store import Store
from tracking.sums import STUDY_PARTS, Damage


def check_study(store: Store, study: str) -> list[Damage]:
    """What is damaged of a study: of the files of its latest run, and of its done cells, their weights included.

    A cell that was repaired since is left out: another run holds it.
    """
    damage: list[Damage] = []
    for run in parents(store, study)[:1]:
        damage += read_texts(store, run, STUDY_PARTS)[1]
    every = done_runs(store, None, study, enough=lambda run: True)
    runs = {run.info.run_id: run for run in every if TAG_DAMAGED not in run.data.tags}
    damage += [part for parts in check_cells(store, runs).values() for part in parts]
    return damage + check_weights(store, runs)

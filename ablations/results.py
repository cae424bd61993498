"""The results of a planned study, read back from the store under the names that the plan gives them."""

from __future__ import annotations

import pandas as pd

from tracking.reader import read_cells
from tracking.search import Gathered, gather
from tracking.store import Store
from vae.factors import factors

ALWAYS = ("loss", "reduction", "beta", "posterior")  # factors that every frame has as columns


def read_results(store: Store, planned: pd.DataFrame, study: str) -> tuple[Gathered, pd.DataFrame]:
    """The runs of the planned cells, and the frame of those that there are.

    planned: as `ablations.records.planned` gives it, one row per cell. The frame has a column for each factor that the
    plan has one for. A cell that another study trained carries that study's label and origin; here it has the plan's.
    """
    cells = gather(store, dict(zip(planned["key"], planned["measures"])), study)
    known = factors()
    further = [name for name in planned.columns if name in known and name not in ALWAYS]
    frame = read_cells(store, cells, parsers={name: known[name].parse for name in further}, allow_missing=True)
    by_key = planned.set_index("key")
    for column in ("arm", "origin"):
        frame[column] = frame["key"].map(by_key[column])
    return cells, frame

"""Everything a report is made of, as one value: nothing in a report is read from anywhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pandas as pd

from reports.claims.references import References
from reports.judging.verdict import Verdict
from tracking import schema
from vae.arms import Arm
from vae.errors import UserError

PLANNED_COLUMNS: Final = ("key", "arm", "seed")
_REQUIRED: Final = (*schema.LEADING_COLUMNS, "posterior", "arm", "origin", "key")

Pictures = Mapping[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Environment:
    """Where the numbers come from. An empty field is left out of the report."""

    dataset: str = ""
    data_digest: str = ""
    commit: str = ""
    device: str = ""
    python: str = ""
    started: str = ""  # ISO 8601, when the run began
    wall_seconds: float | None = None  # of the whole run; the cells' own times stand in the frame
    versions: Mapping[str, str] = field(default_factory=dict)  # package -> version
    settings: Mapping[str, str] = field(default_factory=dict)  # epochs, batch size, learning rate, ...


@dataclass(frozen=True)
class Evidence:
    """One study as the report sees it.

    frame: one row per cell, columns as in `tracking.schema`, failed cells with NaN metrics and a reason; also one
    column for each further factor that varies, named as the factor. base: the arm whose settings hold where the frame
    has no column of a factor. history: columns key, epoch, metric, value. pictures: cell key -> arrays of its
    `pictures.npz`. verdicts: of each claim at each place, in the order of the claims. planned: columns key, arm, seed,
    one row per cell that the study asks for; empty when that is not known. notes: sentences that a reader must see
    first, such as "The claims were changed after the run.". references: what the images alone give, floors and
    ceilings among it; None where it was not logged. registered: where the hash of the claims was registered, as a
    sentence. looks: how many reports of this study were made with other seeds, this one included. point_images: on how
    many test images, at most, cells are measured at points of training; 0 where that is not known.

    Raises UserError when a frame lacks a column that the report needs.
    """

    study: str
    frame: pd.DataFrame
    title: str = ""
    description: str = ""
    history: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(schema.HISTORY_COLUMNS)))
    pictures: Mapping[str, Pictures] = field(default_factory=dict)
    verdicts: tuple[Verdict, ...] = ()
    base: Arm = field(default_factory=Arm)
    environment: Environment = field(default_factory=Environment)
    planned: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(PLANNED_COLUMNS)))
    notes: Sequence[str] = ()
    references: References | None = None
    registered: str = ""
    looks: int = 1
    point_images: int = 0
    study_file: str = ""  # the study's text as it was run
    claims_hash: str = ""
    classes: int = 0  # of a conditional model: its samples run through the classes in turn

    def __post_init__(self) -> None:
        required = {"frame": _REQUIRED, "history": schema.HISTORY_COLUMNS, "planned": PLANNED_COLUMNS}
        for name, columns in required.items():
            absent = [column for column in columns if column not in getattr(self, name).columns]
            if absent:
                raise UserError(f"{name} lacks the columns {absent}; a report needs {list(columns)}.")

    @property
    def heading(self) -> str:
        """The title, or the study's name where it has none."""
        return self.title or self.study

    @property
    def measured_in_training(self) -> str:
        """On which images cells are measured at points of training, in a sentence."""
        whole = 0 if self.references is None else self.references.test_images
        if not self.point_images or not whole:
            return (
                "Every point is measured on the same test images; where these are a part of all, the last point may "
                "differ from the effect above."
            )
        if self.point_images >= whole:
            return f"Every point is measured on all {whole:,} test images."
        return (
            f"Every point is measured on the same {self.point_images:,} of the {whole:,} test images; the effect above "
            "is measured on all, so the last point may differ from it."
        )

    @property
    def done(self) -> pd.DataFrame:
        """The cells that were trained and measured."""
        return self.frame[self.frame["status"] == schema.STATUS_DONE]

    @property
    def failed(self) -> pd.DataFrame:
        """The cells that failed, with their `reason`."""
        return self.frame[self.frame["status"] == schema.STATUS_FAILED]

    @property
    def missing(self) -> pd.DataFrame:
        """The planned cells of which there is no row."""
        return self.planned[~self.planned["key"].isin(self.frame["key"])]

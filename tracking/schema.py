"""The names under which a study is kept in MLflow, and the columns of the frame read back. Written once, here.

`tracking` knows nothing of VAEs: the fields of a cell and its metrics arrive as plain mappings.
"""

from __future__ import annotations

from typing import Final

# Tags of runs. MLflow's own run status proves nothing (an exit hook marks dead runs FINISHED, a kill leaves
# RUNNING), so a cell is complete only when our own tag says so.
TAG_KIND: Final = "ablate.kind"  # "study" (parent), "cell" (child) or "arm" (mean over seeds)
TAG_STUDY: Final = "ablate.study"
TAG_KEY: Final = "ablate.key"  # hash of everything that determines a cell's numbers
TAG_STATUS: Final = "ablate.status"  # one of STATUSES
TAG_REASON: Final = "ablate.reason"  # why a cell failed, in one sentence
TAG_NON_FINITE: Final = "ablate.non_finite"  # metric names that came out NaN or inf, comma separated
TAG_PARENT: Final = "mlflow.parentRunId"

KIND_STUDY: Final = "study"
KIND_CELL: Final = "cell"
KIND_ARM: Final = "arm"

STATUS_DONE: Final = "done"
STATUS_FAILED: Final = "failed"
STATUSES: Final = (STATUS_DONE, STATUS_FAILED)

# Metric prefixes.
FINAL: Final = "final/"
MEAN, CI_LOW, CI_HIGH, COUNT = "mean/", "ci_low/", "ci_high/", "n"

# Frame: one row per cell. These columns come first and in this order; metrics follow by their catalogue names.
ARM_COLUMNS: Final = ("loss", "reduction", "beta", "posterior")
LEADING_COLUMNS: Final = ("loss", "reduction", "beta", "beta_eff", "seed", "status")
OTHER_COLUMNS: Final = ("posterior", "arm", "origin", "key", "reason", "seconds", "init_hash", "order_hash")

# Artifacts of a cell and of a study.
PICTURES: Final = "pictures.npz"
STUDY_FILE: Final = "study.toml"
CLAIMS_FILE: Final = "claims.json"
ENVIRONMENT: Final = "environment.json"

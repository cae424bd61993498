"""The names under which a study is kept in MLflow, and the columns of the frame read back. Written once, here.

`tracking` does not depend on VAEs: the fields of a cell and its metrics are plain mappings.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

# Tags of runs. MLflow's own run status proves nothing (an exit hook marks dead runs FINISHED, a kill leaves
# RUNNING), so a cell is complete only when our own tag says so.
TAG_KIND: Final = "ablate.kind"  # "study" (parent), "cell" (child) or "arm" (mean over seeds)
TAG_STUDY: Final = "ablate.study"
TAG_KEY: Final = "ablate.key"  # hash of what determines a cell's weights
TAG_MEASURES: Final = "ablate.measures"  # hash of the evaluation settings and of the versions of metrics
TAG_STATUS: Final = "ablate.status"  # one of STATUSES
TAG_REASON: Final = "ablate.reason"  # why a cell failed, in one sentence
TAG_METRICS: Final = "ablate.metrics"  # names of all metrics measured, in order, comma separated
TAG_NON_FINITE: Final = "ablate.non_finite"  # names of those that came out NaN or inf; MLflow would store them as 0
TAG_WEIGHTS: Final = "ablate.weights"  # id of the run whose artifacts hold the weights
TAG_WEIGHTS_DIGEST: Final = "ablate.weights_sha256"
TAG_SUMS: Final = "ablate.sums"  # JSON: SHA-256 of each file that a report reads, and of the params and numbers
TAG_DAMAGED: Final = "ablate.damaged"  # what is damaged of a cell: another run of it is read where there is one
TAG_AT_FLOOR: Final = "ablate.at_floor"  # "yes" on the run of an arm that carries nothing of its images
TAG_NOTE: Final = "mlflow.note.content"  # MLflow's own: what its UI shows as a run's description
TAG_PROCESS: Final = "ablate.process"  # host:pid:start of the process that writes a study
TAG_PARENT: Final = "mlflow.parentRunId"
TAG_TOKEN: Final = "ablate.token"  # by which a run is found whose making was not answered

KIND_STUDY: Final = "study"
KIND_CELL: Final = "cell"
KIND_ARM: Final = "arm"

STATUS_DONE: Final = "done"
STATUS_FAILED: Final = "failed"
STATUSES: Final = (STATUS_DONE, STATUS_FAILED)

# Metrics: final values under a prefix, per-epoch values under their bare names.
FINAL: Final = "final/"
MEAN, CI_LOW, CI_HIGH, COUNT = "mean/", "ci_low/", "ci_high/", "n"
SECONDS: Final = "total_seconds"  # wall time of a cell; a history may have seconds of its own
POINT: Final = (
    "point/"  # before a metric of the history that was measured at a point of training, on a part of the images
)
NON_FINITE: Final = "non_finite"  # how many values of a run came out NaN or inf

# How far a study is: params of its parent run for what is to be done, metrics for what was done when it ended.
CELLS, PENDING = "cells", "pending"
CELLS_DONE, CELLS_FAILED = f"cells_{STATUS_DONE}", f"cells_{STATUS_FAILED}"

# Columns with the fingerprints of what a cell was trained from: arms of a seed that share one have equal values in it.
INIT_HASH: Final = "init_hash"  # of its initial weights
ORDER_HASH: Final = "order_hash"  # of the order of its images in the first epoch
NOISE_HASH: Final = "noise_hash"  # of the noise of the first epoch
HASHES: Final = (INIT_HASH, ORDER_HASH, NOISE_HASH)

# Frame: one row per cell. These columns come first and in this order; metrics follow in the order they were measured.
LEADING_COLUMNS: Final = ("loss", "reduction", "beta", "beta_eff", "seed", "status")
OTHER_COLUMNS: Final = ("posterior", "arm", "origin", "key", "reason", "seconds", *HASHES)
NUMBERS: Final[Mapping[str, type]] = MappingProxyType(
    {"beta": float, "beta_eff": float, "seed": int, "seconds": float}
)  # the others are text
REQUIRED: Final = ("loss", "reduction", "beta", "seed")
EPOCH: Final = "epoch"
HISTORY_COLUMNS: Final = ("key", EPOCH, "metric", "value")

# Artifacts of a cell and of a study.
PICTURES: Final = "pictures.npz"
HISTORY: Final = "history.json"
WEIGHTS: Final = "weights.safetensors"
PER_IMAGE: Final = "per_image.npz"  # of a cell: the values that its metrics are the means of
REFERENCES: Final = "references.json"  # of a study: floors, ceilings and what else the images alone give
REPORT: Final = "report"
MODEL: Final = "model"
STUDY_FILE: Final = "study.toml"
CLAIMS_FILE: Final = "claims.json"
ENVIRONMENT: Final = "environment.json"
PLAN_FILE: Final = "plan.json"  # every cell asked for: what a report holds the results against
RECORD: Final = "record.json"  # of a cell and of a study: all of the run, so that a database can be made anew

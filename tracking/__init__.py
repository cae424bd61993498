"""Where runs are kept: a study written to MLflow, cell by cell, and read back as a tidy frame.

MLflow, pandas and numpy are imported when first used: a command that only prints help should not wait for them.
"""

from tracking.errors import TrackingError
from tracking.models import log_torch_model
from tracking.reader import StudyInfo, read_cells, read_history, read_pictures, studies, study_info
from tracking.records import CellRecord
from tracking.search import Gathered, completed, gather
from tracking.store import Store, open_store, resolve
from tracking.ui import check_port, free_port, links, ui_command
from tracking.writer import StudyWriter, open_study

__all__ = [
    "CellRecord",
    "Gathered",
    "Store",
    "StudyInfo",
    "StudyWriter",
    "TrackingError",
    "check_port",
    "completed",
    "free_port",
    "gather",
    "links",
    "log_torch_model",
    "open_store",
    "open_study",
    "read_cells",
    "read_history",
    "read_pictures",
    "resolve",
    "studies",
    "study_info",
    "ui_command",
]

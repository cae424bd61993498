"""Where runs are kept: a study written to MLflow, cell by cell, and read back as a tidy frame.

Every name below is imported when it is first used: a command that only prints help waits for none of them.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tracking.errors import TrackingError
    from tracking.models import log_torch_model
    from tracking.opening import open_store
    from tracking.overview import StudyProgress, progress
    from tracking.reader import StudyInfo, read_cells, read_history, read_pictures, studies, study_info
    from tracking.records import CellRecord
    from tracking.search import Gathered, completed, gather
    from tracking.store import Store, resolve
    from tracking.ui import check_port, free_port, links, ui_command
    from tracking.weights import KeptCell, kept, read_weights, store_weights
    from tracking.writer import StudyWriter, open_study
else:
    _MODULES = {
        "errors": ("TrackingError",),
        "models": ("log_torch_model",),
        "opening": ("open_store",),
        "overview": ("StudyProgress", "progress"),
        "reader": ("StudyInfo", "read_cells", "read_history", "read_pictures", "studies", "study_info"),
        "records": ("CellRecord",),
        "search": ("Gathered", "completed", "gather"),
        "store": ("Store", "resolve"),
        "ui": ("check_port", "free_port", "links", "ui_command"),
        "weights": ("KeptCell", "kept", "read_weights", "store_weights"),
        "writer": ("StudyWriter", "open_study"),
    }
    _MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

    def __getattr__(name: str) -> object:
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


__all__ = [
    "CellRecord",
    "Gathered",
    "KeptCell",
    "Store",
    "StudyInfo",
    "StudyProgress",
    "StudyWriter",
    "TrackingError",
    "check_port",
    "completed",
    "free_port",
    "gather",
    "kept",
    "links",
    "log_torch_model",
    "open_store",
    "open_study",
    "progress",
    "read_cells",
    "read_history",
    "read_pictures",
    "read_weights",
    "resolve",
    "store_weights",
    "studies",
    "study_info",
    "ui_command",
]

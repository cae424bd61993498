"""Whether a report that lies in a folder is the one that would be written now.

Beside the page lies a digest of all that it was made of: the study's files, the numbers of its cells, the files they
lie in, the order in which claims and reports came about, and the code. Where the digest is the same, so is the report.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.page.files import write
from tracking import schema
from tracking.reader import StudyInfo
from tracking.search import Gathered
from tracking.store import local_folder

if TYPE_CHECKING:
    from mlflow.entities import Run

PAGE = "report.html"
DIGEST = ".made-of.json"
PACKAGES = ("ablations", "reports", "tracking", "vae")


def made_of(info: StudyInfo, stored: Gathered, invocations: Iterable[StudyInfo]) -> str:
    """Digest of what the report of a run is made of. invocations: of all studies, whose tags say when claims were
    fixed and reports made."""
    digest = sha256()
    for part in (
        [info.run_id, info.status, str(info.finished), dict(info.params), dict(info.artifacts)],
        *([key, *_cell(run)] for key, run in stored.runs.items()),
        [stored.missing, stored.notes],
        *([one.run_id, one.study, one.started.isoformat(), dict(one.tags)] for one in invocations),
        list(_code()),
    ):
        digest.update(json.dumps(part, sort_keys=True, default=str).encode())
    return digest.hexdigest()


def is_fresh(folder: Path, digest: str) -> bool:
    """Whether the page of the folder was made of this, and has not been changed since."""
    try:
        known = json.loads((folder / DIGEST).read_text("utf-8"))
        return bool(known == {"made_of": digest, PAGE: _sum(folder / PAGE)})
    except (OSError, ValueError):
        return False


def remember(folder: Path, digest: str) -> None:
    """Note what the page of the folder was made of. Raises UserError where the folder cannot be written to."""
    write(folder / DIGEST, json.dumps({"made_of": digest, PAGE: _sum(folder / PAGE)}))


def _cell(run: Run) -> Iterator[Any]:
    yield from (run.info.run_id, run.info.start_time, dict(run.data.params), dict(run.data.metrics))
    yield dict(run.data.tags)
    folder = local_folder(run.info.artifact_uri)
    if folder is not None:  # a server's files are not looked at: it alone changes them
        yield [_state(folder / name) for name in (schema.HISTORY, schema.PICTURES, schema.PER_IMAGE)]


def _state(path: Path) -> tuple[int, int] | None:
    """Size and time of a file; None where there is none."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_size, state.st_mtime_ns


def _sum(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def _code() -> Iterator[tuple[str, str]]:
    """Every file of the packages with its digest."""
    root = Path(__file__).resolve().parent.parent
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                yield str(path.relative_to(root)), _sum(path)

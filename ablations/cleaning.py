"""What `ablate clean` may remove: what can be made again, or is of no use any more. Nothing of a study that runs.

Reports (only the files that a report consists of), cells in the spool that were set aside, checkpoints of studies of
which every cell is done, and, where asked for, kept weights. Numbers and pictures of cells are never removed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ablations import freshness
from ablations.best import delete_weights
from ablations.driver import spool_of
from ablations.executors.checkpoints import folder_of
from tracking import schema
from tracking.overview import StudyProgress, progress
from tracking.search import done_runs, parents
from tracking.store import Store, local_folder
from vae.cache import user_cache

ASIDE = (".damaged", ".refused")  # endings of cells in the spool that are never sent


@dataclass(frozen=True)
class Removable:
    """what: in words. size: in bytes, where it is known. remove: does it."""

    what: str
    size: int
    remove: Callable[[], None]


def removables(store: Store, reports: Path, *, study: str = "", weights: bool = False) -> list[Removable]:
    """What may go, of one study or of all. reports: the folder that the folders of reports lie in."""
    items: list[Removable] = []
    for one in progress(store):
        if one.status != "running" and study in ("", one.study):
            items += _of_study(store, one, reports / one.study)
            items += _weights(store, one.study) if weights else ()
    return items


def _of_study(store: Store, one: StudyProgress, report: Path) -> Iterator[Removable]:
    if files := [path for name in _report_files(store, one.study) if (path := report / name).is_file()]:
        yield Removable(f"the report in {report}", _size(files), partial(_remove_files, files, report))
    spool = spool_of(store, one.study).folder
    if aside := [path for path in spool.glob("*") if path.suffix in ASIDE]:
        what = f"cells of {one.study} that were set aside, {len(aside)} in {spool}"
        yield Removable(what, _size(aside), partial(_remove_trees, aside))
    checkpoints = folder_of(store.uri, store.path, one.study, user_cache())
    if checkpoints.is_dir() and one.done == one.cells:
        what = f"checkpoints of {one.study}, which is done, in {checkpoints}"
        yield Removable(what, _size([checkpoints]), partial(_remove_trees, [checkpoints]))


def _report_files(store: Store, study: str) -> list[str]:
    """The names of all files of reports that were kept with the study's runs."""
    folders = [local_folder(run.info.artifact_uri) for run in parents(store, study)]
    kept = [folder / schema.REPORT for folder in folders if folder is not None]
    names = {path.relative_to(one).as_posix() for one in kept for path in one.rglob("*") if path.is_file()}
    return sorted(names | {freshness.DIGEST}) if names else []


def _weights(store: Store, study: str) -> Iterator[Removable]:
    runs = [
        run
        for run in done_runs(store, None, study, enough=lambda run: True)
        if run.data.tags.get(schema.TAG_WEIGHTS) == run.info.run_id
    ]
    folders = [folder for run in runs if (folder := local_folder(run.info.artifact_uri)) is not None]

    def remove() -> None:
        for run in runs:
            delete_weights(store, run.info.run_id)

    if runs:
        what = f"weights of {len(runs)} cells of {study}: a new metric will have to train them again"
        yield Removable(what, _size([folder / schema.WEIGHTS for folder in folders]), remove)


def _size(paths: Sequence[Path]) -> int:
    files = (file for path in paths for file in ([path] if path.is_file() else path.rglob("*")))
    return sum(file.stat().st_size for file in files if file.is_file())


def _remove_files(files: Sequence[Path], folder: Path) -> None:
    """These files, and the folders that they leave empty."""
    for file in files:
        file.unlink(missing_ok=True)
    for place in sorted({parent for file in files for parent in file.parents if parent.is_relative_to(folder)})[::-1]:
        with suppress(OSError):  # something else lies in it
            place.rmdir()


def _remove_trees(folders: Sequence[Path]) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)

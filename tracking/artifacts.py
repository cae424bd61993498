"""Files of a run: written and read directly in a local folder, otherwise through MLflow.

MLflow looks a run up, metrics and all, before it stores a file; a local folder is used by its address alone.
"""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from collections.abc import Callable, Container, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final
from zipfile import ZipFile

from tracking.errors import TrackingError, explained
from tracking.store import Store, local_folder

if TYPE_CHECKING:
    import numpy as np
    from mlflow.entities import Run

LARGEST: Final = 2**30  # bytes of a file, and of the arrays of an archive: hundreds of times what is written
Content = bytes | str | Path  # bytes and text as they are; a path is a file to copy, which nobody changes afterwards


def write(store: Store, run_id: str, address: str, files: Mapping[str, Content]) -> None:
    """Stores files with a run, each whole or not at all.

    address: the run's artifact address. files: path inside the run, with forward slashes, to content.
    Raises TrackingError for a path that leaves the run, and for what the disk or the server refuses.
    """
    if not files:
        return
    for name in files:
        _check_name(name)
    with explained(f"The files of run {run_id} cannot be written"):
        folder = local_folder(address)
        if folder is not None:
            _place(folder, files)
            return
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        repository = get_artifact_repository(address, tracking_uri=store.uri)  # without looking the run up each time
        with tempfile.TemporaryDirectory() as scratch:
            _place(Path(scratch), files)
            repository.log_artifacts(scratch)


def parts(address: str, files: Mapping[str, Content]) -> list[Mapping[str, Content]]:
    """What one call each writes, so that a failure repeats little: all files of a local folder, else each alone."""
    return [files] if local_folder(address) is not None else [{name: content} for name, content in files.items()]


def remove(address: str) -> None:
    """Removes the files of a run that was never made, where they lie in a local folder."""
    if (folder := local_folder(address)) is not None:
        shutil.rmtree(folder.parent, ignore_errors=True)


def read(
    store: Store, wanted: Mapping[str, tuple[str, str]], name: str, errors: dict[str, TrackingError] | None = None
) -> dict[str, bytes | None]:
    """One file of each of many runs.

    wanted: anything -> (run id, artifact address). errors: takes those of single files, which are
    None then. Returns the same keys -> content; None where the file is missing.
    Raises TrackingError for files that only a server can give, and where it refuses.
    """
    folders = {key: folder for key, (_, address) in wanted.items() if (folder := local_folder(address)) is not None}
    if len(folders) == len(wanted):
        return {key: _or_error(partial(_content, folder / name), key, errors) for key, folder in folders.items()}
    if not store.is_server and any(address.startswith("mlflow-artifacts:") for _, address in wanted.values()):
        raise TrackingError(
            f"Files of runs in {store.shown} were sent to an MLflow server, which keeps them: "
            "start that server and name its address, not the database behind it."
        )
    from concurrent.futures import ThreadPoolExecutor

    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(8) as pool:
        downloads = {
            key: pool.submit(_download, store, f"{address}/{name}", Path(scratch, run_id))
            for key, (run_id, address) in wanted.items()
        }
        return {key: _or_error(download.result, key, errors) for key, download in downloads.items()}


def _or_error(get: Callable[[], bytes | None], key: str, errors: dict[str, TrackingError] | None) -> bytes | None:
    try:
        return get()
    except TrackingError as error:
        if errors is None:
            raise
        errors[key] = error
        return None


def addresses(runs: Mapping[str, Run]) -> dict[str, tuple[str, str]]:
    """The argument `wanted` of `read`, for these runs."""
    return {key: (run.info.run_id, run.info.artifact_uri) for key, run in runs.items()}


def pack(arrays: Mapping[str, Any]) -> bytes:
    """Arrays as one compressed .npz. Raises TrackingError for an array of objects: it could not be read safely."""
    import numpy as np

    for name, array in arrays.items():
        if np.asarray(array).dtype.hasobject:
            raise TrackingError(f"array {name!r} holds Python objects; only numbers can be kept.")
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def unpack(content: bytes, names: Container[str] | None = None) -> dict[str, np.ndarray]:
    """The arrays of an .npz, read without pickle: those of these names, or all. Raises ValueError for an array of
    objects, for an archive without arrays, and for one that says it is larger than any that is written."""
    import numpy as np

    with ZipFile(io.BytesIO(content)) as archive:
        size = sum(part.file_size for part in archive.infolist())
    if not 0 < size <= LARGEST:
        raise ValueError(f"its arrays are of {size:,} bytes; allowed are 1 to {LARGEST:,}")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files if names is None or name in names}


def _check_name(name: str) -> None:
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\\" in name:
        raise TrackingError(f"file name {name!r} must be a path inside the run, such as 'pictures/grid.png'.")


def _place(folder: Path, files: Mapping[str, Content]) -> None:
    """Writes each file beside its place and then renames it, so that no reader sees half of one."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        if isinstance(content, Path):
            _copy(content, draft)
        else:
            draft.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(draft, path)


def _copy(source: Path, draft: Path) -> None:
    """Another name for the same file where the disk gives one, else a copy: nothing changes a file once it is whole."""
    draft.unlink(missing_ok=True)
    try:
        os.link(source, draft)
    except OSError:
        shutil.copyfile(source, draft)


def _content(path: Path) -> bytes | None:
    with explained(f"The file {path} cannot be read"):
        if not path.is_file():
            return None
        if (size := path.stat().st_size) > LARGEST:
            raise TrackingError(f"The file {path} is of {size:,} bytes; allowed are at most {LARGEST:,}.")
        return path.read_bytes()


def _download(store: Store, address: str, folder: Path) -> bytes | None:
    """One file through MLflow; None if it is missing."""
    from mlflow.artifacts import download_artifacts

    folder.mkdir()
    try:
        return Path(download_artifacts(artifact_uri=address, dst_path=str(folder), tracking_uri=store.uri)).read_bytes()
    except Exception as error:
        if any(phrase in str(error) for phrase in ("404", "No such", "not found", "does not exist")):
            return None
        with explained(f"The file {address} cannot be read"):
            raise

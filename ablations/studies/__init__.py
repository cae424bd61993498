"""The bundled studies, and how a study file is found and read.

Imports nothing heavy, so that a mistake is reported at once.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

from vae import toml
from vae.errors import UserError, closest

FOLDER = resources.files("ablations.studies")

# Minutes that a bundled study took, its report included; no entry where it was not timed.
MINUTES = {"digits-conv": 0.7, "digits-cvae": 1.2, "reference": 2.8, "digits": 3.1, "mnist-quick": 77}
MEASURED_ON = "on two CPU cores, which other programs used too"


def bundled() -> tuple[str, ...]:
    """The names of the studies that come with the package."""
    files = (file.name for file in FOLDER.iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in files if name.endswith(".toml")))


def _read(study: str) -> tuple[str, str]:
    """(where it lies, its text) of a study given by bundled name or by path."""
    if study in bundled():
        return f"{study}.toml", (FOLDER / f"{study}.toml").read_text("utf-8")
    path = Path(study)
    if not path.suffix and not _exists(path):
        raise UserError(
            f"study={study!r} is neither a bundled study {list(bundled())} nor a file.{closest(study, bundled())}"
        )
    try:
        return str(path), path.read_text("utf-8")
    except FileNotFoundError:
        raise UserError(f"study={study!r}: there is no such file; bundled studies are {list(bundled())}") from None
    except (OSError, ValueError) as error:  # ValueError: bytes that are no text, or a zero byte in the name
        raise UserError(f"study={study!r} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _exists(path: Path) -> bool:
    """Whether there is such a file; not where no file could have that name."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def table_of(study: str) -> tuple[str, dict[str, Any]]:
    """(where it lies, its content) of a study file, its name filled in, its values not checked."""
    where, text = _read(study)
    try:
        table = toml.parsed(text)
    except UserError as error:
        raise UserError(f"{where} {error}") from None
    table.setdefault("name", Path(where).stem)
    return where, table


def name_of(study: str) -> str:
    """The name under which a study given by name or by file is tracked.

    >>> name_of("mnist"), name_of("elsewhere/mine.toml"), name_of("my.v2")
    ('mnist', 'mine', 'my.v2')
    """
    path = Path(study)
    if path.suffix != ".toml":
        return study
    return str(table_of(study)[1]["name"]) if _exists(path) and not path.is_dir() else path.stem


def described() -> list[dict[str, str]]:
    """Of each bundled study its name, dataset and description.

    >>> described()[0]["study"]
    'digits'
    """
    names = sorted(bundled(), key=lambda name: (MINUTES.get(name, 1e9), name))
    tables = {name: table_of(name)[1] for name in ("digits", *(name for name in names if name != "digits"))}
    return [
        {"study": name, "dataset": str(table["dataset"]), "description": str(table["description"])}
        for name, table in tables.items()
    ]

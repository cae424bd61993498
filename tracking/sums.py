"""Sums by which a run's damage is noticed: of each file that a report reads, and of the run's params and last numbers.

They are one tag of the run, written with its last numbers. Beside the files lies the whole run as a record, from which
`tracking.rebuild` makes a database anew. A run of an earlier version has neither, and nothing of it is held against
sums.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tracking import schema

if TYPE_CHECKING:
    from mlflow.entities import Run

PARTS: Final = (schema.HISTORY, schema.PICTURES, schema.PER_IMAGE)  # of a cell, read by a report
STUDY_PARTS: Final = (schema.STUDY_FILE, schema.CLAIMS_FILE, schema.ENVIRONMENT, schema.REFERENCES, schema.PLAN_FILE)
NUMBERS: Final = "numbers"  # in the tag, beside the names of files
_FIXED: Final = (  # tags that say what the numbers are; others may change
    *(schema.TAG_KEY, schema.TAG_MEASURES, schema.TAG_STATUS, schema.TAG_METRICS, schema.TAG_NON_FINITE),
)
_LONGEST: Final = 500  # characters of a param that every store keeps


@dataclass(frozen=True)
class Damage:
    """A part of a run that is not what was written. name: of the run, after what it is. part: a file, or "numbers"."""

    name: str
    run_id: str
    part: str
    why: str

    @property
    def sentence(self) -> str:
        """What a reader must know of it.

        >>> Damage("cell mae-sum-b1-s0", "a1", "history.json", "is missing").sentence
        'history.json of cell mae-sum-b1-s0 (run a1) is missing.'
        """
        return f"{self.part} of {self.name} (run {self.run_id}) {self.why}."


def sum_of(content: bytes) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    return sha256(content).hexdigest()


def sums_tag(files: Mapping[str, bytes], numbers: str = "") -> str:
    """The tag's text. files: name -> content. numbers: as `numbers_sum` gives it; empty for a run without."""
    sums = {name: sum_of(content) for name, content in files.items()}
    return json.dumps(sums | ({NUMBERS: numbers} if numbers else {}), separators=(",", ":"))


def sums_of(run: Run) -> dict[str, str]:
    """Part -> its sum, as the run's tag has them; none for a run of an earlier version, or where the tag is no JSON."""
    try:
        sums = json.loads(run.data.tags.get(schema.TAG_SUMS, "{}"))
    except (ValueError, RecursionError):
        return {NUMBERS: "?"}
    return {str(name): str(text) for name, text in sums.items()} if isinstance(sums, dict) else {NUMBERS: "?"}


def numbers_sum(params: Mapping[str, str], metrics: Mapping[str, float], tags: Mapping[str, str]) -> str:
    """Sum over params, the last value of every metric, and the tags that say what they are. The same whatever store
    they come from: a negative zero, which SQLite does not keep, counts as zero.

    >>> numbers_sum({"a": "1"}, {"x": -0.0}, {}) == numbers_sum({"a": "1"}, {"x": 0.0}, {})
    True
    """
    content = [
        sorted((name, text[:_LONGEST]) for name, text in params.items()),
        sorted((name, repr(float(value) + 0.0)) for name, value in metrics.items()),
        [tags.get(name, "") for name in _FIXED],
    ]
    return sum_of(json.dumps(content, separators=(",", ":")).encode())


def latest_of(metrics: Mapping[tuple[str, int], float]) -> dict[str, float]:
    """The last value of each metric: what a store calls its latest."""
    steps: dict[str, int] = {}
    values: dict[str, float] = {}
    for (name, step), value in metrics.items():
        if step >= steps.get(name, step):
            steps[name], values[name] = step, value
    return values


def numbers_damage(run: Run) -> Damage | None:
    """Whether a run's params or numbers were changed after they were written."""
    written = sums_of(run).get(NUMBERS)
    if written is None or written == numbers_sum(run.data.params, run.data.metrics, run.data.tags):
        return None
    return damage_of(run, NUMBERS, "are not those that were written")


def file_damage(run: Run, name: str, content: bytes | None) -> Damage | None:
    """Whether a file of a run is not what was written. content: None where there is none."""
    written = sums_of(run).get(name)
    if written is None or (content is not None and sum_of(content) == written):
        return None
    return damage_of(run, name, "is missing" if content is None else "cannot be read: it is not what was written")


def damage_of(run: Run, part: str, why: str) -> Damage:
    """Damage of a part of this run."""
    kind = run.data.tags.get(schema.TAG_KIND, "")
    return Damage(f"{kind} {run.info.run_name}".strip(), run.info.run_id, part, why)


def record_text(record: Mapping[str, Any]) -> str:
    """The file that keeps a whole run: its values as one JSON table, below their own sum."""
    text = json.dumps(record, separators=(",", ":"))
    return f"{sum_of(text.encode())}\n{text}"


def record_of(content: bytes) -> dict[str, Any]:
    """What `record_text` wrote. Raises ValueError for anything else."""
    digest, _, text = content.decode().partition("\n")
    if sum_of(text.encode()) != digest:
        raise ValueError("it is not what was written")
    return dict(json.loads(text))


def as_bytes(content: bytes | str | Path) -> bytes:
    """The content of a file, wherever it is."""
    if isinstance(content, Path):
        return content.read_bytes()
    return content.encode() if isinstance(content, str) else content

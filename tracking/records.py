"""What is written of one cell: checked where it is made, and cut into what MLflow can hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from time import time
from typing import Any
from uuid import uuid4

from tracking import schema
from tracking.artifacts import Content, pack
from tracking.errors import TrackingError, shorten
from tracking.values import TAG_LIMIT, as_text, epoch_of, history_text, join_names, part
from tracking.weights import KeptCell


@dataclass(frozen=True, kw_only=True)
class CellRecord:
    """One finished cell, done or failed.

    key: hash of what determines its weights. name: what the UI shows, such as 'mae-sum-b1-s3'.
    fields: its params; at least loss, reduction, beta and seed. metrics: final values by catalogue name; NaN and
    infinity are kept as such. history: one mapping per epoch, with `epoch`. reason: why it failed, in one sentence.
    seconds: its wall time. files: path inside the run -> content. pictures: name -> array, kept as one .npz; so is
    per_image, the values that metrics are the means of (see `tracking.reader.read_per_image`).
    tags: any others. measures: hash of what determines its numbers besides. weights: the content of its weights' file.
    weights_of: for a cell that was measured again, the cell whose weights were measured; nothing is copied.

    Raises TrackingError for a record that could not be trusted when read back.
    """

    key: str
    name: str
    fields: Mapping[str, object]
    metrics: Mapping[str, object] = field(default_factory=dict)
    history: Sequence[Mapping[str, object]] = ()
    status: str = schema.STATUS_DONE
    reason: str = ""
    seconds: float | None = None
    files: Mapping[str, Content] = field(default_factory=dict)
    pictures: Mapping[str, Any] = field(default_factory=dict)
    per_image: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    measures: str = ""
    weights: bytes | None = None
    weights_of: KeptCell | None = None

    def __post_init__(self) -> None:
        if not self.key:
            raise TrackingError(f"cell {self.name!r} has no key: it could never be found again.")
        if self.status not in schema.STATUSES:
            raise TrackingError(f"cell {self.name!r}: status={self.status!r} is not one of {list(schema.STATUSES)}.")
        check_fields(self.name, self.fields)
        self._check_outcome()
        self._check_weights()
        for row in self.history:
            epoch_of(row)

    def _check_outcome(self) -> None:
        if self.status == schema.STATUS_FAILED and (self.metrics or not self.reason):
            raise TrackingError(f"cell {self.name!r} failed: give a reason, and no final metrics.")
        if self.status == schema.STATUS_DONE and not self.metrics:
            raise TrackingError(f"cell {self.name!r} is done but has no metrics: it would be a hole in the results.")
        if split := [name for name in self.metrics if "," in name]:
            raise TrackingError(f"cell {self.name!r}: a metric's name holds no comma, and {split[0]!r} does.")

    def _check_weights(self) -> None:
        if self.status == schema.STATUS_FAILED and self.measures:
            raise TrackingError(f"cell {self.name!r} failed: it was not measured, and has no measures.")
        if self.weights is not None and self.weights_of is not None:
            raise TrackingError(f"cell {self.name!r} has weights of its own and those of run {self.weights_of.run_id}.")
        if self.weights_of is not None and self.weights_of.key != self.key:
            raise TrackingError(f"cell {self.name!r} has key={self.key!r}; its weights have {self.weights_of.key!r}.")


def check_fields(name: str, fields: Mapping[str, object]) -> None:
    """Raises TrackingError unless the fields can be read back as a row of the frame."""
    if missing := [required for required in schema.REQUIRED if required not in fields]:
        raise TrackingError(f"cell {name!r} lacks the fields {missing}; it has {sorted(fields)}.")


def files_of(cell: CellRecord) -> dict[str, Content]:
    """A cell's own files, its history, its pictures, its values by image and its weights."""
    files: dict[str, Content] = {schema.HISTORY: history_text(cell.history)} | dict(cell.files)
    archives = {schema.PICTURES: cell.pictures, schema.PER_IMAGE: cell.per_image}
    files |= {name: pack(arrays) for name, arrays in archives.items() if arrays}
    return files | ({schema.WEIGHTS: cell.weights} if cell.weights is not None else {})


@dataclass(frozen=True, kw_only=True)
class Packed:
    """A finished cell as it is sent: everything checked, every value as MLflow takes it. Made by `pack_cell`.

    run_id: the run that it becomes in a database; a server gives its own. time: when it was finished, in ms since 1970:
    numbers sent twice are then the same numbers. curves: (name, epoch, value) of its history. finals: (name, value),
    sent with the last epoch. files: path inside the run -> content. holds_weights: one of the files is its weights.
    """

    key: str
    name: str
    status: str
    measures: str
    run_id: str
    time: int
    params: Mapping[str, str]
    curves: Sequence[tuple[str, int, float]]
    finals: Sequence[tuple[str, float]]
    tags: Mapping[str, str]
    holds_weights: bool
    files: Mapping[str, Content]

    def metrics(self, sent: int = -1) -> dict[tuple[str, int], float]:
        """All its numbers by name and step, final ones last. sent: the last epoch that the store has already."""
        last = max((epoch for _, epoch, _ in self.curves), default=0)
        curves = {(name, epoch): value for name, epoch, value in self.curves if epoch > sent}
        return curves | {(name, last): value for name, value in self.finals}

    def tags_in(self, run_id: str) -> dict[str, str]:
        """The tags that complete it in this run."""
        weights = {schema.TAG_WEIGHTS: run_id} if self.holds_weights else {}
        return weights | dict(self.tags) | {schema.TAG_STATUS: self.status}


def pack_cell(cell: CellRecord) -> Packed:
    """A finished cell as it is sent. Raises TrackingError for what no run could hold."""
    curves: list[tuple[str, int, float]] = []
    bad: dict[str, str] = {}  # metric -> its first bad epoch
    count = 0
    for row in cell.history:
        epoch = epoch_of(row)
        finite, others = part(values_of(row))
        count += len(others)
        bad |= {name: f"{name}@{epoch}" for name in others if name not in bad}
        curves += [(name, epoch, value) for name, value in finite.items()]
    finite, others = part(cell.metrics)
    extra, _ = part({} if cell.seconds is None else {schema.SECONDS: cell.seconds})
    extra |= {schema.NON_FINITE: float(count + len(others))} if count or others else {}
    return Packed(
        key=cell.key,
        name=cell.name,
        status=cell.status,
        measures=cell.measures,
        run_id=uuid4().hex,
        time=int(time() * 1000),
        params={name: as_text(value) for name, value in cell.fields.items()},
        curves=curves,
        finals=[*extra.items(), *((schema.FINAL + name, value) for name, value in finite.items())],
        tags=_tags_of(cell, (*others, *bad.values())),
        holds_weights=cell.weights is not None,
        files=files_of(cell),
    )


def _tags_of(cell: CellRecord, bad: Sequence[str]) -> dict[str, str]:
    """A cell's own tags but its status. The digest of weights comes before the run that holds them."""
    tags = bad_tag(bad) | {schema.TAG_METRICS: join_names(cell.metrics)}
    tags |= {schema.TAG_REASON: shorten(cell.reason, TAG_LIMIT)} if cell.reason else {}
    tags |= {schema.TAG_MEASURES: cell.measures} if cell.measures else {}
    if cell.weights_of is not None:
        tags |= {schema.TAG_WEIGHTS: cell.weights_of.run_id, schema.TAG_WEIGHTS_DIGEST: cell.weights_of.sha256}
    elif cell.weights is not None:
        tags |= {schema.TAG_WEIGHTS_DIGEST: sha256(cell.weights).hexdigest()}
    return dict(cell.tags) | tags


def values_of(row: Mapping[str, object]) -> dict[str, object]:
    """A history row without its epoch."""
    return {name: value for name, value in row.items() if name != schema.EPOCH}


def bad_tag(names: Sequence[str]) -> dict[str, str]:
    """The tag that names what came out NaN or infinite; none if nothing did."""
    return {schema.TAG_NON_FINITE: join_names(names)} if names else {}

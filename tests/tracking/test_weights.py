"""Weights kept with cells: found again, measured again under other measures, and refused when damaged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from tests.tracking_samples import cell, failed, local_store
from tracking.errors import TrackingError
from tracking.reader import read_cells, read_history
from tracking.records import CellRecord
from tracking.search import completed, gather
from tracking.store import Store, local_folder
from tracking.weights import KeptCell, kept, read_weights
from tracking.writer import StudyWriter, open_study

WEIGHTS = b"\x00\x01 safetensors"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store of this module's own."""
    return local_store(tmp_path_factory.mktemp("store"))


@pytest.fixture
def writer(store: Store, request: pytest.FixtureRequest) -> Iterator[StudyWriter]:
    """A study named after the test."""
    with open_study(store, request.node.name, {"epochs": 3}, {}) as opened:
        yield opened


def again(kept_cell: KeptCell, measures: str, rate: float) -> CellRecord:
    """The same cell measured again: what it is comes from what was kept."""
    return CellRecord(
        key=kept_cell.key,
        name=kept_cell.name,
        fields=kept_cell.params,
        history=kept_cell.history,
        tags=kept_cell.tags,
        metrics={"rate": rate},
        measures=measures,
        weights_of=kept_cell,
    )


def test_kept_weights_are_measured_again_and_not_copied(store: Store, writer: StudyWriter) -> None:
    nan = float("nan")
    history = [{"epoch": 1, "train_loss": 1 / 3}, {"epoch": 2, "train_loss": nan}]
    record = cell("w1", seed=4, measures="old", weights=WEIGHTS, history=history, tags={"note": "by hand"})
    first = writer.write_cell(record)
    assert store.client.get_run(first).data.tags["ablate.weights_sha256"] == sha256(WEIGHTS).hexdigest()
    kept_cells = kept(store, ["w1", "nowhere"], writer.study)
    assert list(kept_cells) == ["w1"]
    original = kept_cells["w1"]
    assert (original.run_id, original.name, original.tags) == (
        first,
        record.name,
        {"note": "by hand"},
    )
    assert original.params["beta_eff"] == "39.2"
    for row, written in zip(original.history, history, strict=True):
        np.testing.assert_array_equal(list(row.values()), list(written.values()))
    assert read_weights(store, original) == WEIGHTS

    second = writer.write_cell(again(original, "new", 7.5))
    run = store.client.get_run(second)
    assert run.data.tags["ablate.weights"] == first
    assert "weights.safetensors" not in [file.path for file in store.client.list_artifacts(second)]
    assert kept(store, ["w1"])["w1"].run_id == first  # whichever run is read, the weights are those of the first
    frame = read_cells(store, {"w1": "new"})
    assert frame["rate"].tolist() == [7.5]
    assert frame["seed"].tolist() == [4]
    assert read_history(store, {"w1": "new"}).equals(read_history(store, {"w1": "old"}))


def test_a_cell_is_done_under_the_measures_it_was_measured_with(store: Store, writer: StudyWriter) -> None:
    writer.write_cell(cell("m1", measures="old", weights=WEIGHTS, metrics={"rate": 1.0}))
    writer.write_cell(cell("m2", seed=1, measures="old", metrics={"rate": 2.0}))
    assert completed(store, {"m1": "old", "m2": "old"}) == {"m1", "m2"}
    assert completed(store, {"m1": "new", "m2": "old"}) == {"m2"}
    assert gather(store, {"m1": "new", "m2": "old"}).missing == ("m1",)
    second = writer.write_cell(again(kept(store, ["m1"])["m1"], "new", 3.0))
    for wanted, rates in (("old", [1.0]), ("new", [3.0])):
        assert completed(store, {"m1": wanted}) == {"m1"}
        assert read_cells(store, {"m1": wanted})["rate"].tolist() == rates
    latest = gather(store, ["m1"])
    assert (latest.runs["m1"].info.run_id, latest.notes) == (second, ())
    writer.write_cell(again(kept(store, ["m1"])["m1"], "new", 4.0))
    assert read_cells(store, ["m1"])["rate"].tolist() == [3.0]  # of the latest measures, the earliest run
    assert gather(store, {"m1": "old"}).notes == ()
    for keys in (["m1"], {"m1": "new"}):
        assert gather(store, keys).notes == (
            f"2 runs of cell mae-sum-b1-s0 are done; the earliest, {second}, is read; "
            "they differ most in rate: 3 against 4.",
        )


def test_a_failure_counts_until_the_cell_is_done(store: Store, writer: StudyWriter) -> None:
    writer.write_cell(failed("f1"))
    assert gather(store, {"f1": "new"}).runs.keys() == {"f1"}
    writer.write_cell(cell("f1", measures="old"))
    assert gather(store, {"f1": "new"}).missing == ("f1",)
    assert completed(store, {"f1": "new"}) == set()
    assert kept(store, ["f1"]) == {}  # its weights were never stored


def test_weights_are_found_in_the_study_that_trained_them(store: Store, writer: StudyWriter) -> None:
    writer.write_cell(cell("x1", measures="old", weights=WEIGHTS))
    with open_study(store, f"{writer.study} elsewhere", {}, {}) as other:
        other.write_cell(again(kept(store, ["x1"])["x1"], "new", 1.0))
        assert read_weights(store, kept(store, ["x1"], other.study)["x1"]) == WEIGHTS
    store.client.delete_run(kept(store, ["x1"])["x1"].run_id)
    assert kept(store, ["x1"]) == {}
    assert completed(store, {"x1": "new"}) == {"x1"}


def test_damaged_and_missing_weights_are_refused(store: Store, writer: StudyWriter) -> None:
    run_id = writer.write_cell(cell("bad", weights=WEIGHTS))
    kept_cell = kept(store, ["bad"])["bad"]
    folder = local_folder(kept_cell.address) or Path()
    (folder / "weights.safetensors").write_bytes(WEIGHTS[:-1])
    with pytest.raises(TrackingError, match=rf"of cell mae-sum-b1-s0 \(run {run_id}\) is damaged: its 13 bytes are"):
        read_weights(store, kept_cell)
    (folder / "weights.safetensors").unlink()
    with pytest.raises(TrackingError, match=r"weights.safetensors of cell .* is not at file:///.*moved or cleaned"):
        read_weights(store, kept_cell)


def test_weights_cut_short_are_not_counted(store: Store, writer: StudyWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", no_space)
    with pytest.raises(TrackingError, match="No space left on device"):
        writer.write_cell(cell("full", measures="m", weights=WEIGHTS))
    assert completed(store, {"full": "m"}) == set()
    assert kept(store, ["full"]) == {}


def test_a_record_has_weights_of_its_own_or_of_its_key(store: Store, writer: StudyWriter) -> None:
    writer.write_cell(cell("own", weights=WEIGHTS))
    kept_cell = kept(store, ["own"])["own"]
    with pytest.raises(TrackingError, match=r"has weights of its own and those of run"):
        cell("own", weights=WEIGHTS, weights_of=kept_cell)
    with pytest.raises(TrackingError, match=r"has key='other'; its weights have 'own'"):
        cell("other", weights_of=kept_cell)
    with pytest.raises(TrackingError, match="failed: it was not measured, and has no measures"):
        replace(failed("own"), measures="m")


def test_a_cell_that_could_not_be_measured_keeps_its_weights(store: Store, writer: StudyWriter) -> None:
    writer.write_cell(replace(failed("trained"), weights=WEIGHTS))
    assert completed(store, ["trained"]) == set()
    assert read_weights(store, kept(store, ["trained"])["trained"]) == WEIGHTS

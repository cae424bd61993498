"""A study read back: the frame is what was written, and what cannot be trusted is refused."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.tracking_samples import METRICS, cell, failed, fields, local_store
from tracking.errors import TrackingError
from tracking.reader import read_cells, read_history, read_per_image, read_pictures, studies, study_info
from tracking.schema import HISTORY_COLUMNS, LEADING_COLUMNS, OTHER_COLUMNS
from tracking.search import Gathered, completed, gather
from tracking.store import Store, local_folder, resolve
from tracking.ui import free_port, ui_command
from tracking.writer import StudyWriter, open_study

NAN = float("nan")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store of this module's own."""
    return local_store(tmp_path_factory.mktemp("store"))


@pytest.fixture
def study(request: pytest.FixtureRequest) -> str:
    """The name of the test: one study each."""
    return str(request.node.name)


@pytest.fixture
def writer(store: Store, study: str) -> Iterator[StudyWriter]:
    """That study, open."""
    with open_study(store, study, {"epochs": 3, "note": "ünder"}, {"study.toml": "name = 'ü'"}) as opened:
        yield opened


def test_the_frame_is_tidy_and_exact(store: Store, study: str, writer: StudyWriter) -> None:
    records = [
        cell("r1", loss="mae", beta=0.1, seed=2, metrics={"rate": 1 / 3, "ssim": 1e-17, "psnr": NAN}),
        failed("r2", seed=3),
        cell("r3", loss="bce", beta=4, seed=0, metrics={"rate": -2.5, "ssim": 0.0, "psnr": 31.25}),
    ]
    for record in records:
        writer.write_cell(record)
    frame = read_cells(store, ["r3", "r1", "r2"], study, parsers={"batch_size": int, "absent": float})
    assert tuple(frame.columns) == (*LEADING_COLUMNS, "rate", "ssim", "psnr", *OTHER_COLUMNS, "batch_size", "absent")
    assert frame["key"].tolist() == ["r3", "r1", "r2"]  # in the order of the keys
    assert frame["beta"].tolist() == [4.0, 0.1, 1.0]
    assert frame["beta_eff"].tolist() == [4 * 39.2, 0.1 * 39.2, 39.2]
    assert frame["seed"].tolist() == [0, 2, 3]
    assert frame["status"].tolist() == ["done", "done", "failed"]
    assert frame["reason"].tolist() == ["", "", "the loss became NaN at epoch 2, step 17"]
    assert frame["arm"].tolist() == ["bce-sum-b4", "mae-sum-b0.1", "mae-sum-b1"]
    assert frame["init_hash"].tolist() == ["init0", "init2", "init3"]
    assert frame["seconds"].tolist() == [record.seconds for record in (records[2], records[0], records[1])]
    assert frame["batch_size"].tolist() == [128] * 3
    assert frame["absent"].tolist() == [None] * 3
    np.testing.assert_array_equal(frame["rate"], [-2.5, 1 / 3, NAN])
    np.testing.assert_array_equal(frame["ssim"], [0.0, 1e-17, NAN])  # a true zero stays one
    np.testing.assert_array_equal(frame["psnr"], [31.25, NAN, NAN])
    kinds = {name: str(frame[name].dtype) for name in ("beta", "seed", "rate", "seconds", "batch_size")}
    assert kinds == {"beta": "float64", "seed": "int64", "rate": "float64", "seconds": "float64", "batch_size": "int64"}
    assert frame.attrs["notes"] == ()


def test_an_empty_frame_has_its_columns(store: Store) -> None:
    frame = read_cells(store, study="never run")
    assert (len(frame), tuple(frame.columns)) == (0, (*LEADING_COLUMNS, *OTHER_COLUMNS))
    assert tuple(read_history(store, study="never run").columns) == HISTORY_COLUMNS


def test_a_cell_counts_wherever_it_was_trained(store: Store, study: str, writer: StudyWriter) -> None:
    writer.write_cell(cell("shared", seed=1))
    with open_study(store, f"{study} again", {}, {}) as second:
        assert completed(store, ["shared", "own"], f"{study} again") == {"shared"}
        second.write_cell(cell("own", seed=2))
    assert read_cells(store, ["own", "shared"], f"{study} again")["seed"].tolist() == [2, 1]
    assert read_cells(store, study=study)["key"].tolist() == ["shared"]
    assert completed(store, study=f"{study} again") == {"own"}
    assert completed(store) >= {"own", "shared"}


def test_missing_cells_are_refused_unless_allowed(store: Store, writer: StudyWriter) -> None:
    writer.write_cell(cell("here"))
    writer.start_cell("half", "half-written", fields())
    with pytest.raises(TrackingError, match=r"2 of 3 cells are not complete in sqlite:.*such as half\. Run the study"):
        read_cells(store, ["half", "here", "nowhere"])
    gathered = gather(store, ["half", "here", "nowhere"])
    assert gathered.missing == ("half", "nowhere")
    assert read_cells(store, gathered, allow_missing=True)["key"].tolist() == ["here"]


def test_a_failure_is_retried_and_superseded(store: Store, writer: StudyWriter) -> None:
    writer.write_cell(failed("again", reason="first"))
    writer.write_cell(failed("again", reason="second"))
    frame = read_cells(store, ["again"])
    assert frame["reason"].tolist() == ["second"]
    assert frame.attrs["notes"] == ("cell mae-sum-b1-s0 has 2 failed runs; the latest is read.",)
    assert completed(store, ["again"]) == set()
    writer.write_cell(cell("again"))
    writer.write_cell(failed("again", reason="third"))
    assert read_cells(store, ["again"])["status"].tolist() == ["done"]
    assert completed(store, ["again"]) == {"again"}


def test_of_duplicates_the_earliest_is_read_and_the_gap_reported(store: Store, study: str, writer: StudyWriter) -> None:
    first = writer.write_cell(cell("twice", metrics={"rate": 24.5, "ssim": 0.75}))
    writer.write_cell(cell("twice", metrics={"rate": 24.75, "ssim": 0.75}))
    writer.write_cell(cell("equal", seed=1))
    writer.write_cell(cell("equal", seed=1))
    frame = read_cells(store, study=study)
    assert frame["rate"].tolist()[0] == 24.5
    assert len(frame) == 2
    gap, same = frame.attrs["notes"][:2]
    assert gap == (
        f"2 runs of cell mae-sum-b1-s0 are done; the earliest, {first}, is read; "
        "they differ most in rate: 24.5 against 24.75."
    )
    assert same.endswith("is read; their metrics are equal.")


def test_a_run_deleted_in_the_ui_is_gone(store: Store, writer: StudyWriter) -> None:
    store.client.delete_run(writer.write_cell(cell("deleted")))
    assert completed(store, ["deleted"]) == set()
    assert gather(store, ["deleted"]).missing == ("deleted",)


def test_a_hole_is_refused(store: Store, writer: StudyWriter) -> None:
    run_id = writer.write_cell(cell("hole"))
    store.client.set_tag(run_id, "ablate.metrics", ",".join((*METRICS, "mtf50")))
    with pytest.raises(TrackingError, match=rf"mae-sum-b1-s0 \(run {run_id}\) is marked done but lacks \['mtf50'\]"):
        read_cells(store, ["hole"])


@pytest.mark.parametrize(("value", "shown"), [(NAN, "nan"), (float("inf"), "1.79"), (0.0, "0.0")])
def test_nan_passed_off_as_a_number_is_refused(store: Store, writer: StudyWriter, value: float, shown: str) -> None:
    key = f"liar {shown}"
    run_id = writer.write_cell(cell(key, metrics={"rate": 1.5, "psnr": NAN}))
    store.client.log_metric(run_id, "final/psnr", value)  # as a careless writer would
    with pytest.raises(TrackingError, match=rf"final/psnr={shown}.* stands for a NaN or infinity"):
        read_cells(store, [key])


def test_an_unknown_status_or_a_foreign_cell_is_refused(store: Store, writer: StudyWriter) -> None:
    run_id = writer.write_cell(cell("status"))
    store.client.set_tag(run_id, "ablate.status", "finished")
    with pytest.raises(TrackingError, match=r"ablate.status='finished', not one of \['done', 'failed'\]"):
        read_cells(store, ["status"])
    store.client.delete_run(run_id)
    tags = {"ablate.kind": "cell", "ablate.key": "foreign", "ablate.status": "done"}
    run = store.client.create_run(writer.experiment_id, tags=tags, run_name="foreign")
    with pytest.raises(TrackingError, match="has no param 'loss': it was not written by this program"):
        read_cells(store, ["foreign"])
    for name, value in (fields() | {"beta": "strong"}).items():
        store.client.log_param(run.info.run_id, name, value)
    with pytest.raises(TrackingError, match="has beta='strong', which is not of type float"):
        read_cells(store, ["foreign"])
    store.client.delete_run(run.info.run_id)


def test_a_metric_that_only_some_cells_have_is_reported(store: Store, study: str, writer: StudyWriter) -> None:
    writer.write_cell(cell("plain", metrics={"rate": 2.0}))
    writer.write_cell(cell("conditional", seed=1, metrics={"rate": 3.0, "class_accuracy": 0.9}))
    writer.write_cell(failed("broken", seed=2))
    frame = read_cells(store, ["plain", "conditional", "broken"], study)
    np.testing.assert_array_equal(frame["class_accuracy"], [NAN, 0.9, NAN])
    assert frame.attrs["notes"] == ("class_accuracy was measured in 1 of 2 cells.",)


def test_a_metric_that_whole_arms_lack_is_no_news(store: Store, study: str, writer: StudyWriter) -> None:
    writer.write_cell(cell("plain", metrics={"rate": 2.0}, fields=fields() | {"arm": "plain"}))
    with_labels = fields() | {"arm": "conditional", "seed": 1}
    writer.write_cell(cell("labels", metrics={"rate": 3.0, "class_accuracy": 0.9}, fields=with_labels))
    assert read_cells(store, ["plain", "labels"], study).attrs["notes"] == ()


def test_thousands_of_cells_come_page_by_page(
    store: Store, study: str, writer: StudyWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracking.search._PAGE", 3)
    keys = [f"page{i}" for i in range(10)]
    for i, key in enumerate(keys):
        writer.write_cell(cell(key, seed=i, history=(), pictures={}, files={}))
    assert read_cells(store, keys[::-1], study)["seed"].tolist() == list(range(9, -1, -1))
    assert completed(store, keys, study) == set(keys)


def test_history_is_read_to_the_last_bit(store: Store, study: str, writer: StudyWriter) -> None:
    record = cell("h1", history=[{"epoch": 1, "a": 1 / 3}, {"epoch": 2, "a": NAN, "b": float("-inf")}])
    writer.write_cell(record)
    writer.write_cell(failed("h2"))
    history = read_history(store, ["h2", "h1"], study)
    expected = pd.DataFrame(
        {
            "key": ["h2", "h2", "h1", "h1", "h1"],
            "epoch": [1, 2, 1, 2, 2],
            "metric": ["train_loss", "train_loss", "a", "a", "b"],
            "value": [9.0, NAN, 1 / 3, NAN, -math.inf],
        }
    )
    pd.testing.assert_frame_equal(history, expected, check_exact=True)


def test_pictures_are_read_without_pickle(store: Store, writer: StudyWriter) -> None:
    record = cell("p1")
    writer.write_cell(record)
    bare = writer.write_cell(cell("p2", seed=1, pictures={}))
    pictures = read_pictures(store, ["p1", "p2", "nowhere"])
    assert list(pictures) == ["p1"]
    assert set(pictures["p1"]) == set(record.pictures)
    for name, array in record.pictures.items():
        np.testing.assert_array_equal(pictures["p1"][name], array, strict=True)
    np.savez(folder_of(store, bare) / "pictures.npz", bad=np.array([{}], dtype=object))
    with pytest.raises(TrackingError, match=r"pictures.npz of cell .* cannot be read: Object arrays"):
        read_pictures(store, ["p2"])


def test_values_by_image_are_read_by_name_and_only_those_that_were_kept(
    store: Store, study: str, writer: StudyWriter
) -> None:
    values = np.array([0.5, NAN, 1.5], np.float32)
    kept = {"ssim": values, "ssim.images": np.asarray(7), "kid": values[:2], "legibility": np.stack([values] * 2)}
    record = cell("v1", per_image=kept)
    run_id = writer.write_cell(record)
    writer.write_cell(cell("v2", seed=1))
    everything = read_per_image(store, ["v1", "v2", "nowhere"], [*METRICS, "kid", "legibility"])
    assert list(everything) == ["v1"]
    assert everything["v1"].keys() == kept.keys()
    for name, array in kept.items():
        np.testing.assert_array_equal(everything["v1"][name], array, strict=True)
    assert read_per_image(store, ["v1"], ["ssim"])["v1"].keys() == {"ssim", "ssim.images"}
    assert read_per_image(store, ["v1"], ["rate"]) == {"v1": {}}
    (folder_of(store, run_id) / "per_image.npz").write_bytes(b"no archive")
    with pytest.raises(TrackingError, match=r"per_image.npz of cell .* cannot be read"):
        read_per_image(store, ["v1"], ["ssim"])


def test_a_moved_folder_is_reported(store: Store, study: str, writer: StudyWriter) -> None:
    shutil.rmtree(folder_of(store, writer.write_cell(cell("moved"))))
    with pytest.raises(TrackingError, match=r"history.json of cell .* is not at file:///.*Was the folder moved"):
        read_history(store, ["moved"], study)


def test_what_is_gathered_once_serves_every_reader(store: Store, study: str, writer: StudyWriter) -> None:
    writer.write_cell(cell("once"))
    gathered = gather(store, ["once"], study)
    assert isinstance(gathered, Gathered)
    pd.testing.assert_frame_equal(read_cells(store, gathered), read_cells(store, ["once"], study))
    pd.testing.assert_frame_equal(read_history(store, gathered), read_history(store, ["once"], study))
    assert set(read_pictures(store, gathered)) == {"once"}


def test_a_study_is_described_by_its_latest_invocation(store: Store, study: str, writer: StudyWriter) -> None:
    before = datetime.now(UTC)
    with open_study(store, study, {"epochs": 5}, {"study.toml": "second", "claims.json": "[]"}) as second:
        info = study_info(store, study)
        assert (info.run_id, info.finished, info.status) == (second.parent_id, None, "RUNNING")
    info = study_info(store, study)
    assert info.params == {"epochs": "5"}
    assert info.artifacts == {"study.toml": "second", "claims.json": "[]"}
    assert info.tags["ablate.study"] == info.study == study
    assert info.finished is not None
    assert abs((info.started - before).total_seconds()) < 60
    assert [run.run_id for run in studies(store) if run.study == study] == [second.parent_id, writer.parent_id]
    with pytest.raises(TrackingError, match=rf"was never run in sqlite:.*Did you mean '{study}'\?"):
        study_info(store, study[:-1])


def test_the_ui_needs_a_database() -> None:
    with pytest.raises(TrackingError, match="is a server with a UI of its own: open it in a browser"):
        ui_command(resolve("http://127.0.0.1:5000"))
    command = ui_command(resolve("sqlite:////data/my lab.db"))
    assert "sqlite:////data/my lab.db" in command
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert 0 < int(command[command.index("--port") + 1]) != free_port(0)


def folder_of(store: Store, run_id: str) -> Path:
    """Where a run's files lie."""
    folder = local_folder(store.client.get_run(run_id).info.artifact_uri)
    assert folder is not None
    return folder

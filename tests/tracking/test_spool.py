"""The spool: what is put into it comes out to the last bit, is there once, and is named where it is damaged."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from tests.paths import REPOSITORY
from tests.tracking_samples import cell, failed, local_store
from tracking.artifacts import Content
from tracking.errors import TrackingError
from tracking.reader import read_cells, read_history, read_pictures
from tracking.records import CellRecord, Packed, pack_cell
from tracking.retries import Retries
from tracking.search import completed
from tracking.sender import Left, send_left
from tracking.spool import DamagedEntry, Spool
from tracking.store import resolve
from tracking.writer import open_study

NAN, INF = float("nan"), float("inf")
RECORDS = [
    cell("k1", measures="m", weights=b"\x00\x01" * 999, tags={"note": "ünder"}),
    cell("k2", measures="m", metrics={"rate": 1 / 3, "psnr": INF}, history=[{"epoch": 1, "train_loss": NAN}]),
    failed("k3"),
]


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """A spool beside a store that is not there yet."""
    return Spool.of(resolve("sqlite:///mlflow.db", folder=tmp_path), "my study", tmp_path / "cache")


def contents(packed: Packed) -> dict[str, object]:
    """All of a packed cell, files as bytes."""

    def as_bytes(content: Content) -> bytes:
        if isinstance(content, Path):
            return content.read_bytes()
        return content.encode() if isinstance(content, str) else content

    return {field.name: getattr(packed, field.name) for field in fields(packed)} | {
        "files": {name: as_bytes(content) for name, content in packed.files.items()}
    }


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.key)
def test_a_cell_comes_out_as_it_was_put_in(spool: Spool, record: CellRecord) -> None:
    packed = pack_cell(record)
    entry = spool.load(spool.put(packed, "parent"))
    assert contents(entry.cell) == contents(packed)
    assert (entry.study, entry.parent_id, entry.is_done) == ("my study", "parent", record.status == "done")
    assert not [path for path in spool.folder.rglob("*") if path.suffix in (".pkl", ".pickle")]


def test_a_cell_is_there_once_and_the_keys_of_results_are_known(spool: Spool) -> None:
    for record in (*RECORDS, *RECORDS):
        spool.put(pack_cell(record), "parent")
    spool.put(pack_cell(cell("k1", measures="other")), "parent")  # measured again: another entry
    assert spool.count() == 4
    assert spool.keys().keys() == {"k1", "k2"}
    for place in list(spool.entries()):
        spool.remove(place)
    spool.tidy()
    assert not spool.folder.parent.exists()


def test_names_of_studies_and_keys_may_be_anything(tmp_path: Path) -> None:
    store = resolve("sqlite:///mlflow.db", folder=tmp_path)
    folders = {Spool.of(store, study, tmp_path).folder for study in ("a/b", "a b", "..", "é", "a-b")}
    assert len(folders) == 5
    assert {folder.parent for folder in folders} == {tmp_path / "mlspool"}
    spool = Spool.of(store, "x", tmp_path)
    for key in ("../../etc", "a" * 200, "k.m", "."):
        spool.put(pack_cell(cell(key, measures="m")), "parent")
    assert spool.count() == len(spool.keys()) == 4


def test_a_servers_spool_lies_in_the_cache_and_tells_no_password(tmp_path: Path) -> None:
    one, other = (
        Spool.of(resolve(f"postgresql://ada:s3cret@{host}/lab"), "x", tmp_path / "cache").folder for host in ("a", "b")
    )
    assert one != other
    assert one.is_relative_to(tmp_path / "cache")
    assert "s3cret" not in str(one)


def cut(name: str) -> Callable[[Path], object]:
    return lambda entry: os.truncate(entry / name, 5)


DAMAGE: list[Callable[[Path], object]] = [
    cut("cell.json"),
    cut("files/history.json"),
    lambda entry: (entry / "files" / "pictures.npz").unlink(),
    lambda entry: (entry / "cell.json").write_text("deadbeef\n{}"),
    lambda entry: (entry / "cell.json").write_bytes(b"\xff\xfe"),
    lambda entry: (entry / "cell.json").unlink(),
]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_entry_is_named_and_set_aside_and_counts_as_not_done(
    tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    store = local_store(tmp_path)
    spool = Spool.of(store, "s", tmp_path)
    with open_study(store, "s", {}, {}) as writer:
        places = [spool.put(pack_cell(record), writer.parent_id) for record in RECORDS]
    damage(places[0])
    with pytest.raises(DamagedEntry):
        spool.load(places[0])
    assert spool.keys().keys() == {"k2"}
    left = send_left(store, "s", spool, Retries(5.0))
    assert (left.sent, left.unsent, left.reason) == (2, 0, "")
    (sentence,) = left.aside
    assert sentence.startswith("A finished cell in the spool is damaged (")
    assert str(places[0]) + ".damaged" in sentence
    assert completed(store, ["k1", "k2"]) == {"k2"}
    assert send_left(store, "s", spool, Retries(5.0)) == Left()  # it is not tried again
    assert Path(f"{places[0]}.damaged").exists()


def test_the_entries_of_a_living_process_are_left_to_it(tmp_path: Path) -> None:
    store = local_store(tmp_path)
    spool = Spool.of(store, "s", tmp_path)
    script = (
        "import sys; from pathlib import Path; from tests.tracking_samples import cell; from tracking.records import *;"
        "from tracking.spool import Spool; from tracking.store import resolve\n"
        "spool = Spool.of(resolve('sqlite:///mlflow.db', folder=Path(sys.argv[1])), 's', Path(sys.argv[1]))\n"
        "spool.put(pack_cell(cell('theirs')), 'parent'); print('put', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-W", "ignore", "-c", script, str(tmp_path)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"put\n"
        assert send_left(store, "s", spool, Retries(5.0)) == Left()
        assert spool.keys().keys() == {"theirs"}  # and nobody trains it meanwhile
        other.communicate(b"")
    assert send_left(store, "s", spool, Retries(5.0)).sent == 1
    assert completed(store, ["theirs"]) == {"theirs"}


def test_a_full_disk_is_one_sentence_and_leaves_nothing_half_written(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("tracking.spool.os.fsync", full)
        with pytest.raises(TrackingError, match=r"cannot be written to the spool .*No space left on device"):
            spool.put(pack_cell(RECORDS[0]), "parent")
    assert list(spool.folder.iterdir()) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.tracking_samples import cell, local_store
from tracking import spool as spooling, writer as writing
from tracking.retries import Retries
from tracking.sender import Sender
from tracking.spool import Spool
from tracking.writer import open_study

folder = Path(sys.argv[1])
local_store(folder / "unused")  # so that all is imported before the first fork

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def before_the_rename():
    spooling.os.rename = die

def before_it_is_sent():
    Sender._send = die

def before_its_files_are_placed():
    writing.artifacts.write = die

def before_its_rows_are_written():
    writing.Rows.write = die

def before_it_is_removed():
    Spool.remove = die

def half_removed():
    def rmtree(path, **_):
        if (Path(path) / "cell.json").exists():
            (Path(path) / "cell.json").unlink()
            die()
    spooling.shutil.rmtree = rmtree

for number, moment in enumerate((before_the_rename, before_it_is_sent, before_its_files_are_placed,
                                 before_its_rows_are_written, before_it_is_removed, half_removed)):
    child = os.fork()
    if child == 0:
        store = local_store(folder)
        spool, calls = Spool.of(store, "s", folder), Retries()
        writer = open_study(store, "s", {}, {}, retries=calls)
        sender = Sender(writer, spool, calls)
        sender.put_cell(cell(f"before{number}", seed=number))
        sender.settle()
        while f"before{number}" in spool.keys():
            pass
        moment()
        sender.put_cell(cell(f"cut{number}", seed=number))
        sender.drain(5.0)
        os._exit(0)
    print(moment.__name__, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_kill_between_any_two_steps_loses_no_cell_that_was_in_the_spool_and_writes_none_twice(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", KILLED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300, cwd=REPOSITORY)
    codes = dict(map(str.split, done.stdout.splitlines()))
    assert set(codes.values()) == {str(-signal.SIGKILL)}
    store = local_store(tmp_path)
    spool = Spool.of(store, "s", tmp_path)
    left = send_left(store, "s", spool, Retries(5.0))
    assert left == Left(sent=4)  # not the one that was not whole, nor the one that was sent and being removed
    records = [cell(f"{name}{i}", seed=i) for i in range(len(codes)) for name in ("before", "cut")]
    lost = {"cut0"}  # it was never in the spool: its cell is trained again
    keys = [record.key for record in records if record.key not in lost]
    assert completed(store, [record.key for record in records]) == set(keys)
    cells = read_cells(store, keys)
    assert cells.attrs["notes"] == ()  # no cell has two runs
    pictures, history = read_pictures(store, keys), read_history(store, keys)
    for record in records:
        if record.key in keys:
            assert cells.set_index("key").loc[record.key, list(record.metrics)].to_dict() == record.metrics
            assert np.array_equal(pictures[record.key]["unit_rate"], record.pictures["unit_rate"])
            assert len(history[history["key"] == record.key]) == 2 * len(record.history)
    (experiment,) = store.client.search_experiments(filter_string="name = 's'")
    runs = store.client.search_runs([experiment.experiment_id], "attributes.status = 'RUNNING'")
    assert list(runs) == []
    assert not spool.folder.exists()


def test_the_record_is_plain_json(spool: Spool) -> None:
    place = spool.put(pack_cell(RECORDS[0]), "parent")
    text = (place / "cell.json").read_text().partition("\n")[2]
    assert json.loads(text)["cell"]["key"] == "k1"

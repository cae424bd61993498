"""A run whose tracker goes away: it ends with 4, and sync or the next run sends what is left; nothing trains twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from ablations import driver
from ablations.executors.events import CellResult, Event, Notice
from ablations.executors.local import Local
from ablations.grid import Cell
from tests.ablations.test_driver import Lab, assert_equal
from tests.ablations.test_pipeline import STUDY, Done, ablate
from tests.tracking_samples import local_store
from tests.tracking_servers import Proxy, Server
from tracking import retries
from tracking.sender import Sender
from vae.cache import user_cache


@pytest.fixture
def lab(tmp_path: Path, cache: Path) -> Lab:
    return Lab(local_store(tmp_path / "lab"), cache)


def test_cells_in_the_spool_are_done_and_the_next_run_sends_them_and_writes_the_arms(
    lab: Lab, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Lab(local_store(tmp_path / "plain"), cache)
    plain.run(plain.plan())

    def nothing_is_sent(sender: Sender, patience: float) -> str:
        sender.settle()
        return "no route"

    with monkeypatch.context() as patch:
        patch.setattr(Sender, "_send", lambda *_: None)
        patch.setattr(Sender, "drain", nothing_is_sent)
        outcome = lab.run(lab.plan())
    assert (outcome.done, outcome.gone, outcome.unsent, outcome.exit_code) == (4, "no route", 4, 4)
    assert lab.plan().pending == ()  # they are on disk
    assert driver.sync(lab.store, "small").sent == 4
    outcome = lab.run(lab.plan())
    assert (outcome.done, outcome.idle, outcome.exit_code) == (0, False, 0)  # nothing was trained, but the arms written
    assert_equal(lab.results(lab.plan()), plain.results(plain.plan()))
    (experiment,) = lab.store.client.search_experiments(filter_string="name = 'small'")
    runs = list(lab.store.client.search_runs([experiment.experiment_id]))
    kinds = [run.data.tags["ablate.kind"] for run in runs]
    assert (kinds.count("study"), kinds.count("cell"), kinds.count("arm")) == (2, 4, 2)
    assert {run.info.status for run in runs} <= {"FINISHED", "KILLED"}
    before = len(runs)
    assert lab.run(lab.plan()).idle
    assert len(lab.store.client.search_runs([experiment.experiment_id])) == before  # no empty parent


def test_a_second_ctrl_c_ends_at_once_and_what_is_in_the_spool_stays(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stopped(Local):
        def train(self, cells: Sequence[Cell]) -> Iterator[Event]:
            for event in super().train(cells):
                yield event
                if isinstance(event, CellResult):
                    raise KeyboardInterrupt

    def again(sender: Sender, _: float) -> str:
        sender.settle()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Sender, "_send", lambda *_: None)
        patch.setattr(Sender, "drain", again)
        with pytest.raises(KeyboardInterrupt):
            lab.run(lab.plan(), Stopped)
    assert driver.spool_of(lab.store, "small").count() == 1
    assert len(lab.plan().to_train) == 3
    assert driver.sync(lab.store, "small").sent == 1


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    one = Server(tmp_path_factory.mktemp("server"))
    one.start()
    yield one
    one.stop()


@pytest.mark.usefixtures("blank_figures")
def test_a_server_that_goes_away_for_good_ends_the_run_with_4_and_sync_sends_the_rest(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "small.toml").write_text(STUDY.replace('["claims.toml"]', "[]"))
    monkeypatch.setattr(retries, "LONGEST_WAIT", 0.2)
    monkeypatch.setenv(retries.PATIENCE_VARIABLE, "0.5")
    proxy = Proxy(server.port)

    def at(*arguments: str) -> Done:
        return ablate(tmp_path, *arguments, "--tracking-uri", proxy.address)

    try:
        proxy.left = 45  # the run is opened, and some cells are sent
        done = at("run", "small.toml")
        assert done.returncode == 4, done.stdout + done.stderr
        assert "The tracker is gone (" in done.stdout
        assert f"in {user_cache() / 'spool'}" in done.stdout
        sync = f"ablate sync small.toml --tracking-uri {proxy.address}"
        assert f"and {sync}, or the next ablate run, sends them." in done.stdout
        assert "Traceback" not in done.stdout + done.stderr
        away = at("sync", "small.toml")
        assert away.returncode == 2
        assert "does not answer" in away.stderr
        proxy.left, proxy.faults = None, 0.1
        sent = at("sync", "small.toml")
        assert sent.returncode == 0, sent.stdout + sent.stderr
        assert "of an earlier run sent to the tracker." in sent.stdout
        assert "No cell of small waits for http" in at("sync", "small.toml").stdout
        proxy.faults = 0.0
        plan = at("plan", "small.toml", "--no-probe")
        assert "4 cells, 4 done, 0 to train" in plan.stdout
        again = at("run", "small.toml")
        assert again.returncode == 0, again.stdout + again.stderr
        assert "nothing was trained" in again.stdout
        page = (tmp_path / "out/small/report.html").stat().st_mtime_ns
        unchanged = at("run", "small.toml")
        assert "Nothing has changed; the report is at" in unchanged.stdout
        assert (tmp_path / "out/small/report.html").stat().st_mtime_ns == page
    finally:
        proxy.close()


def test_who_listens_is_told_once_that_the_tracker_is_away_and_once_that_it_is_back(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    troubles = iter(["", "no route", "no route", "", ""])
    monkeypatch.setattr(Sender, "trouble", property(lambda _: next(troubles, "")))
    lab.run(lab.plan())
    away, back = (event.text for event in lab.seen(Notice))
    assert away == "the tracker does not answer (no route): the run goes on, and its cells wait on disk"
    assert back == "the tracker answers again"

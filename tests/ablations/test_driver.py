"""The driver on a real store: kept weights are measured again to the last bit, and any executor gives one result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import sleep
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch

from ablations import driver, grid
from ablations import plan as planning
from ablations.driver import Outcome
from ablations.executors.events import CellResult, EpochDone, Event, Executor, KeptWeights, Measuring, Preparing
from ablations.executors.local import Local
from ablations.grid import Cell
from ablations.plan import Plan
from ablations.records import planned, read_results
from ablations.setup import Setup
from ablations.study import checked
from ablations.views import outcome_lines
from reports.claims.references import References
from tests.study_samples import TABLE
from tests.tracking_samples import local_store
from tracking import schema
from tracking.reader import read_history, read_per_image, read_pictures, study_info
from tracking.schema import WEIGHTS
from tracking.spool import Spool
from tracking.store import Store, local_folder
from tracking.weights import kept
from vae.metrics import catalogue

CPU = torch.device("cpu")
BEST = {"storage": {"weights": "best"}}
OTHER = {"evaluation": TABLE["evaluation"] | {"iwae_images": 5, "iwae_samples": 4, "generated": 20}}


class Results(NamedTuple):
    """All that is read of a plan's cells but their times."""

    cells: pd.DataFrame
    history: pd.DataFrame


def assert_equal(results: Results, expected: Results, *, alone: bool = False) -> None:
    """Equal to the last bit; alone: to rounding, where arms of one of them trained alone."""
    rtol, unlike = (1e-4, ["pictures"]) if alone else (0, [])
    for pair in zip(results, expected):
        frame, other = (table.drop(columns=unlike, errors="ignore") for table in pair)
        pd.testing.assert_frame_equal(frame, other, rtol=rtol, atol=0)


@dataclass
class Lab:
    """One store, in which studies are run."""

    store: Store
    cache: Path
    events: list[Event] = field(default_factory=list)

    def plan(self, **changes: Any) -> Plan:
        return driver.with_stored(planning.prepare(checked(TABLE | changes, "small")), self.store)

    def run(self, plan: Plan, executor: Callable[[Setup], Executor] = Local, *, train: bool = True) -> Outcome:
        self.events.clear()
        setup = Setup.of(plan.study, plan.images, CPU, cache=self.cache)
        return driver.execute(plan, executor(setup), self.store, self.events.append, device=CPU, train=train)

    def seen(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def results(self, plan: Plan) -> Results:
        cells, frame = read_results(self.store, pd.DataFrame(planned(plan)), plan.study.name)
        history = read_history(self.store, cells).query("metric != 'seconds'")
        pictures = read_pictures(self.store, cells)
        frame["pictures"] = [contents(pictures.get(key, {})) for key in frame["key"]]
        return Results(
            frame.drop(columns="seconds").set_index("key").sort_index(),
            history.set_index(["key", "epoch", "metric"]).sort_index(),
        )

    def weights(self, plan: Plan) -> dict[Cell, Path]:
        """The files of the weights that are kept."""
        return {cell: Path(held.address.removeprefix("file://")) / WEIGHTS for cell, held in plan.kept.items()}


def contents(pictures: Any) -> bytes:
    return b"".join(name.encode() + np.ascontiguousarray(array).tobytes() for name, array in sorted(pictures.items()))


@pytest.fixture
def lab(tmp_path: Path, cache: Path) -> Lab:
    return Lab(local_store(tmp_path / "lab"), cache)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Results:
    """The results under the other evaluation settings, trained and measured in a store of their own."""
    lab = Lab(local_store(tmp_path_factory.mktemp("fresh")), cache)
    plan = lab.plan(**OTHER)
    lab.run(plan)
    return lab.results(plan)


def commands(verb: str) -> str:
    """What is suggested next."""
    return f"ablate {verb} small.toml"


def test_what_is_done_is_not_done_again(lab: Lab) -> None:
    plan = lab.plan()
    assert lab.run(plan).done == len(plan.to_train) == 4
    again = lab.plan()
    assert (again.pending, again.kept) == ((), {})
    assert lab.run(again).done == 0
    assert lab.events == []


def test_references_are_written_with_every_run_and_values_by_image_with_every_cell(lab: Lab) -> None:
    given = references(ssim=(0.2, 1.0))
    for _ in range(2):  # the second has nothing to do
        setup = Setup.of(lab.plan().study, lab.plan().images, CPU, cache=lab.cache)
        driver.execute(lab.plan(), Local(setup), lab.store, lab.events.append, device=CPU, references=lambda: given)
        info = study_info(lab.store, "small", (schema.REFERENCES,))
        assert References.from_json(info.artifacts[schema.REFERENCES]) == given
    plan = lab.plan()
    kept = read_per_image(lab.store, plan.keys.values(), ["ssim", "kid"])
    assert kept.keys() == set(plan.keys.values())
    frame = lab.results(plan).cells
    for key, values in kept.items():
        assert (values["ssim"].shape, values["ssim.images"], values["kid"].shape) == ((40,), 90, (2,))
        assert values["kid"].mean() == pytest.approx(frame.loc[key, "kid"], rel=1e-6)
    points = read_history(lab.store, plan.keys.values())
    assert set(points[points["metric"] == "point/ssim"]["epoch"]) == {1, 2}


@pytest.mark.parametrize(("ssim", "marked"), [((-1.0, 0.9), False), ((0.9, 1.0), True)])
def test_the_run_of_an_arm_at_the_floor_says_so(lab: Lab, ssim: tuple[float, float], marked: bool) -> None:
    plan = lab.plan()
    setup = Setup.of(plan.study, plan.images, CPU, cache=lab.cache)
    given = references(ssim=ssim)
    driver.execute(plan, Local(setup), lab.store, lab.events.append, device=CPU, references=lambda: given)
    (experiment,) = lab.store.client.search_experiments(filter_string="name = 'small'")
    runs = lab.store.client.search_runs([experiment.experiment_id], f"tags.`{schema.TAG_KIND}` = 'arm'")
    assert len(runs) == 2
    for run in runs:
        assert run.data.tags.get(schema.TAG_AT_FLOOR, "no") == ("yes" if marked else "no")
        assert run.data.tags.get(schema.TAG_NOTE, "").startswith("At the floor" if marked else "")


def references(ssim: tuple[float, float]) -> References:
    """Of made-up images: floor and ceiling of SSIM alone."""
    sizes = {"test_images": 90, "classes": 10, "pixels": 64, "levels": 17, "light_ground": False}
    floor, ceiling = ({"ssim": value} for value in ssim)
    return References(
        floor=floor, floor_with_labels={}, ceiling=ceiling, ppca={"eigenvalues": [1.0]}, histogram={}, **sizes
    )


def test_a_new_version_of_a_metric_is_measured_from_kept_weights(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.run(lab.plan())
    before = lab.results(lab.plan())
    monkeypatch.setattr(grid, "versions", lambda: catalogue.versions() | {"ssim": 99})
    plan = lab.plan()
    assert (len(plan.to_measure), plan.to_train) == (4, ())
    lab.run(plan)
    assert lab.seen(EpochDone) == []
    assert_equal(lab.results(plan), before)  # no formula has changed here


def test_more_seeds_are_trained_beside_what_is_measured_again(lab: Lab) -> None:
    lab.run(lab.plan())
    plan = lab.plan(**OTHER, seeds="0-2")
    assert (len(plan.to_measure), [cell.seed for cell in plan.to_train]) == (4, [2, 2])
    outcome = lab.run(plan)
    assert (outcome.done, outcome.remeasured) == (6, 4)
    assert outcome_lines(outcome, plan, commands)[0].startswith(
        "2 cells trained and measured, 4 cells measured from kept weights in "
    )
    assert {event.seed for event in lab.seen(EpochDone)} == {2}
    assert lab.plan(**OTHER, seeds="0-2").pending == ()


def test_measuring_trains_nothing_and_says_how_many_cells_lack_weights(lab: Lab) -> None:
    lab.run(lab.plan())
    plan = lab.plan(**OTHER, seeds="0-2")
    outcome = lab.run(plan, train=False)
    assert (outcome.done, outcome.failed, lab.seen(EpochDone)) == (4, 0, [])
    lines = outcome_lines(outcome, plan, commands, train=False)
    assert lines[0].startswith("4 cells measured from kept weights, none trained, in ")
    assert lines[1] == "2 cells without kept weights: ablate run small.toml trains them."
    assert len(lab.plan(**OTHER, seeds="0-2").to_train) == 2


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(path.read_bytes()[:-4]), Path.unlink])
def test_a_cell_whose_weights_cannot_be_read_is_trained(
    lab: Lab, fresh: Results, damage: Callable[[Path], object]
) -> None:
    lab.run(lab.plan())
    whole = lab.plan(**OTHER)
    cell, path = next(iter(lab.weights(whole).items()))
    damage(path)
    plan = lab.plan(**OTHER)
    assert (plan.to_train, len(plan.to_measure)) == ((cell,), 3)
    outcome = lab.run(plan)
    assert (outcome.done, outcome.failed) == (4, 0)
    assert_equal(lab.results(plan), fresh, alone=True)
    assert lab.plan(**OTHER).pending == ()


def test_weights_of_the_best_seed_only(lab: Lab) -> None:
    lab.run(lab.plan(**BEST))
    assert held_seeds(lab, **BEST) == best_seeds(lab, **BEST)
    plan = lab.plan(**BEST, **OTHER)
    assert Counter(cell.arm_label for cell in plan.to_train) == {"bce-sum-b1": 1, "mae-sum-b1": 1}
    assert lab.run(plan).done == 4
    assert lab.plan(**BEST, **OTHER).pending == ()


def held_seeds(lab: Lab, **changes: Any) -> set[tuple[str, int]]:
    """(arm, seed) of the cells whose weights the store holds; every file of weights is one of theirs."""
    plan, folder = lab.plan(**changes), local_folder(str(lab.store.artifacts))
    held = kept(lab.store, plan.keys.values(), "small")
    assert folder is not None
    assert len(held) == len(list(folder.rglob(WEIGHTS)))
    return {(cell.arm_label, cell.seed) for cell, key in plan.keys.items() if key in held}


def best_seeds(lab: Lab, **changes: Any) -> set[tuple[str, int]]:
    """(arm, seed) of the lowest −ELBO."""
    frame = lab.results(lab.plan(**changes)).cells
    lowest = frame.loc[frame.groupby("arm")["neg_elbo"].idxmin(), ["arm", "seed"]]
    return set(map(tuple, lowest.itertuples(index=False)))


@pytest.mark.parametrize("order", [("0-1", "2-3"), ("2-3", "0-1"), ("0", "0-3"), ("3", "0-3")])
def test_the_best_seed_is_the_best_of_all_runs_of_the_study(lab: Lab, order: tuple[str, str]) -> None:
    """In either order, so that of each arm the best seed is once in the first run and once in the second."""
    for seeds in order:
        lab.run(lab.plan(**BEST, seeds=seeds))
    assert held_seeds(lab, **BEST, seeds="0-3") == best_seeds(lab, **BEST, seeds="0-3")


def test_a_run_that_is_stopped_has_kept_the_best_of_what_it_finished(lab: Lab) -> None:
    class Stopped(Local):
        def train(self, cells: Sequence[Cell]) -> Iterator[Event]:
            results = 0
            for event in super().train(cells):
                yield event
                results += isinstance(event, CellResult)
                if results == 3:
                    raise KeyboardInterrupt

    assert lab.run(lab.plan(**BEST), Stopped).interrupted
    assert len(held_seeds(lab, **BEST)) == 2
    lab.run(lab.plan(**BEST))
    assert held_seeds(lab, **BEST) == best_seeds(lab, **BEST)


def test_weights_that_were_kept_of_all_cells_are_not_deleted(lab: Lab) -> None:
    lab.run(lab.plan())
    lab.run(lab.plan(**BEST, seeds="0-3"))
    all_kept = {(cell.arm_label, cell.seed) for cell in lab.plan().cells}
    assert held_seeds(lab, **BEST, seeds="0-3") == all_kept | best_seeds(lab, **BEST, seeds="0-3")


def test_the_best_seed_is_trained_and_kept_again_where_its_file_is_damaged(lab: Lab) -> None:
    lab.run(lab.plan(**BEST))
    for path in lab.weights(lab.plan(**BEST, **OTHER)).values():
        path.write_bytes(b"")
    plan = lab.plan(**BEST, **OTHER)
    assert len(plan.to_train) == 4
    lab.run(plan)
    assert held_seeds(lab, **BEST) == best_seeds(lab, **BEST)
    assert lab.plan(**BEST, evaluation=OTHER["evaluation"] | {"generated": 21}).to_measure


def test_no_weights_at_all(lab: Lab) -> None:
    none = {"storage": {"weights": "none"}}
    lab.run(lab.plan(**none))
    plan = lab.plan(**none, **OTHER)
    assert (plan.to_measure, len(plan.to_train)) == ((), 4)
    assert kept(lab.store, plan.wanted, "small") == {}


def test_what_was_finished_before_an_interrupt_is_kept(lab: Lab) -> None:
    plan, results = lab.plan(), []

    def stop(event: Event) -> None:
        results.extend([event] if isinstance(event, CellResult) else [])
        if len(results) == 3:
            raise KeyboardInterrupt

    setup = Setup.of(plan.study, plan.images, CPU, cache=lab.cache)
    outcome = driver.execute(plan, Local(setup), lab.store, stop, device=CPU)
    assert (outcome.interrupted, outcome.exit_code, outcome.done) == (True, 130, 3)
    assert lab.plan().to_train == (plan.cells[3],)


class OneByOne:
    """Another executor: every cell in a stack of its own, the last one first."""

    def __init__(self, setup: Setup) -> None:
        self._local = Local(setup)

    def prepare(self) -> None:
        self._local.prepare()

    def train(self, cells: Sequence[Cell]) -> Iterator[Event]:
        for cell in reversed(cells):
            yield from self._local.train([cell])

    def measure(self, kept: Iterable[KeptWeights]) -> Iterator[Event]:
        for weights in reversed(list(kept)):
            yield from self._local.measure([weights])


MIXED = {
    "seeds": "0",
    "grid": {"loss": ["bce", "tests.own_losses:impatient", "mae"], "model.latents": [3, 2]},
}


@pytest.fixture(scope="module")
def local_results(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Results:
    lab = Lab(local_store(tmp_path_factory.mktemp("local")), cache)
    plan = lab.plan(**MIXED)
    lab.run(plan)
    return lab.results(plan)


EXECUTORS = (Local, OneByOne)  # another one is held to its promises by taking its place here


@pytest.mark.parametrize("executor", EXECUTORS)
def test_an_executor_gives_every_cell_one_result_and_never_raises(
    lab: Lab, local_results: Results, executor: Callable[[Setup], Executor]
) -> None:
    plan = lab.plan(**MIXED)
    outcome = lab.run(plan, executor)
    assert (outcome.done, outcome.failed, outcome.exit_code) == (4, 2, 3)
    assert lab.events[:2] == [Preparing(), Preparing(done=True)]
    results = {event.cell: event for event in lab.seen(CellResult)}
    assert len(results) == len(lab.seen(CellResult))
    assert set(results) == set(plan.cells)
    for cell, result in results.items():
        epochs = [event.epoch for event in lab.seen(EpochDone) if cell in event.cells]
        if result.failed:
            assert result.failure == "RuntimeError: not today"
            assert (result.metrics, result.state, epochs) == ({}, {}, [])
        else:
            assert epochs == [1, 2]
            assert [row["epoch"] for row in result.trained.history] == [1, 2]
            assert Measuring(cell) in lab.events
            assert set(result.trained.hashes) == {"init_hash", "order_hash", "noise_hash"}
    assert_equal(lab.results(plan), local_results, alone=executor is OneByOne)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_other_evaluation_settings_are_measured_from_kept_weights_to_the_last_bit(
    lab: Lab, executor: Callable[[Setup], Executor], fresh: Results
) -> None:
    lab.run(lab.plan(), executor)
    before = lab.results(lab.plan())
    other = lab.plan(**OTHER)
    assert (len(other.to_measure), other.to_train) == (4, ())
    outcome = lab.run(other, executor)
    assert (outcome.done, outcome.failed, outcome.seconds["training"]) == (4, 0, 0.0)
    assert lab.seen(EpochDone) == []
    assert_equal(lab.results(other), fresh, alone=executor is OneByOne)
    assert lab.plan(**OTHER).pending == ()
    assert lab.plan().pending == ()  # the first results are still there
    assert_equal(lab.results(lab.plan()), before)


def test_weights_that_cannot_be_measured_are_a_failure_with_its_reason(lab: Lab) -> None:
    plan = lab.plan()
    setup = Setup.of(plan.study, plan.images, CPU, cache=lab.cache)

    def lost() -> dict[str, torch.Tensor]:
        raise OSError("the disk is gone")

    cell = plan.cells[0]
    events = list(Local(setup).measure([KeptWeights(cell, lost, CellResult(cell).trained)]))
    assert isinstance(events[-1], CellResult)
    assert events[-1].failure == "OSError: the disk is gone"


def test_weights_of_another_model_are_a_failure_and_never_measured_in_part(lab: Lab) -> None:
    plan = lab.plan()
    setup = Setup.of(plan.study, plan.images, CPU, cache=lab.cache)
    cell = plan.cells[0]
    state = dict(setup.model(cell.arm).state_dict())
    state.pop("mean.bias")
    events = list(Local(setup).measure([KeptWeights(cell, lambda: state, CellResult(cell).trained)]))
    assert isinstance(events[-1], CellResult)
    assert "the weights kept are" in events[-1].failure
    assert events[-1].metrics == {}


def test_the_cells_of_a_stack_are_on_disk_before_its_checkpoint_goes(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the disk: a kill at that moment must find either the checkpoint or the cells."""
    on_disk: list[str] = []
    expected: list[Cell] = []
    stacks: list[int] = []
    put = Spool.put

    def slowly(spool: Spool, *arguments: Any) -> Any:
        sleep(0.05)
        place = put(spool, *arguments)
        on_disk.append(str(place))
        return place

    class Watched(Local):
        def train(self, cells: Sequence[Cell]) -> Iterator[Event]:
            for event in super().train(cells):
                yield event
                if isinstance(event, CellResult):
                    expected.append(event.cell)
                if isinstance(event, CellResult) and event.last:
                    stacks.append(len(expected))
                    assert len(on_disk) == len(expected)

    monkeypatch.setattr(Spool, "put", slowly)
    plan = lab.plan(seeds=[0, 1])
    lab.run(plan, Watched)
    assert len(stacks) == 2
    assert stacks[-1] == len(plan.pending)

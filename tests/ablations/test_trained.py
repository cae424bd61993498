"""A trained arm out of the store: the very weights that were measured, and a sentence where there are none."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch

import ablations
from ablations import driver
from ablations import plan as planning
from ablations.executors.local import Local
from ablations.plan import Plan
from ablations.records import planned, read_results, state_of
from ablations.setup import Setup
from ablations.study import checked
from tests.study_samples import TABLE, digits
from tests.tracking_samples import local_store
from tracking.errors import TrackingError
from tracking.store import Store
from tracking.weights import kept, read_weights
from vae.errors import UserError
from vae.losses import LOSSES

CPU = torch.device("cpu")
PLAIN = {"grid": {"loss": ["continuous-bernoulli", "mae"]}}
CONDITIONAL = {"name": "labelled", "seeds": [0], "grid": {"model.conditional": [True]}}


def run(store: Store, cache: Path, changes: dict[str, object]) -> Plan:
    plan = driver.with_stored(planning.prepare(checked(TABLE | changes, "small")), store)
    setup = Setup.of(plan.study, plan.images, CPU, cache=cache)
    driver.execute(plan, Local(setup), store, lambda event: None, device=CPU)
    return plan


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> tuple[Store, Plan]:
    store = local_store(tmp_path_factory.mktemp("trained"))
    run(store, cache, CONDITIONAL)
    run(store, cache, {"name": "weightless", "seeds": [5], "storage": {"weights": "none"}})
    return store, run(store, cache, PLAIN)


@pytest.mark.parametrize("seed", [0, 1])
def test_an_arm_has_the_weights_that_were_kept_and_the_image_of_its_loss(
    trained: tuple[Store, Plan], seed: int
) -> None:
    store, plan = trained
    model = ablations.load_arm("small", "continuous-bernoulli-sum-b1", seed=seed, tracking_uri=store.uri)
    cell = next(cell for cell in plan.cells if cell.label.startswith("continuous") and cell.seed == seed)
    state = state_of(read_weights(store, kept(store, [plan.keys[cell]])[plan.keys[cell]]))
    assert state.keys() == dict(model.model.named_parameters()).keys()
    assert all(torch.equal(value, model.model.state_dict()[name]) for name, value in state.items())
    x = digits().test[:5]
    logits = model.model.decode(model.model.encode(x)[0])
    assert torch.equal(model.reconstruct(x), LOSSES["continuous-bernoulli"].mean(logits))
    assert model.sample(3).shape == (3, 8, 8)


def test_without_a_seed_it_is_the_one_with_the_lowest_bound(trained: tuple[Store, Plan]) -> None:
    store, plan = trained
    _, frame = read_results(store, pd.DataFrame(planned(plan)), "small")
    values = frame[frame["arm"] == "mae-sum-b1"].set_index("seed")["neg_elbo"]
    models = {seed: ablations.load_arm("small", "mae-sum-b1", seed=seed, tracking_uri=store.uri) for seed in (0, 1)}
    best = ablations.load_arm("small", "mae-sum-b1", tracking_uri=store.uri)
    x = digits().test[:5]
    assert torch.equal(best(x), models[int(values.idxmin())](x))
    assert not torch.equal(best(x), models[int(values.idxmax())](x))


def test_a_conditional_arm_takes_labels(trained: tuple[Store, Plan]) -> None:
    store, _ = trained
    model = ablations.load_arm("labelled", "bce-sum-b1", tracking_uri=store.uri)
    images = digits()
    assert images.test_labels is not None
    assert model.reconstruct(images.test[:4], images.test_labels[:4]).shape == (4, 8, 8)
    assert model.sample(12).shape == (12, 8, 8)


def test_what_the_store_does_not_hold_is_refused_by_name(trained: tuple[Store, Plan]) -> None:
    store, _ = trained
    with pytest.raises(TrackingError, match=r"study='smal' was never run .* Did you mean 'small'\?"):
        ablations.load_arm("smal", "mae-sum-b1", tracking_uri=store.uri)
    with pytest.raises(UserError, match=r"arm='mae-sum-b2' is not one of \[.*\]\. Did you mean 'mae-sum-b1'\?"):
        ablations.load_arm("small", "mae-sum-b2", tracking_uri=store.uri)
    with pytest.raises(UserError, match=r"seed=7 is not one of \[0, 1\]"):
        ablations.load_arm("small", "mae-sum-b1", seed=7, tracking_uri=store.uri)
    with pytest.raises(UserError, match=r"study 'weightless' holds no weights of it; \[storage\] weights"):
        ablations.load_arm("weightless", "mae-sum-b1", tracking_uri=store.uri)

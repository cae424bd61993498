"""A trained network kept with its run, as MLflow 3 keeps models: with a signature, loadable by run id.

Afterwards, with MLflow's tracking address set, ``mlflow.pytorch.load_model(f"runs:/{run_id}/model")`` returns it. The
network is pickled by reference to its class, so that its methods survive; load only what you trust, with this package
installed. (The alternative, an exported graph, keeps nothing but `forward`.)
"""

from __future__ import annotations

import inspect
import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracking.errors import explained
from tracking.retries import Retries, once
from tracking.schema import MODEL
from tracking.store import Store

if TYPE_CHECKING:
    import torch
    from mlflow.entities import LoggedModel


def log_torch_model(
    store: Store,
    run_id: str,
    module: torch.nn.Module,
    example: torch.Tensor,
    calls: Retries | None = None,
    *,
    experiment_id: str | None = None,
) -> str:
    """Keeps a network with a run. Returns the id of the logged model (``models:/<id>``).

    module: in evaluation mode, on the CPU. example: a batch that it takes, (B, ...); its shape without B, and that of
    the first tensor that comes out, become the signature. calls: how long each is tried; once if None.
    experiment_id: of the run, where it is known. Raises TrackingError if it cannot be stored.
    """
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus
    from mlflow.models import Model

    client, persist = store.client, (calls or once()).call
    with explained(f"the model of run {run_id} cannot be stored"), tempfile.TemporaryDirectory() as scratch:
        experiment = experiment_id or persist(lambda: client.get_run(run_id)).info.experiment_id

        def make() -> LoggedModel:
            return client.create_logged_model(experiment, name=MODEL, source_run_id=run_id)

        def find_or_make() -> LoggedModel:
            made = client.search_logged_models([experiment], f"source_run_id = '{run_id}'")
            return made[0] if made else make()

        logged = persist(make, find_or_make)
        description = Model(
            artifact_path=logged.artifact_location, model_uuid=logged.model_id, model_id=logged.model_id, run_id=run_id
        )
        folder = Path(scratch, MODEL)
        _save(module, example, folder, description)
        persist(lambda: client.log_model_artifacts(logged.model_id, str(folder)))
        persist(lambda: client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY))
        persist(lambda: client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)]))
    return str(logged.model_id)


def _save(module: torch.nn.Module, example: torch.Tensor, folder: Path, description: Any) -> None:
    import torch

    with torch.no_grad():
        output = module(example)
    first = output if isinstance(output, torch.Tensor) else next(iter(output))
    with _without_warnings():
        import mlflow.pytorch
        from mlflow.models import infer_signature

        options: dict[str, Any] = {}
        if "serialization_format" in inspect.signature(mlflow.pytorch.save_model).parameters:
            options["serialization_format"] = "pickle"
        mlflow.pytorch.save_model(
            module,
            str(folder),
            mlflow_model=description,
            signature=infer_signature(example.cpu().numpy(), first.cpu().numpy()),
            pip_requirements=[f"torch=={torch.__version__.partition('+')[0]}"],  # inferring them takes a minute
            **options,
        )


@contextmanager
def _without_warnings() -> Iterator[None]:
    """No warnings by MLflow of its own type hints, at import, and of its own pickle format, at each save."""
    logger = logging.getLogger("mlflow.pytorch")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)

"""One experiment per study, named after it and marked as ours."""

from __future__ import annotations

import re

from tracking.errors import TrackingError
from tracking.schema import KIND_STUDY, TAG_KIND
from tracking.store import Store

# The second makes MLflow's UI open on the runs of models; without it, on a page about language models.
_TAGS = {TAG_KIND: KIND_STUDY, "mlflow.experimentKind": "custom_model_development"}


def experiment_for(store: Store, study: str) -> str:
    """The id of the experiment named after a study, made if need be."""
    experiment = store.client.get_experiment_by_name(study)
    if experiment is None:
        return _new_experiment(store, study)
    if experiment.lifecycle_stage != "active":
        raise TrackingError(
            f"study {study!r}: its experiment was deleted in MLflow. Bring it back with "
            f"`mlflow experiments restore -x {experiment.experiment_id}`, or give the study another name."
        )
    for tag, value in _TAGS.items():
        if experiment.tags.get(tag) != value:
            store.client.set_experiment_tag(experiment.experiment_id, tag, value)
    return str(experiment.experiment_id)


def _new_experiment(store: Store, study: str) -> str:
    from mlflow.exceptions import MlflowException

    folder = None if store.artifacts is None else f"{store.artifacts}/{re.sub(r'[^A-Za-z0-9_.-]+', '-', study)}"
    try:
        return str(store.client.create_experiment(study, artifact_location=folder, tags=_TAGS))
    except MlflowException:
        experiment = store.client.get_experiment_by_name(study)  # another process may have been first
        if experiment is None:
            raise
        return str(experiment.experiment_id)

"""From the store to a report: read what was run, judge its claims, build the page, keep it with the run.

A study is reported as it was last run: its file, its claims and its list of cells are artifacts of that run.
"""

from __future__ import annotations

import json
import os
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from ablations import registration
from ablations.evaluation import LOGISTIC_IMAGES
from ablations.records import PLAN_FILE, read_results
from ablations.study import Study, checked
from reports.claims.load import claims_from_json, claims_hash, load_claims
from reports.claims.model import Claim
from reports.judging.judge import headlines, judge
from reports.judging.verdict import Verdict
from reports.page import files
from reports.page.build import build
from reports.page.compare import write_comparison
from reports.page.evidence import Environment, Evidence
from tracking import reader, schema
from tracking.errors import explained
from tracking.reader import StudyInfo
from tracking.search import Gathered
from tracking.store import Store
from vae.errors import UserError
from vae.factors import factors
from vae.metrics.catalogue import CATALOGUE

FILES = (schema.STUDY_FILE, schema.CLAIMS_FILE, schema.ENVIRONMENT, PLAN_FILE)


@dataclass(frozen=True)
class Written:
    """A report on disk. verdicts: one for each claim, the one that speaks for all its places."""

    page: Path
    verdicts: tuple[Verdict, ...] = ()


def check_writable(folder: Path) -> None:
    """Refuse a report folder that could not be written, before anything is trained for it."""
    there = folder
    try:
        while not there.exists():
            there = there.parent
    except OSError as error:
        raise UserError(f"--out {str(folder)!r} cannot be a folder: {error.strerror}") from None
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise UserError(f"--out {str(folder)!r}: {there} is not a folder that can be written to")


def write(store: Store, study: str, folder: Path, *, claim_files: Sequence[str] = ()) -> Written:
    """Read, judge, build, and keep the report with the study's latest run.

    claim_files: judge these in place of the claims the study was run with; the report says so.
    """
    info = reader.study_info(store, study, FILES)
    evidence = gather_evidence(store, info, claim_files)
    with tempfile.TemporaryDirectory() as made:  # what else lies in the folder is not the report's
        name = build(evidence, made).html.name
        files.copy(Path(made), folder)
        with explained(f"the report lies in {folder}, but cannot be kept with run {info.run_id}"):
            store.client.log_artifacts(info.run_id, made, schema.REPORT)
    registration.remember(store, info, _seeds(evidence.planned), evidence.claims_hash)
    return Written(folder / name, tuple(headlines(evidence.verdicts)))


def gather_evidence(store: Store, info: StudyInfo, claim_files: Sequence[str] = ()) -> Evidence:
    """Everything a report of this run shows, its verdicts included."""
    study = checked(tomllib.loads(_artifact(info, schema.STUDY_FILE)), f"{info.study} as it was run", recorded=True)
    planned = pd.DataFrame(json.loads(_artifact(info, PLAN_FILE)))
    cells, frame = read_results(store, planned, info.study)
    if frame.empty:
        raise UserError(
            f"study={info.study!r}: none of the {len(planned)} cells of its latest run has a result yet; "
            f"ablate run {info.study} goes on with them"
        )
    if claim_files:
        claims = load_claims(*claim_files, metrics=CATALOGUE)
    else:
        claims = claims_from_json(json.loads(_artifact(info, schema.CLAIMS_FILE))["claims"])
    verdicts = judge(claims, frame, base=study.base, planned=planned, catalogue=CATALOGUE)
    return Evidence(
        study=info.study,
        title=study.title,
        description=study.description,
        frame=frame,
        base=study.base,
        history=reader.read_history(store, cells),
        pictures=reader.read_pictures(store, cells),
        verdicts=tuple(verdicts),
        environment=_environment(info, study),
        planned=planned,
        notes=(*_registration_notes(store, info, claims, planned, cells), *frame.attrs.get("notes", ())),
        study_file=_artifact(info, schema.STUDY_FILE),
        claims_hash=claims_hash(claims),
        classes=int(info.params.get("classes", 0)),
    )


def _artifact(info: StudyInfo, name: str) -> str:
    if name not in info.artifacts:
        raise UserError(
            f"study={info.study!r}: its latest run ({info.run_id}) has lost its file {name}; "
            f"ablate run {info.study} writes it again and trains nothing that is done"
        )
    return info.artifacts[name]


def _seeds(planned: pd.DataFrame) -> set[int]:
    return set(map(int, planned["seed"]))


def _environment(info: StudyInfo, study: Study) -> Environment:
    facts = json.loads(_artifact(info, schema.ENVIRONMENT))
    base, training = study.base, study.base.training
    settings = {
        "model": f"{base['model.family']}, {factors()['model.latents'].phrase(base['model.latents'])}",
        "epochs": str(training.epochs),
        "batch size": f"{training.batch_size}, last partial batch: {training.last_batch}",
        "optimiser": f"Adam, learning rate {training.learning_rate:g}",
        "precision": training.precision,
        "measured on": _subsets(study),
        "SSIM window": info.params.get("ssim_window", ""),
    }
    return Environment(
        dataset=info.params.get("dataset", study.dataset),
        data_digest=info.params.get("data_digest", ""),
        commit=facts.get("commit", ""),
        device=facts.get("device", ""),
        python=facts.get("python", ""),
        started=info.started.isoformat(timespec="seconds"),
        wall_seconds=None if info.finished is None else (info.finished - info.started).total_seconds(),
        versions=facts.get("versions", {}),
        settings=settings,
    )


def _subsets(study: Study) -> str:
    """How much each expensive metric saw; everything else sees the whole test set."""
    seen = study.evaluation
    return (
        f"the whole test set, but bits per dim on its first {LOGISTIC_IMAGES:,} images, blur effect on its first "
        f"{seen.blur_images:,}, IWAE on its first {seen.iwae_images:,} with {seen.iwae_samples:,} draws each, and "
        f"samples on {seen.generated:,} draws from the prior, against as many test images drawn once at random"
    )


def _registration_notes(
    store: Store, info: StudyInfo, claims: Sequence[Claim], planned: pd.DataFrame, cells: Gathered
) -> list[str]:
    """What a reader must know of the order in which claims, cells and reports came about."""
    runs = reader.studies(store)
    trained = [datetime.fromtimestamp(run.info.start_time / 1000, UTC) for run in cells.runs.values()]
    return registration.notes(
        fixed=registration.fixed_at(runs, claims_hash(claims)),
        trained=trained if claims else [],
        looks=[look for run in runs if run.study == info.study for look in registration.looks_of(run)],
        seeds=_seeds(planned),
    )


def compare(store: Store, first: str, second: str, folder: Path) -> Written:
    """Two studies arm by arm, their differences paired by seed: a page of its own."""
    both = [reader.study_info(store, name, FILES) for name in (first, second)]
    one, other = (gather_evidence(store, info) for info in both)
    page = write_comparison(one, other, folder)
    for info, evidence in zip(both, (one, other)):  # whoever compares has seen the verdicts of both
        registration.remember(store, info, _seeds(evidence.planned), evidence.claims_hash)
    return Written(page)

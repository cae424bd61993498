"""From the store to a report: read what was run, judge its claims, build the page, keep it with the run.

A study is reported as it was last run: its file, its claims and its list of cells are artifacts of that run.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import tempfile
import tomllib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from ablations import registration
from ablations.evaluation import LOGISTIC_IMAGES
from ablations.records import PLAN_FILE, read_results
from ablations.study import Study, checked
from reports.claims.families import with_options
from reports.claims.load import claims_from_json, claims_hash, load_claims, load_registration
from reports.claims.model import Claim
from reports.claims.references import References
from reports.claims.registration import Registration
from reports.claims.resolve import at_least_one_image, needs_references, resolve
from reports.judging.judge import headlines, judge
from reports.judging.verdict import Verdict
from reports.page import files
from reports.page.build import build
from reports.page.compare import write_comparison
from reports.page.drawing import Helper, helper_wanted
from reports.page.evidence import Environment, Evidence
from tracking import reader, schema
from tracking.errors import explained
from tracking.reader import StudyInfo
from tracking.search import Gathered
from tracking.store import Store
from vae.errors import UserError
from vae.factors import factors
from vae.metrics.catalogue import CATALOGUE

FILES = (schema.STUDY_FILE, schema.CLAIMS_FILE, schema.ENVIRONMENT, schema.REFERENCES, PLAN_FILE)


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
    # What else lies in the folder is not the report's.
    with _helper(info) as helper, tempfile.TemporaryDirectory() as made:
        evidence = gather_evidence(store, info, claim_files)
        name = build(evidence, made, helper).html.name
        files.copy(Path(made), folder)
        with explained(f"the report lies in {folder}, but cannot be kept with run {info.run_id}"):
            store.client.log_artifacts(info.run_id, made, schema.REPORT)
    _remember(store, info, evidence)
    return Written(folder / name, tuple(headlines(evidence.verdicts)))


def _helper(info: StudyInfo) -> Helper | contextlib.nullcontext[None]:
    """A second process that draws, where it pays; it starts while the store is read."""
    return Helper() if helper_wanted(len(json.loads(_artifact(info, PLAN_FILE)))) else contextlib.nullcontext()


def gather_evidence(store: Store, info: StudyInfo, claim_files: Sequence[str] = ()) -> Evidence:
    """Everything a report of this run shows, its verdicts included."""
    study = _study(info)
    planned = pd.DataFrame(json.loads(_artifact(info, PLAN_FILE)))
    cells, frame = read_results(store, planned, info.study)
    if frame.empty:
        raise UserError(
            f"study={info.study!r}: none of the {len(planned)} cells of its latest run has a result yet; "
            f"ablate run {info.study} goes on with them"
        )
    references = _references(info)
    claims, registrations = _claims(info, claim_files, references, study)
    history = reader.read_history(store, cells)
    judged = {leg.metric for claim in claims for leg in claim.legs if leg.metric}
    order = _Order.of(store, info, study, claims, frame, cells)
    verdicts = judge(
        claims,
        frame,
        base=study.base,
        planned=planned,
        references=references,
        per_image=reader.read_per_image(store, cells, judged),
        history=history,
        looks=order.looks,
        alpha=registration.ALPHA,
    )
    return Evidence(
        study=info.study,
        title=study.title,
        description=study.description,
        frame=frame,
        base=study.base,
        history=history,
        pictures=reader.read_pictures(store, cells),
        verdicts=tuple(verdicts),
        environment=_environment(info, study, references),
        planned=planned,
        notes=(*order.notes, *frame.attrs.get("notes", ())),
        references=references,
        registered=_registered(registrations, claims, order, claim_files or study.claims),
        looks=order.looks,
        point_images=study.evaluation.point_images,
        study_file=_artifact(info, schema.STUDY_FILE),
        claims_hash=claims_hash(claims),
        classes=int(info.params.get("classes", 0)),
    )


def _study(info: StudyInfo) -> Study:
    """The study as it was run."""
    return checked(tomllib.loads(_artifact(info, schema.STUDY_FILE)), f"{info.study} as it was run", recorded=True)


def _registered(
    registrations: Collection[Registration], claims: Sequence[Claim], order: _Order, files: Sequence[str]
) -> str:
    names = [Path(name).name for name in files]
    hashed, first = claims_hash(claims), order.first_cell
    return registration.sentence(registrations, hashed, order.fixed, files=names, first_cell=first) if claims else ""


def _references(info: StudyInfo) -> References | None:
    """Floors and ceilings, as they were logged; None for a study that was run before there were any."""
    text = info.artifacts.get(schema.REFERENCES)
    return None if text is None else References.from_json(text)


def _claims(
    info: StudyInfo, claim_files: Sequence[str], references: References | None, study: Study
) -> tuple[tuple[Claim, ...], tuple[Registration, ...]]:
    """The claims to judge, in units, and where they were registered: those of the run, or of other files."""
    if not claim_files:
        logged = json.loads(_artifact(info, schema.CLAIMS_FILE))
        registrations = map(Registration.model_validate, logged.get("registrations", ()))
        return claims_from_json(logged["claims"]), tuple(registrations)
    claims = with_options(load_claims(*claim_files, metrics=CATALOGUE), arms=study.arms, base=study.base)
    if needs_references(claims):
        if references is None:
            raise UserError(
                f"--claims: margins that are shares need {schema.REFERENCES}, which the latest run of {info.study!r} "
                f"lacks; ablate run {info.study} writes it and trains nothing that is done"
            )
        claims = resolve(claims, references, base=study.base)
    if references is not None:
        claims = at_least_one_image(claims, references.test_images)
    return claims, tuple(filter(None, map(load_registration, claim_files)))


def _artifact(info: StudyInfo, name: str) -> str:
    if name not in info.artifacts:
        raise UserError(
            f"study={info.study!r}: its latest run ({info.run_id}) has lost its file {name}; "
            f"ablate run {info.study} writes it again and trains nothing that is done"
        )
    return info.artifacts[name]


def _environment(info: StudyInfo, study: Study, references: References | None) -> Environment:
    facts = json.loads(_artifact(info, schema.ENVIRONMENT))
    base, training = study.base, study.base.training
    settings = {
        "model": f"{base['model.family']}, {factors()['model.latents'].phrase(base['model.latents'])}",
        "epochs": str(training.epochs),
        "batch size": f"{training.batch_size}, last partial batch: {training.last_batch}",
        "optimiser": f"Adam, learning rate {training.learning_rate:g}",
        "precision": training.precision,
        "measured on": measured_on(study, references),
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


def measured_on(study: Study, references: References | None) -> str:
    """How much each expensive metric saw, never more than there is; everything else sees the whole test set."""
    seen = study.evaluation
    whole = references.test_images if references is not None and references.test_images else math.inf

    def images(count: int) -> str:
        return f"{min(count, whole):,}"

    return (
        f"the whole test set, but bits per dim on {images(LOGISTIC_IMAGES)} of its images, blur effect on "
        f"{images(seen.blur_images)}, IWAE on {images(seen.iwae_images)} with {seen.iwae_samples:,} draws each, and "
        f"samples on {seen.generated:,} draws from the prior, against {images(seen.generated)} test images; each of "
        "these sets drawn once at random"
    )


@dataclass(frozen=True)
class _Order:
    """In which order claims, cells and reports came about. fixed: when the claims were first logged. looks: reports of
    the study with other seeds, this one included. first_cell: when it was trained. notes: what a reader must know."""

    fixed: datetime | None
    first_cell: datetime | None
    looks: int
    notes: tuple[str, ...]

    @classmethod
    def of(
        cls,
        store: Store,
        info: StudyInfo,
        study: Study,
        claims: Sequence[Claim],
        frame: pd.DataFrame,
        cells: Gathered,
    ) -> _Order:
        runs = reader.studies(store)
        trained = [datetime.fromtimestamp(run.info.start_time / 1000, UTC) for run in cells.runs.values()]
        hashed, settings = claims_hash(claims), registration.settings_hash(study)
        fixed = registration.fixed_at(runs, hashed)
        looks, others = registration.earlier_looks(runs, info.study, settings)
        seeds = registration.looked(frame, hashed, settings).seeds
        notes = registration.notes(
            fixed=fixed, trained=trained if claims else [], looks=looks, seeds=seeds, others=others
        )
        return cls(fixed, min(trained, default=None), registration.count_looks(looks, seeds), tuple(notes))


def compare(store: Store, first: str, second: str, folder: Path) -> Written:
    """Two studies arm by arm, their differences paired by seed: a page of its own."""
    both = [reader.study_info(store, name, FILES) for name in (first, second)]
    one, other = (gather_evidence(store, info) for info in both)
    page = write_comparison(one, other, folder)
    for info, evidence in zip(both, (one, other)):  # whoever compares has seen the verdicts of both
        _remember(store, info, evidence)
    return Written(page)


def _remember(store: Store, info: StudyInfo, evidence: Evidence) -> None:
    settings = registration.settings_hash(_study(info))
    registration.remember(store, info, registration.looked(evidence.frame, evidence.claims_hash, settings))

"""From the store to a report: read what was run, judge its claims, build the page, keep it with the run.

A study is reported as it was last run: its file, its claims and its list of cells are artifacts of that run. Where
that was a run of a part, the whole is reported (`ablations.widest`).
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ablations import freshness, registration, widest
from ablations.evaluation import LOGISTIC_IMAGES
from ablations.records import read_results
from ablations.study import Study, checked
from ablations.whole import facts_of, needed, notes, plan_table, read_or, same_size
from reports.claims.families import with_options
from reports.claims.load import claims_from_json, claims_hash, load_claims, load_registration
from reports.claims.model import Claim
from reports.claims.references import References
from reports.claims.registration import Registration
from reports.claims.resolve import at_least_one_image, needs_references, resolve
from reports.judging.judge import headlines, judge
from reports.judging.verdict import Verdict
from reports.page import files
from reports.page.evidence import Environment, Evidence
from tracking import reader, schema
from tracking.errors import explained
from tracking.reader import StudyInfo
from tracking.search import Gathered, gather
from tracking.store import Store
from tracking.sums import Damage
from vae import toml
from vae.errors import UserError
from vae.factors import factors
from vae.metrics.catalogue import CATALOGUE

if TYPE_CHECKING:
    from reports.page.drawing import Helper

FILES = (schema.STUDY_FILE, schema.CLAIMS_FILE, schema.ENVIRONMENT, schema.REFERENCES, schema.PLAN_FILE)


@dataclass(frozen=True)
class Written:
    """A report on disk. verdicts: one for each claim, the one that speaks for all its places. anew: it was written
    just now; else it was there already, and would be the same."""

    page: Path
    verdicts: tuple[Verdict, ...] = ()
    anew: bool = True


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
    return _write(store, widest.study_info(store, study, FILES), folder, claim_files)


def write_if_changed(store: Store, study: str, folder: Path, stored: Gathered | None = None) -> Written:
    """The report as `write` makes it; where it lies in the folder already, made of the same by the same code, nothing.

    stored: the runs of the study's cells, where they have just been read.
    """
    info = widest.study_info(store, study, FILES)
    planned = needed(info, schema.PLAN_FILE, plan_table)
    if stored is None or set(stored.runs) | set(stored.missing) != set(planned["key"]):
        stored = gather(store, dict(zip(planned["key"], planned["measures"])), info.study)
    made_of = freshness.made_of(info, stored, reader.studies(store))
    if freshness.is_fresh(folder, made_of):
        return Written(folder / freshness.PAGE, anew=False)
    written = _write(store, info, folder, ())
    freshness.remember(folder, freshness.made_of(info, stored, reader.studies(store)))
    return written


def _write(store: Store, info: StudyInfo, folder: Path, claim_files: Sequence[str]) -> Written:
    from reports.page.build import build  # with what draws figures, which a report that stands does not need

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
    from reports.page.drawing import Helper, helper_wanted

    return Helper() if helper_wanted(len(needed(info, schema.PLAN_FILE, plan_table))) else contextlib.nullcontext()


def gather_evidence(store: Store, info: StudyInfo, claim_files: Sequence[str] = ()) -> Evidence:
    """Everything a report of this run shows, its verdicts included."""
    study, damage = _study(info), list(info.damage)
    planned = needed(info, schema.PLAN_FILE, plan_table)
    cells, frame = read_results(store, planned, info.study, damage)
    if frame.empty:
        raise UserError(
            f"study={info.study!r}: none of the {len(planned)} cells of its latest run has a result yet; "
            f"ablate run {info.study} goes on with them"
        )
    references = _references(info, damage)
    claims, registrations = _claims(info, claim_files, references, study, damage)
    history = reader.read_history(store, cells, damage=damage)
    judged = {leg.metric for claim in claims for leg in claim.legs if leg.metric}
    order = _Order.of(store, info, study, claims, frame, cells)
    pictures = same_size(reader.read_pictures(store, cells, damage), cells.runs, damage)
    verdicts = judge(
        claims,
        frame,
        base=study.base,
        planned=planned,
        references=references,
        per_image=reader.read_per_image(store, cells, judged, damage),
        history=history,
        looks=order.looks,
        alpha=registration.ALPHA,
    )
    asked = filter(None, [info.artifacts.get(widest.ASKED)])
    return Evidence(
        study=info.study,
        title=study.title,
        description=study.description,
        frame=frame,
        base=study.base,
        history=history,
        pictures=pictures,
        verdicts=tuple(verdicts),
        environment=_environment(info, study, references, damage),
        planned=planned,
        notes=(*notes(info.study, damage), *asked, *order.notes, *frame.attrs.get("notes", ())),
        references=references,
        registered=_registered(registrations, claims, order, claim_files or study.claims),
        looks=order.looks,
        point_images=study.evaluation.point_images,
        study_file=info.artifacts[schema.STUDY_FILE],
        claims_hash=claims_hash(claims),
        classes=int(info.params.get("classes", 0)),
    )


def _study(info: StudyInfo) -> Study:
    """The study as it was run."""

    def parse(text: str) -> Study:
        return checked(toml.parsed(text), f"{info.study} as it was run", recorded=True)

    return needed(info, schema.STUDY_FILE, parse)


def _registered(
    registrations: Collection[Registration], claims: Sequence[Claim], order: _Order, files: Sequence[str]
) -> str:
    names = [Path(name).name for name in files]
    hashed, first = claims_hash(claims), order.first_cell
    return registration.sentence(registrations, hashed, order.fixed, files=names, first_cell=first) if claims else ""


def _references(info: StudyInfo, damage: list[Damage]) -> References | None:
    """Floors and ceilings, as they were logged; None for a study that was run before there were any."""
    lost = any(part.part == schema.REFERENCES for part in info.damage)
    there = schema.REFERENCES in info.artifacts and not lost
    return read_or(info, schema.REFERENCES, References.from_json, damage, None) if there or lost else None


def _claims(
    info: StudyInfo,
    claim_files: Sequence[str],
    references: References | None,
    study: Study,
    damage: list[Damage],
) -> tuple[tuple[Claim, ...], tuple[Registration, ...]]:
    """The claims to judge, in units, and where they were registered: those of the run, or of other files."""
    if not claim_files:
        none: tuple[tuple[Claim, ...], tuple[Registration, ...]] = ((), ())
        return read_or(info, schema.CLAIMS_FILE, _logged_claims, damage, none)
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


def _logged_claims(text: str) -> tuple[tuple[Claim, ...], tuple[Registration, ...]]:
    """The claims that were logged with a run, and where they were registered."""
    logged = json.loads(text)
    registrations = map(Registration.model_validate, logged.get("registrations", ()))
    return claims_from_json(logged["claims"]), tuple(registrations)


def _environment(info: StudyInfo, study: Study, references: References | None, damage: list[Damage]) -> Environment:
    nothing: dict[str, Any] = {}
    facts = read_or(info, schema.ENVIRONMENT, facts_of, damage, nothing)
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
    from reports.page.compare import write_comparison

    both = [widest.study_info(store, name, FILES) for name in (first, second)]
    one, other = (gather_evidence(store, info) for info in both)
    page = write_comparison(one, other, folder)
    for info, evidence in zip(both, (one, other)):  # whoever compares has seen the verdicts of both
        _remember(store, info, evidence)
    return Written(page)


def _remember(store: Store, info: StudyInfo, evidence: Evidence) -> None:
    settings = registration.settings_hash(_study(info))
    registration.remember(store, info, registration.looked(evidence.frame, evidence.claims_hash, settings))

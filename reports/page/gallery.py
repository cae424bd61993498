"""Which figures a report has: each drawn once, named, described in words, saved as files and shown on the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import pandas as pd
from matplotlib.figure import Figure

from reports.numbers import listed, sentence_case, setting
from reports.page import figures
from reports.page.dossiers import Dossier, names
from reports.page.effects import effect
from reports.page.evidence import Evidence
from reports.page.layout import HEADLINE, described
from reports.page.objectives import OBJECTIVES
from reports.page.pictures import Strip, first_cells, picture_grid
from reports.page.prose import caption_against_beta
from reports.page.tables import PLAIN, summary

AGAINST_RATE: Final = (OBJECTIVES, ("ssim", "acutance_ratio", "bits_per_dim"), ("legibility", "sigma_eq", "kid"))
TRAINING: Final = {
    "test_neg_elbo": "test −ELBO (nats per image)",
    "train_loss": "training loss (own units)",
    "train_rate": "rate in training (nats per image)",
}


@dataclass(frozen=True)
class Plate:
    """A figure with the words that go with it. section: where on the page it stands. alt: what one would see."""

    name: str
    section: str
    caption: str
    alt: str
    figure: Figure


def plates(evidence: Evidence, means: pd.DataFrame, found: Sequence[Dossier]) -> Iterator[Plate]:
    """All figures of a report but the picture grids, in the order of the page. means: as `tables.arm_means`."""
    for dossier in found:
        if dossier.measured:
            yield _effect_plate(dossier)
    present = set(means["metric"])
    claimed = [metric for dossier in found for metric in dossier.metrics]
    for metric in dict.fromkeys(m for m in (*claimed, *HEADLINE) if m in present):
        yield _beta_plate(means, metric)
    if "rate" in present and means["reduction"].nunique() > 1 and (means["reduction"] == "sum").any():
        yield _effective_plate(means)
    yield from _rate_plates(evidence, means, present)
    yield from _transfer_plates(evidence)
    yield from _training_plates(evidence)


def _effect_plate(dossier: Dossier) -> Plate:
    called = names(dossier.pictured)
    seen = "; ".join(f"{name}: {leaf['verdict']}" for name, leaf in zip(called, dossier.pictured))
    return Plate(
        name=f"effect-{dossier.id}",
        section="effect",
        caption=dossier.unpictured,
        alt=f"Paired differences with 95 % intervals against the region in which the claim would hold. {seen}.",
        figure=effect(dossier.pictured, called),
    )


def _beta_plate(means: pd.DataFrame, metric: str) -> Plate:
    caption = caption_against_beta(metric)
    alt = f"{caption} The same numbers stand in the table of this metric."
    return Plate(f"{metric}-against-beta", "beta", caption, alt, figures.metric_against_beta(means, metric))


def _effective_plate(means: pd.DataFrame) -> Plate:
    caption = (
        "Rate against β_eff, all reductions on one axis. Lines: sum. Hollow marks: the other reductions; where "
        "they lie on the lines, the reduction is only another weight."
    )
    figure = figures.metric_against_effective_beta(means, "rate")
    return Plate("rate-against-effective-beta", "weight", caption, caption, figure)


def _rate_plates(evidence: Evidence, means: pd.DataFrame, present: set[str]) -> Iterator[Plate]:
    cells = means[(means["reduction"] == "sum") & (means["posterior"] == PLAIN)]
    if "rate" not in present or cells.groupby("loss")["arm"].nunique().max() < 2:
        return
    spent = cells.loc[cells["metric"] == "rate", "mean"]
    rates = [rate for rate in matched_rates(evidence) if spent.min() <= rate <= spent.max()]
    for place, group in enumerate(AGAINST_RATE):
        metrics = [metric for metric in group if metric in present]
        if metrics:
            caption = _rate_caption(metrics, rates)
            figure = figures.rate_distortion(evidence.frame, means, metrics, rates)
            yield Plate(f"against-rate-{place + 1}", "rate", caption, caption, figure)


def _rate_caption(metrics: Sequence[str], rates: Sequence[float]) -> str:
    labels = sentence_case(listed(described(metric).label for metric in metrics))
    at = listed(setting(rate) for rate in rates)
    lines = f"; dotted lines: rates of comparison, {at} nats per image" if rates else ""
    return (
        f"{labels} against the rate, reduction sum. Line and band: mean over seeds in its 95 % interval; "
        f"marks: arms{lines}."
    )


def matched_rates(evidence: Evidence) -> tuple[float, ...]:
    """The rates at which the verdicts compared losses; none where no verdict did."""
    used = {rate for record in evidence.verdicts for leaf in (record, *record["legs"]) for rate in leaf["rates"]}
    return tuple(sorted(used))


def _transfer_plates(evidence: Evidence) -> Iterator[Plate]:
    cells = [cell for cell in first_cells(evidence.done, evidence.pictures) if cell["posterior"] == PLAIN]
    nominal = [cell for cell in cells if cell["reduction"] == "sum" and cell["beta"] == 1.0] or cells[:6]
    shown = {cell["arm"]: evidence.pictures[cell["key"]] for cell in nominal}
    shown = {arm: arrays for arm, arrays in shown.items() if "transfer_h" in arrays}
    if shown:
        caption = (
            "Transfer function H, gain G and squared coherence γ² of reconstructions against the originals, one seed. "
            "H falls for blur and for displacement alike: read it with G and γ²."
        )
        losses = {str(cell["arm"]): str(cell["loss"]) for cell in nominal}
        yield Plate("transfer", "transfer", caption, caption, figures.transfer(shown, losses))


def _training_plates(evidence: Evidence) -> Iterator[Plate]:
    cells = evidence.done[(evidence.done["posterior"] == PLAIN) & (evidence.done["reduction"] == "sum")]
    if "origin" in cells.columns:
        cells = cells[cells["origin"] == "grid"]
    joined = evidence.history.merge(cells[["key", "loss", "beta"]], on="key")
    logged = set(joined["metric"])
    for metric, label in TRAINING.items():
        rows = joined[joined["metric"] == metric]
        if metric in logged and rows["epoch"].nunique() > 1:
            caption = (
                f"{sentence_case(label)} by epoch, reduction sum: one line per β, named at its end, "
                "in its 95 % interval over seeds."
            )
            figure = figures.training(_curve(rows), metric, label)
            yield Plate(f"training-{metric}", "training", caption, caption, figure)


def _curve(rows: pd.DataFrame) -> pd.DataFrame:
    groups = rows.groupby(["loss", "beta", "epoch"], sort=False)["value"]
    return pd.DataFrame(
        [{"loss": loss, "beta": beta, "epoch": epoch} | summary(v) for (loss, beta, epoch), v in groups]
    )


def grid_plate(kind: str, rows: Sequence[Strip]) -> Plate:
    """The strips of all arms as one picture, for the figure files."""
    return Plate(kind, "files", "", f"{kind} of {len(rows)} rows", picture_grid(rows))

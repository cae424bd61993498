"""The figures of one claim: its effects, how these stood during training, and which settings change its word."""

from __future__ import annotations

from collections.abc import Iterator

from reports.page.captioned import PlannedFigure
from reports.page.claim_sections import ClaimSection
from reports.page.claim_tables import names
from reports.page.convergence import course_figure, followed, settling
from reports.page.drawing import Drawing
from reports.page.effects import effect
from reports.page.sensitivity import changing, described_rows, sensitivity_figure, sensitivity_rows


def claim_figures(section: ClaimSection, measured_in_training: str) -> Iterator[PlannedFigure]:
    """Those that there are numbers for. measured_in_training: as of `Evidence`."""
    if section.measured:
        yield _effects(section)
    if followed(section):
        yield _course(section, measured_in_training)
    if sensitivity_rows(section):
        yield _sensitivity(section)


def _effects(section: ClaimSection) -> PlannedFigure:
    titles = names(section.drawn)
    verdicts = "; ".join(f"{title}: {single.word}" for title, single in zip(titles, section.drawn))
    alt = f"Paired differences with 95 % intervals, and the region in which the claim would hold. {verdicts}."
    figure = Drawing(effect, (section.drawn, titles))
    return PlannedFigure(f"effect-{section.id}", "effect", section.drawn_note, alt, figure)


def _course(section: ClaimSection, measured_in_training: str) -> PlannedFigure:
    singles = followed(section)
    caption = (
        f"Effect against epochs: mean with its 95 % interval over seeds only. {measured_in_training} The shaded band "
        "is where the claim would hold."
    )
    alt = " ".join(("Effect against epochs.", *settling(section)))
    figure = Drawing(course_figure, (singles, names(singles)))
    return PlannedFigure(f"course-{section.id}", "course", caption, alt, figure)


def _sensitivity(section: ClaimSection) -> PlannedFigure:
    rows = sensitivity_rows(section)
    legend = "Filled: another word than the claim’s. Bold: as it was judged."
    caption = f"{changing(section)} {legend}{_earlier(section)}"
    figure = Drawing(sensitivity_figure, (rows, section.verdict))
    alt = f"The word of the claim under other settings. {described_rows(section)}"
    return PlannedFigure(f"sensitivity-{section.id}", "sensitivity", caption, alt, figure)


def _earlier(section: ClaimSection) -> str:
    """What a reader must know of the words at earlier epochs."""
    if not any(row.setting == "epochs" for row in sensitivity_rows(section)):
        return ""
    return " Earlier epochs: judged on the images of the figure above, with intervals over seeds only."

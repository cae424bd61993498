"""The report as one self-contained page and as Markdown.

The page opens offline: style and script are inside it, figures are data URIs, and a content security policy forbids
everything else. What comes from a user's files is escaped, on the page by Jinja's autoescape and in Markdown by
`markup.escaped`.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from jinja2 import Environment as Jinja
from jinja2 import PackageLoader, StrictUndefined
from markupsafe import Markup

from reports.page import palette, prose
from reports.page.base import further_factors, without_base
from reports.page.claim_sections import ClaimSection, tally
from reports.page.claim_tables import firmness
from reports.page.evidence import Evidence
from reports.page.layout import SETTINGS, Table, described, narrowed
from reports.page.markup import escaped, markdown
from reports.page.pictures import Strip

_LOADER: Final = PackageLoader("reports.page", "templates")
_FONTS: Final = "system-ui, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif"


@dataclass(frozen=True)
class RenderedFigure:
    """A figure ready for the page. section: the part of the page that shows it; svg: as in the file of that name."""

    name: str
    section: str
    caption: str
    alt: str
    svg: str

    @property
    def source(self) -> str:
        """The figure as a data URI that follows the page's light or dark theme."""
        return _uri("image/svg+xml", palette.themed(self.svg).replace("'DejaVu Sans'", _FONTS).encode())

    @property
    def width(self) -> int:
        """CSS pixels of the figure at its own size."""
        return round(float(self.svg.split('width="', 1)[1].split("pt", 1)[0]) * 4 / 3)


@dataclass(frozen=True)
class Contents:
    """What a report shows besides its evidence, made by `reports.page.build`. Empty parts are left out of the page.

    comparisons, sensitivities: id of a claim -> its table, for the claims that have one. grids: metric -> its table
    over loss, reduction and beta. shared: arm -> the arms of the same objective.
    """

    evidence: Evidence
    sections: tuple[ClaimSection, ...]
    figures: tuple[RenderedFigure, ...]
    arms: Table
    metrics: Table
    runtime: Table
    objectives: Table
    objectives_at_rate: Table
    failed: Table
    verdicts: Table
    comparisons: Mapping[str, Table]
    sensitivities: Mapping[str, Table]
    grids: Mapping[str, Table]
    reconstructions: Sequence[Strip]
    samples: Sequence[Strip]
    shared: Mapping[str, Sequence[str]]

    def of(self, section: str) -> list[RenderedFigure]:
        """The figures of one section."""
        return [figure for figure in self.figures if figure.section == section]

    def named(self, name: str) -> RenderedFigure | None:
        """One figure, or None where it was not drawn."""
        return next((figure for figure in self.figures if figure.name == name), None)


def page_and_text(contents: Contents) -> tuple[str, str]:
    """The report as an HTML page that needs nothing outside it, and as Markdown with links to the files of figures."""
    context = _context(contents)
    return rendered_html("report.html.j2", context), rendered_markdown("report.md.j2", context)


def rendered_html(template: str, context: Mapping[str, Any]) -> str:
    """A page from one of the templates, with style, script and policy inside it."""
    jinja = Jinja(loader=_LOADER, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    jinja.filters["picture"] = picture
    script = _source("script.js")
    inlined = {"style": Markup(_style()), "script": Markup(script), "script_hash": _digest(script)}
    helpers = {"tone": lambda loss: palette.mark(loss).tone, "label": lambda metric: described(metric).label}
    return jinja.get_template(template).render(**helpers, **context, **inlined)


def rendered_markdown(template: str, context: Mapping[str, Any]) -> str:
    """Markdown from one of the templates. Every value is escaped, except tables, which escape their own entries."""
    jinja = Jinja(
        loader=_LOADER,
        autoescape=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=lambda value: value if isinstance(value, Markup) else escaped(str(value)),
    )
    jinja.filters["table"] = lambda table: Markup(markdown(table))
    return jinja.get_template(template).render(**context)


def _context(contents: Contents) -> dict[str, Any]:
    evidence, sections = contents.evidence, contents.sections
    return {
        "heading": evidence.heading,
        "about": evidence.description,
        "notes": evidence.notes,
        "contents": contents,
        "evidence": evidence,
        "claims": sections,
        "lead": prose.lead(evidence, sections),
        "tally": [(word, count, *palette.sign(word)) for word, count in tally(sections).items()],
        "completeness": prose.completeness(evidence),
        "missing": prose.missing_by_arm(evidence),
        "facts": prose.facts(evidence),
        "firmness": firmness,
        "further": [factor.name for factor in further_factors(evidence.frame)],
        "without_base": without_base(evidence.done, evidence.base),
        "left_out": prose.left_out(evidence, max(len(contents.reconstructions) - 1, len(contents.samples))),
        "shared": prose.shared_objectives(contents.shared),
        "refusals": prose.own_objectives(list(contents.grids), set(evidence.done["loss"])),
        "unsettled": prose.unsettled(evidence),
        "loss_by_loss": prose.LOSS_BY_LOSS,
        "plots": {figure.name.removesuffix("-against-beta"): figure for figure in contents.of("beta")},
        "homes": _homes(sections),
        "groups": _groups(contents.arms),
        "headline": narrowed(contents.arms),
    }


def _homes(sections: Sequence[ClaimSection]) -> dict[str, str]:
    """Metric -> the claim that shows its figure: the first that depends on it, so that no figure is shown twice."""
    first: dict[str, str] = {}
    for section in sections:
        for metric in section.metrics:
            first.setdefault(metric, section.id)
    return first


def _groups(arms: Table) -> list[tuple[str, str]]:
    """The kinds of columns that a reader may choose among, as value and name: headline first, settings and all last."""
    kinds = dict.fromkeys(kind for column in arms.columns for kind in column.group.split())
    order = sorted(kinds, key=lambda kind: (kind == SETTINGS, kind != "headline"))
    return [(kind, kind) for kind in (*order, "all")]


def picture(strip: Strip) -> str:
    """A strip as a data URI."""
    return _uri("image/png", strip.png)


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _style() -> str:
    light, dark = palette.variables("light"), palette.variables("dark")
    themes = (
        f":root{{{light}color-scheme:light}}"
        f"@media(prefers-color-scheme:dark){{:root{{{dark}color-scheme:dark}}}}"
        f":root[data-theme=light]{{{light}color-scheme:light}}"
        f":root[data-theme=dark]{{{dark}color-scheme:dark}}"
        f"@media print{{:root,:root[data-theme=dark]{{{light}color-scheme:light}}}}"
    )
    return themes + _source("style.css")


def _source(name: str) -> str:
    source, _, _ = _LOADER.get_source(Jinja(), name)
    return source


def _digest(script: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()

"""The report as one self-contained page and as Markdown.

The page opens offline: style and script are inside it, figures are data URIs, and a content security policy forbids
everything else. What comes from a user's files is escaped, on the page by Jinja's autoescape and in Markdown by
`rendering.escaped`.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from jinja2 import Environment as Jinja
from jinja2 import PackageLoader, StrictUndefined
from markupsafe import Markup

from reports.page import palette, prose
from reports.page.dossiers import Dossier, comparison_table, firmness, sensitivity_table, tally
from reports.page.evidence import Evidence
from reports.page.layout import SETTINGS, Table, described, narrowed
from reports.page.markup import escaped, markdown
from reports.page.pictures import Strip

_LOADER: Final = PackageLoader("reports.page", "templates")
_FONTS: Final = "system-ui, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif"


@dataclass(frozen=True)
class Shown:
    """A figure ready for the page: where it stands, its words, its SVG, and the file that holds it."""

    name: str
    section: str
    caption: str
    alt: str
    svg: str

    @property
    def source(self) -> str:
        """The figure as a data URI that follows the page's light or dark paper."""
        return _uri("image/svg+xml", palette.themed(self.svg).replace("'DejaVu Sans'", _FONTS).encode())

    @property
    def width(self) -> int:
        """CSS pixels of the figure at its own size."""
        return round(float(self.svg.split('width="', 1)[1].split("pt", 1)[0]) * 4 / 3)


@dataclass(frozen=True)
class Contents:
    """What a report shows besides its evidence, made by `reports.page.build`. Empty parts are left out of the page."""

    evidence: Evidence
    dossiers: tuple[Dossier, ...]
    figures: tuple[Shown, ...]
    arms: Table
    metrics: Table
    runtime: Table
    objectives: Table
    objectives_at_rate: Table
    failed: Table
    verdicts: Table
    comparisons: Sequence[Table] = ()
    grids: Mapping[str, Table] = field(default_factory=dict)
    reconstructions: Sequence[Strip] = ()
    samples: Sequence[Strip] = ()
    shared: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def of(self, section: str) -> list[Shown]:
        """The figures of one section."""
        return [figure for figure in self.figures if figure.section == section]

    def named(self, name: str) -> Shown | None:
        """One figure, or None where it was not drawn."""
        return next((figure for figure in self.figures if figure.name == name), None)


def html(contents: Contents) -> str:
    """The page. Nothing in it asks for anything outside it."""
    return rendered_html("report.html.j2", _context(contents))


def text(contents: Contents) -> str:
    """The same report as Markdown; figures are links to the files beside it."""
    return rendered_markdown("report.md.j2", _context(contents))


def rendered_html(template: str, context: Mapping[str, Any]) -> str:
    """A page made of one of the templates, with style, script and policy inside it."""
    jinja = Jinja(loader=_LOADER, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    jinja.filters["picture"] = picture
    script = _source("script.js")
    inlined = {"style": Markup(_style()), "script": Markup(script), "script_hash": _digest(script)}
    words = {"tone": lambda loss: palette.mark(loss).tone, "label": lambda metric: described(metric).label}
    return jinja.get_template(template).render(**words, **context, **inlined)


def rendered_markdown(template: str, context: Mapping[str, Any]) -> str:
    """Markdown made of one of the templates: every value is escaped, but for tables, which escape their own."""
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
    evidence, found = contents.evidence, contents.dossiers
    return {
        "heading": evidence.heading,
        "about": evidence.description,
        "notes": evidence.notes,
        "contents": contents,
        "evidence": evidence,
        "found": found,
        "lead": prose.lead(evidence, found),
        "tally": [(word, count, *palette.sign(word)) for word, count in tally(found).items()],
        "completeness": prose.completeness(evidence),
        "missing": prose.missing_by_arm(evidence),
        "facts": prose.facts(evidence),
        "comparison_table": comparison_table,
        "sensitivity_table": sensitivity_table,
        "firmness": firmness,
        "left_out": prose.left_out(evidence, max(len(contents.reconstructions) - 1, len(contents.samples))),
        "shared": prose.shared_objectives(contents.shared),
        "refusals": prose.own_objectives(list(contents.grids), set(evidence.done["loss"])),
        "unsettled": prose.unsettled(evidence),
        "plots": {figure.name.removesuffix("-against-beta"): figure for figure in contents.of("beta")},
        "homes": homes(contents.dossiers),
        "groups": _groups(contents.arms),
        "headline": narrowed(contents.arms),
    }


def homes(found: Sequence[Dossier]) -> dict[str, str]:
    """Metric -> the claim that shows its figure: the first that rests on it. No figure is on the page twice."""
    first: dict[str, str] = {}
    for dossier in found:
        for metric in dossier.metrics:
            first.setdefault(metric, dossier.id)
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

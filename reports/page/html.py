"""The report as one self-contained page and as Markdown.

The page opens offline: style and script are inside it, figures are data URIs, and a content security policy forbids
everything else. What comes from a user's files is escaped, on the page by Jinja's autoescape and in Markdown by
`markup.escaped`.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any, Final

from jinja2 import Environment as Jinja
from jinja2 import PackageLoader, StrictUndefined
from markupsafe import Markup

from reports.page import palette
from reports.page.layout import described
from reports.page.markup import escaped, markdown

_LOADER: Final = PackageLoader("reports.page", "templates")
_SHARED: Final[dict[str, Any]] = {"undefined": StrictUndefined, "trim_blocks": True, "lstrip_blocks": True}


def rendered_html(template: str, context: Mapping[str, Any]) -> str:
    """A page from one of the templates, with style, script and policy inside it."""
    jinja = Jinja(loader=_LOADER, **_SHARED, autoescape=True)
    script = _source("script.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    inlined = {"style": Markup(_style()), "script": Markup(script), "script_hash": f"sha256-{digest}"}
    helpers = {
        "tone": lambda loss: palette.mark(loss).tone,
        "label": lambda metric: described(metric).label,
        "verdict_signs": palette.VERDICT_SIGNS,
    }
    return jinja.get_template(template).render(**helpers, **context, **inlined)


def rendered_markdown(template: str, context: Mapping[str, Any]) -> str:
    """Markdown from one of the templates. Every value is escaped, except tables, which escape their own entries."""
    jinja = Jinja(loader=_LOADER, **_SHARED, autoescape=False, keep_trailing_newline=True, finalize=_escaped)
    jinja.filters["table"] = lambda table: Markup(markdown(table))
    return jinja.get_template(template).render(**context)


def _escaped(value: object) -> object:
    return value if isinstance(value, Markup) else escaped(str(value))


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

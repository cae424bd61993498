"""Which pages are made from the code, and by what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from ablations.documentation.commands import commands_page
from ablations.documentation.study import study_page
from reports.claims.documentation import documentation as claims_page
from reports.judging.verdict import documentation as verdicts_page
from vae.metrics.documentation import documentation as metrics_page

# page, below docs -> what makes its text
PAGES: Final[Mapping[str, Callable[[], str]]] = MappingProxyType(
    {
        "reference/commands.md": commands_page,
        "reference/study-file.md": study_page,
        "reference/claims-file.md": claims_page,
        "reference/metrics.md": metrics_page,
        "verdicts.md": verdicts_page,
    }
)

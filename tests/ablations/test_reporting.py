"""What a report is asked for, and what no report can be made of."""

from __future__ import annotations

from typing import Any

import pytest

from ablations.options import check_report
from reports.judging.verdict import documentation
from tests.paths import REPOSITORY
from vae.errors import UserError


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ((["a", "b", "c"], None, ()), "report takes one study, or two to compare; 3 were given"),
        ((["a"], "refuetd", ()), "--fail-on='refuetd' is not one of .* Did you mean 'refuted'"),
        ((["a", "b"], "refuted", ()), "--fail-on has no meaning for a comparison of two studies"),
        ((["a", "b"], None, ("notes",)), "--claims has no meaning for a comparison of two studies"),
    ],
)
def test_what_cannot_be_reported_is_refused_by_name(request_: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_report(*request_)


def test_what_can_be_reported_passes() -> None:
    check_report(["a"], "inconclusive", ("notes",))
    check_report(["a", "b"], None, ())


def test_the_schema_of_verdicts_is_documented_as_it_is() -> None:
    """Where this fails: python -m reports.judging.verdict > docs/verdicts.md"""
    assert (REPOSITORY / "docs" / "verdicts.md").read_text(encoding="utf-8") == documentation()

"""What a report is asked for, and what no report can be made of."""

from __future__ import annotations

from typing import Any

import pytest

from ablations.options import check_report
from ablations.reporting import measured_on
from ablations.study import load
from reports.judging.verdict import documentation
from tests import report_samples as samples
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


def test_no_metric_is_said_to_have_seen_more_images_than_there_are() -> None:
    study = load("digits", {"evaluation.blur_images": 1000, "evaluation.iwae_images": 150, "evaluation.generated": 900})
    small = measured_on(study, samples.references(test_images=360))
    assert "blur effect on 360, IWAE on 150 with" in small
    assert "samples on 900 draws from the prior, against 360 test images" in small
    for whole in (samples.references(), None):
        assert "blur effect on 1,000, IWAE on 150 with" in measured_on(study, whole)

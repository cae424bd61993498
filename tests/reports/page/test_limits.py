"""What the data cannot show: one sentence for each limit there is, and none for what there is not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reports.page.claim_sections import claim_sections
from reports.page.evidence import Evidence
from reports.page.limits import limits
from reports.page.standing import Standing
from tests import report_samples as samples


def of(evidence: Evidence) -> dict[str, str]:
    return dict(limits(evidence, claim_sections(evidence.verdicts), Standing.of(evidence)))


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return samples.whole_study()


def test_a_whole_study_names_its_limits(evidence: Evidence) -> None:
    known = of(evidence)
    assert list(known) == [
        "One data set",
        "Rare events",
        "Images and classifiers",
        "Failed cells",
        "Normality",
        "Intervals",
    ]
    assert known["Rare events"].startswith("What happens in fewer than 45 % of runs, such as a collapse, may not have")
    assert (
        "Of 14 comparisons, 7 have an interval over seeds and test images or classifiers"
        in (known["Images and classifiers"])
    )


def test_what_an_older_store_lacks_is_said_to_be_unknown(evidence: Evidence) -> None:
    older = replace(evidence, references=None, verdicts=samples.verdict_samples.verdicts(evidence.frame))
    known = of(older)
    assert known["Training"].startswith("Convergence is not known")
    assert known["Floor and ceiling"].startswith("Floor and ceiling are not known")
    assert known["Images and classifiers"].startswith("No values of single images")


def test_looks_lower_the_level(evidence: Evidence) -> None:
    verdicts = tuple(replace(verdict, alpha=0.05 / 9) for verdict in evidence.verdicts)
    assert (
        "the level of the tests is 0.05 divided by 3²: 0.005556"
        in of(replace(evidence, looks=3, verdicts=verdicts))["Looks"]
    )


def test_a_study_without_claims_has_no_limits_of_tests(evidence: Evidence) -> None:
    assert list(of(replace(evidence, verdicts=()))) == ["One data set", "Rare events", "Failed cells"]
    assert of(replace(evidence, frame=evidence.frame[:0])) == {}

"""What the data cannot show: one sentence for each limit there is, and none for what there is not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reports.judging.normality import of_verdicts
from reports.judging.singles import singles
from reports.page.claim_sections import claim_sections
from reports.page.evidence import Evidence
from reports.page.limits import limits
from reports.page.standing import Standing
from tests import report_samples as samples


def of(evidence: Evidence) -> dict[str, str]:
    sections, normality = claim_sections(evidence.verdicts), of_verdicts(evidence.verdicts)
    return dict(limits(evidence, sections, Standing.of(evidence), normality))


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
    luck = known["Images and classifiers"]
    assert luck.startswith("Of 14 comparisons, 7 have their interval over seeds and test images. ")
    assert "There are no values of single images of acutance ratio" in luck


def test_the_reason_for_a_narrow_interval_is_the_true_one(evidence: Evidence) -> None:
    """Images that add nothing measurable are no missing values; values may be missing of a metric or of some cells."""

    def luck(*changes: dict[str, object]) -> str:
        single = next(one for one in singles(evidence.verdicts) if one.images is not None)
        verdicts = tuple(replace(single, label=f"comparison {i}", **change) for i, change in enumerate(changes))
        whole = replace(single, legs=verdicts) if len(verdicts) > 1 else verdicts[0]
        return of(replace(evidence, verdicts=(whole,))).get("Images and classifiers", "")

    none: dict[str, object] = {"images": None, "luck": {}}
    assert luck({"luck": {}}) == luck({}, {"luck": {}}) == ""
    assert "In 1 comparison these values were not kept for every cell" in luck({}, none)
    of_sets = luck({}, {**none, "metric": "kid", "luck": {"seeds": 0.6, "classifiers": 0.4}})
    assert "There are no values of single images of KID: these intervals are over seeds only" in of_sets
    assert "and over classifiers where several read the pictures." in of_sets


def test_what_an_older_store_lacks_is_said_to_be_unknown(evidence: Evidence) -> None:
    older = replace(evidence, references=None, verdicts=samples.verdict_samples.verdicts(evidence.frame))
    known = of(older)
    assert known["Training"].startswith("Convergence is not known")
    assert known["Floor and ceiling"].startswith("Floor and ceiling are not known")
    assert known["Images and classifiers"].startswith("No values of single images are at hand")


def test_looks_lower_the_level(evidence: Evidence) -> None:
    verdicts = tuple(replace(verdict, alpha=0.05 / 9) for verdict in evidence.verdicts)
    assert (
        "the level of the tests is 0.05 divided by 3²: 0.005556"
        in of(replace(evidence, looks=3, verdicts=verdicts))["Looks"]
    )


def test_a_study_without_claims_has_no_limits_of_tests(evidence: Evidence) -> None:
    assert list(of(replace(evidence, verdicts=()))) == ["One data set", "Rare events", "Failed cells"]
    assert of(replace(evidence, frame=evidence.frame[:0])) == {}

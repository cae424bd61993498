"""Sentences that a report writes itself: counted from its cells, and silent where there is nothing to say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reports.claims.places import COMPUTED
from reports.judging.verdict import SUPPORTED, ClaimRef, Verdict
from reports.page import prose
from reports.page.claim_sections import claim_sections
from reports.page.evidence import Evidence
from tests import report_samples as samples


@pytest.fixture
def evidence() -> Evidence:
    return Evidence(study="small", frame=samples.cells(seeds=2, betas=(0.5, 1.0)))


def test_a_bound_that_more_draws_would_lower_is_reported(evidence: Evidence) -> None:
    count = len(evidence.frame)
    gaps = [0.01, 0.2, float("nan"), *[0.05] * (count - 3)]
    sentence = prose.unsettled(replace(evidence, frame=evidence.frame.assign(iwae_gap=gaps)))
    assert f"in {count - 2} of {count - 1} cells" in sentence
    assert prose.unsettled(replace(evidence, frame=evidence.frame.assign(iwae_gap=0.049))) == ""
    assert prose.unsettled(replace(evidence, frame=evidence.frame.drop(columns="iwae_gap", errors="ignore"))) == ""


def test_the_lead_counts_claims_and_models(evidence: Evidence) -> None:
    def lead(*ids: str) -> str:
        verdicts = [Verdict(ClaimRef(name, name, "fact"), COMPUTED, name, SUPPORTED, "So it is.") for name in ids]
        return prose.lead(evidence, claim_sections(verdicts))

    assert lead().startswith("No claims were judged in this report. The study has 24 trained models: 12 arms")
    assert lead("a").startswith("Of 1 claim, 1 is supported by these data. The study has 24")
    assert lead("a", "b").startswith("Of 2 claims, 2 are supported by these data. The study has 24")

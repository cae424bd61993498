"""Sentences that a report writes itself: counted from its cells, and silent where there is nothing to say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reports.page import prose
from reports.page.evidence import Evidence
from tests import report_samples as samples


@pytest.fixture
def evidence() -> Evidence:
    return Evidence(study="small", frame=samples.cells(seeds=2, betas=(0.5, 1.0)))


def test_a_bound_that_its_draws_do_not_settle_is_told(evidence: Evidence) -> None:
    count = len(evidence.frame)
    gaps = [0.01, 0.2, float("nan"), *[0.05] * (count - 3)]
    told = prose.unsettled(replace(evidence, frame=evidence.frame.assign(iwae_gap=gaps)))
    assert f"in {count - 2} of {count - 1} cells" in told
    assert prose.unsettled(replace(evidence, frame=evidence.frame.assign(iwae_gap=0.049))) == ""
    assert prose.unsettled(replace(evidence, frame=evidence.frame.drop(columns="iwae_gap", errors="ignore"))) == ""


def test_one_claim_rests_and_several_rest(evidence: Evidence) -> None:
    def claims(*ids: str) -> Evidence:
        return replace(evidence, verdicts=[{"claim": {"id": each}} for each in ids])

    assert " It rests on " in f" {prose.lead(claims('a'), [])}"
    assert " They rest on " in f" {prose.lead(claims('a', 'b'), [])}"

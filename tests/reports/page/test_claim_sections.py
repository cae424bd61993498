"""What stands beside a claim's sentence: its margins, its places, and which comparisons do not count."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reports.claims.places import OVERALL
from reports.judging.verdict import Verdict
from reports.page.claim_sections import ClaimSection, claim_sections, paragraphs
from reports.page.claim_tables import comparison_table, margins
from reports.page.evidence import Evidence
from tests import report_samples as samples
from tests import verdict_samples

ARMS = ("mae-sum-b1", "bce-sum-b1")


@pytest.fixture(scope="module")
def verdict() -> Verdict:
    frame = samples.cells(("bce", "mae"), ("sum",), (1.0,), seeds=5)
    return verdict_samples.compared(frame, "acutance_ratio", ARMS, 0.02)


def section_of(verdict: Verdict) -> ClaimSection:
    (section,) = claim_sections([verdict])
    return section


def test_each_margin_of_a_claim_stands_once_with_its_reason(verdict: Verdict) -> None:
    assert margins(section_of(verdict)) == ["acutance ratio 0.02 (least difference a reader can see)"]
    again = replace(verdict, label="again")
    rate = replace(verdict, label="rate", metric="rate", unit="nats", margin=0.5, margin_reason="")
    beta = replace(verdict, label="beta", metric="rate", unit="1", kind="predicted-beta", margin=0.2)
    fact = replace(verdict, label="fact", metric="", margin=None)
    assert margins(section_of(replace(verdict, legs=(verdict, again, rate, beta, fact)))) == [
        "acutance ratio 0.02 (least difference a reader can see)",
        "rate 0.5 nats",
        "ln β 0.2 (least difference a reader can see)",
    ]


def test_the_caption_says_what_is_not_adjusted(verdict: Verdict) -> None:
    beside = replace(verdict, label="other", counted=False)
    assert "not adjusted, so" in comparison_table(section_of(replace(verdict, legs=(verdict, beside)))).caption
    assert "not adjusted, so" not in comparison_table(section_of(verdict)).caption


@pytest.mark.parametrize(
    ("point_images", "sentence"),
    [
        (500, "Every point is measured on the same 500 of the 10,000 test images; the effect above is measured on all"),
        (10_000, "Every point is measured on all 10,000 test images."),
        (20_000, "Every point is measured on all 10,000 test images."),
        (0, "Every point is measured on the same test images; where these are a part of all, the last point may"),
    ],
)
def test_the_images_of_the_points_of_training_are_counted(point_images: int, sentence: str) -> None:
    evidence = Evidence(study="small", frame=samples.cells(seeds=1), references=samples.references())
    assert replace(evidence, point_images=point_images).measured_in_training.startswith(sentence)
    unknown = replace(evidence, point_images=500, references=None).measured_in_training
    assert unknown.startswith("Every point is measured on the same test images;")


def test_the_sentence_of_several_places_has_a_paragraph_for_each() -> None:
    for section in claim_sections(samples.whole_study().verdicts):
        for one in section.verdicts:
            lines = paragraphs(one)
            assert " ".join(lines) == one.sentence
            places = one.place == OVERALL and not any(leg.reading != one.reading for leg in one.legs)
            assert len(lines) == (len(one.legs) if places and "insufficient" not in one.sentence.lower() else 1)

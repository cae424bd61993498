"""The lines of the first screen say what the verdicts say, each with the number that decides."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reports.page.answers import Answer, answers
from reports.page.claim_sections import claim_sections
from reports.page.claim_tables import names
from tests import report_samples as samples
from tests import verdict_samples


@pytest.fixture(scope="module")
def lines() -> dict[str, Answer]:
    return {line.id: line for line in answers(claim_sections(samples.whole_study().verdicts))}


def test_each_claim_has_one_line_with_its_own_verdict(lines: dict[str, Answer]) -> None:
    sections = claim_sections(samples.whole_study().verdicts)
    assert list(lines) == [section.id for section in sections]
    assert [line.verdict for line in lines.values()] == [section.answer for section in sections]
    assert all(line.text.endswith(".") and line.text.count("95 %") == 0 for line in lines.values())


def test_the_number_is_that_of_the_comparison_whose_sentence_the_verdict_quotes(lines: dict[str, Answer]) -> None:
    sections = {section.id: section for section in claim_sections(samples.whole_study().verdicts)}
    numbered = [line for line in lines.values() if line.number]
    assert len(numbered) >= 4
    for line in numbered:
        comparisons = sections[line.id].comparisons
        named = dict(zip(names(comparisons), comparisons))
        assert named[line.of].sentence[1:] in line.verdict.sentence


def test_a_claim_of_two_places_shows_the_number_at_equal_rate(lines: dict[str, Answer]) -> None:
    assert lines["mae-acutance"].of.endswith("at equal rate")


def test_readings_are_listed_each_with_its_word(lines: dict[str, Answer]) -> None:
    assert lines["mae-is-better"].text == "Read as ‘sharpness’, supported; read as ‘legibility’, refuted."


def test_an_arm_beside_a_number_is_shown_where_it_stands_and_a_difference_with_its_sign() -> None:
    frame = samples.cells(("bce", "mae"), ("sum",), (1.0,), seeds=5)
    verdict = verdict_samples.compared(frame, "acutance_ratio", ("mae-sum-b1", "bce-sum-b1"), 0.02)
    (line,) = answers(claim_sections([verdict]))
    assert line.number.startswith("+0.")
    (level,) = answers(claim_sections([replace(verdict, reference=1.0, effect=-0.25, ci_low=-0.26, ci_high=-0.24)]))
    assert level.number.startswith("0.75")


def test_what_was_computed_has_no_number() -> None:
    lines = {line.id: line for line in answers(claim_sections(samples.whole_study().verdicts))}
    assert (lines["sigmoid-range"].number, lines["sigmoid-range"].of) == ("", "")

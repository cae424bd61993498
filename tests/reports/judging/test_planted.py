"""Planted studies: what `judge` says of studies whose truth is known. The whole table: `planted.py`, as a program.

Seeds are fixed, so nothing here fails by chance. A count of false words may reach what 99 of 100 honest rules at alpha
would stay under; the rows that leave a rule out show that these counts would tell.
"""

from __future__ import annotations

from functools import cache

import pytest
from scipy import stats

from reports.claims.regions import Region
from reports.judging.normality import of_verdicts
from reports.judging.statistics import power, unseen
from tests.reports.judging.planted import BY_NAME, HEAD, Tally, judged, line, tally
from tests.reports.judging.planted_rows import MARGIN, ROWS, SD, SEEDS, Row

CERTAIN = (  # no chance is left in what is to be said here
    "equal",
    "blank-both",
    "blank-one-acutance",
    "blank-one-ssim",
    "labels",
    "own-objective",
    "unconverged",
    "settled",
    "readings",
)
SLOW = {
    "looks": 40,
    "looks-few": 60,
    "looks-not-counted": 40,
    "null-ten-claims": 60,
    "conjunction": 60,
    "skew-forty": 12,
}
LIMITED = [row for row in ROWS if row.limit is not None and row.name not in CERTAIN]


@cache
def whole(name: str) -> Tally:
    """A row's studies, judged once."""
    return tally(BY_NAME[name], range(SLOW.get(name, 20 if name in CERTAIN else 150)))


def share(name: str) -> float:
    """Share of the studies of a row in which something is falsely supported."""
    return whole(name).false_support / whole(name).studies


@pytest.mark.parametrize("row", LIMITED, ids=lambda row: row.name)
def test_a_false_word_is_no_more_frequent_than_alpha(row: Row) -> None:
    counts = whole(row.name)
    allowed = stats.binom.ppf(0.99, counts.studies, 0.05)
    assert counts.false_support <= allowed
    assert counts.false_refutation <= allowed


@pytest.mark.parametrize("name", CERTAIN)
def test_what_the_rules_settle_is_always_said_rightly(name: str) -> None:
    counts = whole(name)
    assert (counts.false_support, counts.false_refutation, counts.right) == (0, 0, counts.studies)


@pytest.mark.parametrize(
    ("without", "rule", "least"),
    [
        ("images-not-kept", "images", 0.2),
        ("classifiers-not-kept", "classifiers", 0.15),
        ("looks-not-counted", "looks", 0.1),
        ("no-spread-not-kept", "no-spread", 0.4),
    ],
)
def test_without_the_rule_false_support_is_frequent(without: str, rule: str, least: float) -> None:
    assert share(without) > least
    assert share(without) > share(rule) + 0.05


def test_truths_are_found_as_often_as_the_power_says() -> None:
    supported, refuted = (float(chance) for chance in power(2 * MARGIN, SD, SEEDS, Region.above(MARGIN), alpha=0.05))
    found = whole("two-margins")
    assert found.right / found.studies == pytest.approx(supported, abs=0.09)
    assert refuted < 0.001
    opposite = whole("minus-two-margins")  # refuted by two margins more; the opposite where the interval says so
    assert opposite.right / opposite.studies == pytest.approx(0.69, abs=0.09)
    assert whole("no-difference").right > 0.95 * whole("no-difference").studies


def test_a_truth_at_the_margin_is_left_open() -> None:
    for name in ("null-greater", "null-equivalent", "images", "classifiers", "failed"):
        assert whole(name).inconclusive > 0.8 * whole(name).studies


def test_a_rare_collapse_goes_unseen_as_often_as_eight_runs_miss_it() -> None:
    assert share("collapse") == pytest.approx(0.9**8, abs=0.1)
    assert unseen(8) == pytest.approx(0.31, abs=0.005)
    assert "31 %" in BY_NAME["collapse"].note


def test_skew_is_found_over_many_comparisons_where_no_test_of_one_can_help() -> None:
    assert share("skew") > 0.08
    row = BY_NAME["skew-forty"]
    said = [of_verdicts(judged(row, number)[0]) for number in range(12)]
    assert sum(one.fails for one in said) >= 11
    (verdicts,) = judged(row, 0)
    assert all(verdict.p_rank_in is not None for verdict in verdicts)


def test_the_table_names_each_row_once_and_says_why_some_have_no_limit() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
    columns = HEAD.splitlines()[0].count("|")
    for row in ROWS:
        text = line(row, Tally(100, 7, 3, 80.0, 5.0, 15.0))
        assert text.count("|") == columns
        assert text.startswith(f"| {row.name} | {row.truth} | 7.0 | 3.0 | 80.0 | 5.0 | 15.0 | 100 |")
        assert (row.limit is None) == bool(row.note)
        assert row.note in text if row.note else "above 6%" in text


def test_a_study_is_the_same_whoever_judges_it_and_when() -> None:
    row = BY_NAME["null-greater"]
    assert tally(row, range(4)) == tally(row, range(2)) + tally(row, range(2, 4))
    assert judged(row, 3) == judged(row, 3)
    assert judged(row, 3) != judged(row, 4)

"""Floors and ceilings on the page: rows of the arm table, lines, notes; and a likelihood that a histogram beats."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from reports.judging.floors import FIDELITY
from reports.judging.normality import of_verdicts
from reports.page import pictures, tables
from reports.page.arm_table import arm_table, narrowed
from reports.page.contents import contents_of
from reports.page.evidence import Evidence
from reports.page.layout import Table
from reports.page.markup import markdown
from reports.page.standing import AT_FLOOR, CEILING, FLOOR, FLOOR_WITH_LABELS, HISTOGRAM, Standing, with_standing
from tests import report_samples as samples

METRICS = ("rate", "ssim", "mse", "acutance_ratio", "bits_per_dim", "legibility")


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return samples.study(seeds=2, betas=(0.1, 1.0, 4.0), pictures={}, references=samples.references())


@pytest.fixture(scope="module")
def means(evidence: Evidence) -> pd.DataFrame:
    return tables.arm_means(evidence.frame)


@pytest.fixture(scope="module")
def table(evidence: Evidence, means: pd.DataFrame) -> Table:
    return arm_table(means, METRICS, standing=Standing.of(evidence))


def test_the_first_rows_are_what_is_known_without_training(evidence: Evidence, table: Table) -> None:
    known = samples.references()
    columns = [column.title for column in table.columns]
    assert [row[0].text for row in table.rows[: table.fixed]] == [FLOOR, HISTOGRAM, CEILING]
    floor, histogram, ceiling = (dict(zip(columns, row)) for row in table.rows[: table.fixed])
    assert floor["SSIM"].value == known.floor["ssim"]
    assert ceiling["SSIM"].value == known.ceiling["ssim"]
    assert histogram["bits per dim"].value == known.histogram["bits_per_dim"]
    assert {floor["rate"].text, histogram["SSIM"].text, floor["β_eff"].text, floor["loss"].text} == {"–"}
    assert narrowed(table).fixed == table.fixed == 3
    assert len(table.rows) == 3 + evidence.frame["arm"].nunique()


def test_a_line_is_as_long_as_the_way_from_floor_to_ceiling(evidence: Evidence, table: Table) -> None:
    at = {column.title: place for place, column in enumerate(table.columns)}
    for row in table.rows[table.fixed :]:
        for title, floor, ceiling in (("SSIM", 0.19, 1.0), ("squared error", 53.0, 0.0)):
            entry = row[at[title]]
            assert isinstance(entry.value, float)
            assert entry.share == pytest.approx(min(max((entry.value - floor) / (ceiling - floor), 0), 1), abs=1e-9)
        assert row[at["rate"]].share is None
        assert row[at["acutance ratio"]].share is None  # beyond 1 is not better


def test_an_arm_is_noted_in_table_and_pictures_where_no_metric_of_fidelity_credits_it(
    evidence: Evidence, table: Table, means: pd.DataFrame
) -> None:
    standing = Standing.of(evidence)
    noted = [row[0].text for row in table.rows if row[0].note]
    assert noted == list(standing.at_floor) != []
    rows = with_standing(means, standing)
    of_fidelity = rows[rows["metric"].isin(FIDELITY)].groupby("arm")["share"].max()
    assert set(noted) == set(of_fidelity[of_fidelity < 0.05].index)
    assert set(rows.loc[rows["at_floor"], "arm"]) == set(noted)
    assert f"{noted[0]} ({AT_FLOOR})" in markdown(table)
    arrays = samples.pictures(evidence.frame, images=2)
    strips = pictures.strips(evidence.frame, arrays, "samples", dict.fromkeys(standing.at_floor, AT_FLOOR))
    assert [strip.label for strip in strips if strip.note] == noted
    assert standing.sentence.startswith(f"{len(noted)} of 18 arms are at the floor")


def test_the_table_of_each_metric_marks_the_arms_at_the_floor(evidence: Evidence) -> None:
    contents = contents_of(evidence, tables.arm_means(evidence.frame), Standing.of(evidence), of_verdicts(()))
    at_floor = set(Standing.of(evidence).at_floor)
    for table in contents["grids"].values():
        betas = [column.title for column in table.columns[2:]]
        marked = {
            f"{row[0].text}-{row[1].text}-b{title.removeprefix('β = ')}"
            for row in table.rows
            for title, entry in zip(betas, row[2:])
            if entry.note
        }
        assert marked == at_floor
        assert f"At the floor: {AT_FLOOR}." in table.caption
    unknown = replace(evidence, references=None)
    others = contents_of(unknown, tables.arm_means(evidence.frame), Standing.of(unknown), of_verdicts(()))
    assert not any(entry.note for table in others["grids"].values() for row in table.rows for entry in row)
    assert "floor" not in others["grids"]["ssim"].caption


def test_a_model_that_is_given_the_labels_has_a_floor_of_its_own() -> None:
    evidence = replace(samples.further_study(seeds=1), references=samples.references())
    table = arm_table(tables.arm_means(evidence.frame), ("rate", "ssim"), standing=Standing.of(evidence))
    assert [row[0].text for row in table.rows[: table.fixed]] == [FLOOR, FLOOR_WITH_LABELS, CEILING]


def test_a_likelihood_fails_only_where_the_histogram_beats_every_arm(evidence: Evidence, means: pd.DataFrame) -> None:
    failing = Standing.of(evidence).failing
    best = means.loc[means["metric"] == "bits_per_dim", "mean"].min()
    assert list(failing) == ["bits_per_dim"]
    assert f"reads 1.640, and the best arm {best:.3f}" in failing["bits_per_dim"]
    columns = arm_table(means, METRICS, standing=Standing.of(evidence)).columns
    assert {column.title: column.refusal for column in columns}["bits per dim"] == failing["bits_per_dim"]
    better = replace(evidence, references=samples.references(histogram={"bits_per_dim": best + 0.01}))
    assert Standing.of(better).failing == {}


def test_without_references_the_table_is_as_it_was(evidence: Evidence, means: pd.DataFrame) -> None:
    standing = Standing.of(replace(evidence, references=None))
    assert not standing.known
    assert standing.sentence == ""
    assert arm_table(means, METRICS, standing=standing) == arm_table(means, METRICS)
    assert with_standing(means, standing) is means

"""Tables: the numbers against scipy's own, the words against the rules, the gate against its own reasons."""

from __future__ import annotations

import io
import math
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from reports import numbers as rounding
from reports.claims.comparability import refusal
from reports.page import layout, objectives, tables
from reports.page.arm_table import arm_table
from reports.page.base import at_base, base_in_words, caption_clause, values_varied, without_base
from reports.page.layout import Column, Entry, Table
from reports.page.markup import latex, markdown
from tests import report_samples as samples
from tracking import schema
from vae.arms import Arm
from vae.metrics.catalogue import CATALOGUE

PLACES = st.integers(0, 6)
NUMBERS = st.floats(-1e9, 1e9, allow_nan=False)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return samples.fail(samples.cells(seeds=4, betas=(0.5, 1.0, 4.0)), "mae-sum-b4-s1", "diverged in epoch 2")


@pytest.fixture(scope="module")
def means(frame: pd.DataFrame) -> pd.DataFrame:
    return tables.arm_means(frame)


def row(means: pd.DataFrame, arm: str, metric: str) -> pd.Series:
    (only,) = [r for _, r in means[(means["arm"] == arm) & (means["metric"] == metric)].iterrows()]
    return only


@pytest.mark.parametrize("arm", ["bce-sum-b1", "mse-mean-b4", "mae-sum-b4"])
def test_intervals_are_students(frame: pd.DataFrame, means: pd.DataFrame, arm: str) -> None:
    values = frame.loc[(frame["arm"] == arm) & (frame["status"] == "done"), "ssim"]
    low, high = stats.t.interval(0.95, len(values) - 1, loc=values.mean(), scale=stats.sem(values))
    mean = row(means, arm, "ssim")
    assert mean["n"] == len(values) == (3 if arm == "mae-sum-b4" else 4)
    assert [mean["low"], mean["mean"], mean["high"]] == pytest.approx([low, values.mean(), high], rel=1e-12)


def test_one_seed_has_a_mean_and_no_interval(frame: pd.DataFrame) -> None:
    mean = row(tables.arm_means(frame[frame["seed"] == 2]), "bce-sum-b1", "rate")
    assert mean["n"] == 1
    assert math.isfinite(mean["mean"])
    assert math.isnan(mean["half"])


def test_what_was_not_measured_is_left_out_and_counted(frame: pd.DataFrame) -> None:
    holed = frame.copy()
    holed.loc[holed["key"] == "bce-sum-b1-s0", "sigma_eq"] = np.nan
    assert row(tables.arm_means(holed), "bce-sum-b1", "sigma_eq")["n"] == 3
    assert row(tables.arm_means(holed), "bce-sum-b1", "ssim")["n"] == 4


def test_a_study_with_nothing_done_has_empty_tables(frame: pd.DataFrame) -> None:
    nothing = frame.assign(status="failed")
    means = tables.arm_means(nothing)
    assert list(means.columns) == list(tables.MEANS)
    assert means.empty
    assert arm_table(means, []).rows == ()
    assert objectives.at_beta(means).empty


def test_metrics_are_in_the_order_of_the_catalogue_and_unknown_ones_last(frame: pd.DataFrame) -> None:
    metrics = tables.metrics_in(frame.assign(a_new_metric=1.0, rate=frame["rate"]))
    assert metrics[-1] == "a_new_metric"
    assert list(metrics[:-1]) == [name for name in CATALOGUE if name in frame.columns]


def test_results_keep_every_cell_in_the_order_of_the_schema(frame: pd.DataFrame) -> None:
    results = tables.results(frame)
    columns = list(results.columns)
    assert columns[: len(schema.LEADING_COLUMNS)] == list(schema.LEADING_COLUMNS)
    assert columns[-len(schema.OTHER_COLUMNS) :] == list(schema.OTHER_COLUMNS)
    assert len(results) == len(frame)
    (failed,) = results[results["status"] == "failed"].to_dict("records")
    assert failed["reason"] == "diverged in epoch 2"
    assert math.isnan(failed["ssim"])


def test_arms_share_an_objective_within_one_loss_only() -> None:
    # beta_eff of mean is 39.2 beta, and 39.2 beta / 39.2 differs from beta by rounding.
    twin = 4.0 / 39.2
    frame = samples.cells(seeds=2, betas=(1.0, 4.0), claimed=[Arm("bce", reduction="mean", beta=twin)])
    frame = pd.concat([frame, samples.cells(("mse",), ("sum",), (39.2,), seeds=2)])
    shared = tables.shared_objectives(frame, Arm())
    assert shared == [["bce-sum-b4", f"bce-mean-b{twin:g}"], ["mse-mean-b1", "mse-sum-b39.2"]]
    table = arm_table(tables.arm_means(frame), [], shared)
    place = [column.title for column in table.columns].index("same objective as")
    same = {line[0].text: line[place].text for line in table.rows}
    assert (same["bce-sum-b4"], same[f"bce-mean-b{twin:g}"]) == (f"bce-mean-b{twin:g}", "bce-sum-b4")
    assert same["bce-mean-b1"] == "–"


def test_grid_tables_leave_out_what_claims_added(frame: pd.DataFrame) -> None:
    extra = samples.cells(("bce",), ("sum",), (1.0,), 4, claimed=[Arm("bce", beta=7)])
    table = layout.grid_table(tables.arm_means(extra), "rate")
    assert [column.title for column in table.columns] == ["loss", "reduction", "β = 1"]


# Further factors


def test_rows_at_the_base_are_those_of_the_study_without_the_other_arms() -> None:
    whole = samples.cells(("bce",), ("sum",), (1.0, 4.0), 2, further=samples.FURTHER)
    same = at_base(whole, Arm(latents=10, conditional=True))
    assert set(same["arm"]) == {"bce-sum-b1-latents10-conditional", "bce-sum-b4-latents10-conditional"}
    assert len(at_base(whole, Arm(), free="model.latents")) == 3 * len(at_base(whole, Arm())) == 12
    assert at_base(whole, Arm(latents=5)).empty
    absent = whole.assign(**{"training.clip_norm": [np.nan, 1.0] * 12})  # no value: the base's None
    assert len(at_base(absent, Arm())) == 2
    spread = samples.cells(("bce",), ("sum",), (1.0,), 2, claimed=[Arm("bce", posterior="log-std")])
    assert set(at_base(spread, Arm())["arm"]) == {"bce-sum-b1"}


def test_arms_that_differ_in_a_further_factor_have_not_the_same_objective() -> None:
    whole = samples.cells(("bce",), ("sum",), (1.0, 4.0), 2, further=samples.FURTHER)
    assert tables.shared_objectives(whole, Arm()) == []


def test_factors_are_settings_and_not_metrics() -> None:
    whole = samples.cells(("bce",), ("sum",), (1.0,), 2, further=samples.FURTHER)
    assert not set(samples.FURTHER) & set(tables.metrics_in(whole))
    columns = list(tables.results(whole).columns)
    assert columns[len(schema.LEADING_COLUMNS) :][:2] == list(samples.FURTHER)
    columns = list(tables.arm_means(whole).columns)
    assert columns[len(tables.ARM) :][:3] == [*samples.FURTHER, "metric"]


def test_the_caption_names_the_base_and_the_page_says_where_no_arm_has_it() -> None:
    whole = samples.cells(("bce",), ("sum",), (1.0,), 2, further=samples.FURTHER)
    usual = samples.cells(("bce",), ("sum",), (1.0,), 2)
    assert caption_clause(whole, Arm()) == " Other settings as in the study’s base: 20 latents, without labels."
    assert caption_clause(usual, Arm()) == without_base(usual, Arm()) == without_base(whole, Arm()) == ""
    claimed = samples.cells(("bce",), ("sum",), (1.0,), 2, claimed=[Arm("bce", latents=5)], further=samples.FURTHER)
    assert "of the study’s base (5 latents, without labels)" in without_base(claimed, Arm(latents=5))
    assert "of the study’s base (posterior log-std)" in without_base(usual, Arm(posterior="log-std"))


def families() -> pd.DataFrame:
    """Arms of two model families, with the options that one of them lacks: None where they do not apply."""
    arms = [Arm(hidden=(400,)), Arm(hidden=(200,)), Arm(family="conv", channels=(8, 16)), Arm(family="conv")]
    frame = samples.cells(("bce",), ("sum",), (1.0,), 1, claimed=arms[1:])
    for name in ("model.family", "model.hidden", "model.channels"):
        frame[name] = pd.Series([arm.get(name) for arm in arms], dtype=object)
    return frame


def test_an_option_that_a_family_lacks_is_not_named() -> None:
    assert base_in_words(families(), Arm()) == "family mlp, hidden 400"
    assert base_in_words(families(), Arm(family="conv")) == "family conv, channels 32, 64"
    assert values_varied(families(), Arm()) == [
        ("model family, varied", "mlp and conv (base: mlp)"),
        ("hidden, varied", "[400] and [200] (base: [400])"),
        ("channels, varied", "[8, 16] and [32, 64] (base: not an option of family mlp)"),
    ]


# The gate


@pytest.mark.parametrize("metric", sorted(m.name for m in CATALOGUE.values() if m.own_objective in samples.LOSSES))
def test_an_own_objective_never_ranks_losses(frame: pd.DataFrame, metric: str) -> None:
    owner = CATALOGUE[metric].own_objective
    means = tables.arm_means(frame.assign(**{metric: 1.0}))
    (title,) = [column for column in arm_table(means, [metric]).columns if column.refusal]
    assert title.refusal.startswith(f"{metric} is what the {owner} arms are trained on: they win it by construction")
    for rows in (means[means["loss"] == owner], means[means["loss"] != owner]):
        assert not any(column.refusal for column in arm_table(rows, [metric]).columns)


def test_a_fitted_scale_does_not_hide_whose_objective_it_is() -> None:
    assert refusal("psnr", ["gaussian-calibrated", "bce"]) == refusal("psnr", ["mse", "bce"]) != ""
    assert refusal("psnr", ["gaussian-calibrated", "mse"]) == ""


def test_the_arm_table_says_why_it_is_not_sorted_by_an_objective(means: pd.DataFrame) -> None:
    columns = {column.title: column for column in arm_table(means, ["bce", "ssim"]).columns}
    assert columns["BCE"].refusal == refusal("bce", samples.LOSSES) != ""
    assert columns["SSIM"].refusal == ""


def marked(table: Table, mark: str) -> set[tuple[int, int]]:
    return {(r, c) for r, line in enumerate(table.rows) for c, entry in enumerate(line) if entry.mark == mark}


def test_the_diagonal_and_only_the_diagonal_is_marked(frame: pd.DataFrame, means: pd.DataFrame) -> None:
    numbers = objectives.at_beta(means)
    assert len(numbers) == 9
    assert (numbers["own"] == (numbers["trained"] == numbers["evaluated"])).all()
    at_beta = objectives.table_at_beta(means)
    assert marked(at_beta, objectives.OWN) == {(0, 2), (1, 3), (2, 4)}  # name and rate come first
    at_rates = objectives.table_at_rates(*objectives.at_rates(frame))
    diagonal = {(0, 1), (1, 2), (2, 3)}
    values = np.array([[entry.value for entry in line[1:]] for line in at_rates.rows])
    won = {(int(row), column + 1) for column, row in enumerate(values.argmin(axis=0))} & diagonal
    assert marked(at_rates, objectives.WON) == won != set()
    assert marked(at_rates, objectives.OWN) == diagonal - won
    assert markdown(at_rates).count("(won by construction)") == len(won)


def test_loss_by_loss_at_equal_rate_is_read_off_the_curves() -> None:
    """Two losses, two betas, straight lines in ln beta: the value half-way in rate is the mean of the ends."""
    rows = samples.cells(("mse", "mae"), ("sum",), (1.0, 4.0), 3)
    for loss, (high, low) in {"mse": (20.0, 10.0), "mae": (30.0, 0.0)}.items():
        for beta, rate in ((1.0, high), (4.0, low)):
            at = (rows["loss"] == loss) & (rows["beta"] == beta)
            rows.loc[at, ["rate", "mse", "mae", "bce"]] = [rate, 100 - rate, 200 - rate, 1.0]
    matched, rates = objectives.at_rates(rows)
    assert rates == (12.5, 15.0, 17.5)  # of the rates of mse, all of which mae has too
    values = matched.set_index(["trained", "evaluated"])["mean"]
    assert values["mse", "mse"] == pytest.approx(85)
    assert values["mae", "mse"] == pytest.approx(85)
    assert values["mse", "mae"] == pytest.approx(185)
    assert (matched["n"] == 3).all()
    assert objectives.at_rates(rows[rows["loss"] == "mse"])[0].empty  # nothing to compare with
    apart = rows.assign(rate=rows["rate"].where(rows["loss"] == "mse", rows["rate"] + 100))
    assert objectives.at_rates(apart)[0].empty  # no rate in common


# Rounding


@given(NUMBERS, PLACES, st.booleans())
def test_a_written_number_is_the_number_to_its_place(value: float, places: int, signed: bool) -> None:
    text = rounding.number(value, places, signed=signed)
    assert "-" not in text
    read = float(text.replace("−", "-").replace(",", "").replace("+", ""))
    assert read == pytest.approx(value, abs=0.5 * 10**-places + 1e-9 * abs(value))
    assert not re.fullmatch(r"[−+]0(\.0*)?", text)


@given(st.lists(st.floats(1e-7, 1e6), min_size=1, max_size=9))
def test_the_wider_intervals_keep_two_figures(halves: list[float]) -> None:
    places = rounding.decimals(halves)
    width = float(np.quantile(halves, 0.75))
    assert 0 <= places <= 6
    if 1e-5 < width < 10:
        assert 9.5 <= round(width, places) * 10**places <= 100


def test_a_column_without_intervals_keeps_four_figures() -> None:
    assert rounding.decimals([math.nan, 0.0], [105.56, math.nan]) == 1
    assert rounding.decimals([], []) == 2


def test_each_column_of_a_table_has_one_number_of_decimals(means: pd.DataFrame) -> None:
    table = arm_table(means, ["ssim", "rate", "bce"])
    for at in range(3, 6):
        texts = [line[at].text for line in table.rows]
        assert len({len(number.split(".")[1]) for text in texts for number in text.split(" ± ")}) == 1


# As text

AWKWARD = Table(
    "50 % | <b>",
    (Column("a|b"), Column("c", "px", True)),
    ((Entry("x_1 & $5 <script>"), Entry("−1.5 ± 0.2", -1.5)), (Entry("a\nb | `c` *d*"), Entry("–"))),
    name="awkward",
)


def test_markdown_keeps_its_columns_whatever_is_written_in_them() -> None:
    lines = markdown(AWKWARD).splitlines()
    assert lines[0] == "50 % \\| &lt;b&gt;"
    bars = [len(re.findall(r"(?<!\\)\|", line)) for line in lines[2:]]
    assert bars == [3, 3, 3, 3]
    assert "<" not in markdown(AWKWARD)


def test_latex_is_booktabs_and_escapes_its_own_signs() -> None:
    text = latex(AWKWARD)
    assert [text.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [1, 1, 1]
    assert r"\label{tab:awkward}" in text
    assert r"x\_1 \& \$5 $<$script$>$ & $-$1.5 $\pm$ 0.2 \\" in text
    body = text.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
    assert all(len(re.findall(r"(?<!\\)&", line)) == 1 for line in body)
    assert text.isascii()


def test_csv_files_carry_full_precision(means: pd.DataFrame) -> None:
    numbers = tables.grid(means, "ssim")
    read = pd.read_csv(io.StringIO(numbers.to_csv(index=False)))
    pd.testing.assert_frame_equal(read, numbers, check_exact=True)


def test_an_unknown_metric_is_described_by_its_name() -> None:
    assert layout.described("brilliance").label == "brilliance"
    assert layout.titled("acutance") == "acutance (1/px)"

"""The table of arms: every setting and every metric, below what a model without latents and the originals read."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import pandas as pd

from reports.claims.comparability import refusal
from reports.numbers import MISSING, decimals, number, setting
from reports.page.base import further_factors, value_of
from reports.page.layout import Column, Entry, Part, Table, by_columns, described, intervals, shown_unit
from reports.page.standing import AT_FLOOR, Standing
from vae.factors import Factor

SETTINGS: Final = "settings"
ORIGIN: Final = "grid: an arm of the study’s grid; claims: added for claims"
BETA_EFF: Final = "weight of the KL term when both terms are summed"
_OF_AN_ARM: Final = ("arm", "β_eff", "n")  # columns before those of the metrics
_CAPTION: Final = "Every arm: mean ± 95 % interval over seeds."


def arm_table(
    means: pd.DataFrame,
    metrics: Sequence[str],
    shared: Iterable[Sequence[str]] = (),
    standing: Standing | None = None,
) -> Table:
    """All arms: setting, beta_eff, n, and each metric as mean ± 95 % interval over seeds.

    A metric that may not rank the arms (`reports.claims.comparability`), or that a histogram beats, carries the reason
    in its column. shared: the groups of arms that have one objective, as `tables.shared_objectives`. standing: what the
    first rows, the notes beside arms and the lines below numbers are made of.
    """
    arms = means.drop_duplicates("arm")
    seeds = means.groupby("arm")["n"].max()
    failing = {} if standing is None else standing.failing
    parts = [
        (Column("arm"), _named(arms, () if standing is None else standing.at_floor)),
        (Column("β_eff", numeric=True, about=BETA_EFF), [Entry(setting(b), b) for b in arms["beta_eff"]]),
        (Column("n", numeric=True, about="seeds"), [Entry(str(seeds[a]), float(seeds[a])) for a in arms["arm"]]),
        *(_metric_column(means, metric, arms, failing.get(metric, ""), standing) for metric in metrics),
        *_setting_columns(arms, shared),
    ]
    rows = {} if standing is None or arms.empty else standing.rows
    rows = {name: values for name, values in rows.items() if any(metric in values for metric in metrics)}
    if not rows:
        return by_columns(_CAPTION, parts, name="arms")
    at = {len(_OF_AN_ARM) + i: metric for i, metric in enumerate(metrics)}
    below = [(column, [*_references(rows, at.get(i), i == 0, own), *own]) for i, (column, own) in enumerate(parts)]
    return by_columns(_CAPTION, below, name="arms", fixed=len(rows))


def _named(arms: pd.DataFrame, carry_nothing: Collection[str]) -> list[Entry]:
    pairs = zip(arms["arm"], arms["loss"])
    return [Entry(arm, mark=loss, note=AT_FLOOR if arm in carry_nothing else "") for arm, loss in pairs]


def _references(
    rows: Mapping[str, Mapping[str, float]], metric: str | None, first: bool, below: Sequence[Entry]
) -> list[Entry]:
    """The entries of one column in the rows of the references. below: those of the arms, for the number of decimals."""
    if first:
        return [Entry(name) for name in rows]
    if metric is None:
        return [Entry(MISSING)] * len(rows)
    places = max((len(entry.text.split(" ")[0].partition(".")[2]) for entry in below), default=2)
    values = [row.get(metric, math.nan) for row in rows.values()]
    return [Entry(number(value, places), value) for value in values]


def _setting_columns(arms: pd.DataFrame, shared: Iterable[Sequence[str]]) -> list[Part]:
    """Every setting of the arms, one per column, and the arms that share their objective."""
    twins = {arm: ", ".join(other for other in group if other != arm) for group in shared for arm in group}
    about = "equal loss and β_eff: the same objective up to a global scale"
    return [
        (Column("loss", group=SETTINGS), [Entry(loss) for loss in arms["loss"]]),
        (Column("reduction", group=SETTINGS), [Entry(reduction) for reduction in arms["reduction"]]),
        (Column("β", numeric=True, group=SETTINGS), [Entry(setting(b), b) for b in arms["beta"]]),
        (Column("posterior", group=SETTINGS), [Entry(posterior) for posterior in arms["posterior"]]),
        *(_factor_column(factor, arms) for factor in further_factors(arms)),
        (Column("origin", group=SETTINGS, about=ORIGIN), [Entry(origin) for origin in arms["origin"]]),
        (Column("same objective as", group=SETTINGS, about=about), [Entry(twins.get(a, MISSING)) for a in arms["arm"]]),
    ]


def _factor_column(factor: Factor, arms: pd.DataFrame) -> Part:
    values = [value_of(entry) for entry in arms[factor.name]]
    numbers = [float(v) if isinstance(v, int | float) and not isinstance(v, bool) else None for v in values]
    entries = [Entry(factor.text(value) or MISSING, number) for value, number in zip(values, numbers)]
    return Column(factor.title, numeric=None not in numbers, group=SETTINGS), entries


def _metric_column(
    means: pd.DataFrame, metric: str, arms: pd.DataFrame, failing: str, standing: Standing | None
) -> Part:
    names = arms["arm"].tolist()
    rows = means[means["metric"] == metric].set_index("arm").reindex(names)
    entry = described(metric)
    group = f"headline {entry.where}" if entry.headline else entry.where
    entries = intervals(rows, decimals(rows["half"], rows["mean"]))
    if standing is not None:
        entries = [replace(shown, share=_line(standing.share(arm, metric))) for shown, arm in zip(entries, names)]
    refused = refusal(metric, set(arms["loss"])) or failing
    return Column(entry.label, shown_unit(metric), True, refused, group, entry.about), entries


def _line(share: float | None) -> float | None:
    """A share as a line can show it: between 0 and 1."""
    return None if share is None else min(max(share, 0.0), 1.0)


def narrowed(table: Table) -> Table:
    """The table with the columns that always stay and those of the headline metrics."""
    kept = [i for i, column in enumerate(table.columns) if not column.group or "headline" in column.group.split()]
    rows = tuple(tuple(row[i] for i in kept) for row in table.rows)
    return Table(table.caption, tuple(table.columns[i] for i in kept), rows, table.name, table.fixed)

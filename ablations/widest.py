"""Which cells a report of a study covers: all that were ever asked for with the settings of its latest run.

A run over a part of a study (`--only`, `--seeds`) is an invocation like any other, and the latest. Its report is that
of the whole all the same: of the earlier invocation that asked for these cells and more, under the same claims and
measures, and of the seeds that others asked for of the same grid. A sentence says what was asked last.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from ablations.registration import settings_hash
from ablations.study import checked
from ablations.whole import needed, plan_table
from reports.numbers import counted, which_seeds
from tracking import reader, schema
from tracking.reader import StudyInfo
from tracking.store import Store
from vae import toml
from vae.errors import UserError

ASKED: Final = "asked-last"  # among the artifacts of what is returned: a sentence, where the latest run was of a part
_SAME: Final = ("claims_hash", "data_digest", "measures", "results_version")  # params of invocations that add up
Rows = list[dict[str, Any]]


def study_info(store: Store, study: str, files: Sequence[str]) -> StudyInfo:
    """The invocation to report: the latest, or an earlier one of which it was a part; its plan with all seeds.

    Raises what `tracking.reader.study_info` raises.
    """
    latest = reader.study_info(store, study, files)
    needed(latest, schema.PLAN_FILE, plan_table)
    asked = _rows(latest)
    whole, rows = latest, asked
    others = list(_alike(store, latest, files))
    for info in others:
        if _keys(rows) < _keys(_rows(info)):
            whole, rows = info, _rows(info)
    rows = _with_seeds(rows, whole, [latest, *others])
    if _keys(rows) == _keys(asked):
        return latest
    artifacts = dict(whole.artifacts) | {schema.PLAN_FILE: json.dumps(rows, indent=0), ASKED: _sentence(asked, rows)}
    return replace(whole, artifacts=artifacts)


def _alike(store: Store, latest: StudyInfo, files: Sequence[str]) -> Iterator[StudyInfo]:
    """Earlier invocations under the same claims and measures, of other cells, newest first; no damaged ones."""
    for info in reader.invocations(store, latest.study, files, lambda params: _may_add(params, latest.params)):
        if info.run_id != latest.run_id:
            try:
                needed(info, schema.PLAN_FILE, plan_table)
                needed(info, schema.STUDY_FILE, toml.parsed)
            except UserError:
                continue
            yield info


def _may_add(params: Mapping[str, str], latest: Mapping[str, str]) -> bool:
    same = all(params.get(name) == latest.get(name) for name in _SAME)
    return same and any(params.get(name) != latest.get(name) for name in ("arms", "seeds", schema.CELLS, "varied"))


def _with_seeds(rows: Rows, whole: StudyInfo, others: Sequence[StudyInfo]) -> Rows:
    """With the cells that invocations of the same grid asked for, of other seeds."""
    settings = _settings(whole)
    merged = {row["key"]: row for row in rows}
    for info in others:
        if info.run_id != whole.run_id and _settings(info) == settings:
            merged = {row["key"]: row for row in _rows(info)} | merged
    return sorted(merged.values(), key=lambda row: row["seed"])


def _settings(info: StudyInfo) -> str:
    table = toml.parsed(info.artifacts[schema.STUDY_FILE])
    return settings_hash(checked(table, f"{info.study} as it was run", recorded=True))


def _rows(info: StudyInfo) -> Rows:
    rows: Rows = json.loads(info.artifacts[schema.PLAN_FILE])
    return rows


def _keys(rows: Rows) -> frozenset[str]:
    return frozenset(row["key"] for row in rows)


def _sentence(asked: Rows, rows: Rows) -> str:
    arms, whole = ({row["arm"] for row in part} for part in (asked, rows))
    of_arms = "all arms" if arms == whole else counted(len(arms), "arm")
    return (
        f"The latest run asked for {len(asked)} of these {counted(len(rows), 'cell')}: {of_arms}, "
        f"{which_seeds({row['seed'] for row in asked})}. This report is of the whole study."
    )

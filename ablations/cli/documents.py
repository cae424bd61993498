"""What `--json` prints: the content of a command's text as plain values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ablations.driver import Outcome
    from ablations.plan import Plan
    from ablations.reporting import Written
    from tracking.overview import StudyProgress
    from tracking.sums import Damage


def plan(plan: Plan) -> dict[str, Any]:
    """The study, its cells by state, and its arms."""
    from reports.claims.load import claims_hash

    done, total = (Counter(cell.arm for cell in cells) for cells in (plan.done, plan.cells))
    label = {cell.arm: cell.arm_label for cell in plan.cells}
    origin = {cell.arm: cell.origin for cell in plan.cells}
    twins = {arm: [label[other] for other in group if other != arm] for group in plan.same_objective() for arm in group}
    return {
        "study": plan.study.name,
        "dataset": plan.images.name,
        "data_digest": plan.images.digest,
        "seeds": list(plan.study.seeds),
        "claims": [claim.id for claim in plan.claims],
        "claims_hash": claims_hash(plan.claims),
        "cells": len(plan.cells),
        "done": len(plan.done),
        "to_measure": len(plan.to_measure),
        "to_train": len(plan.to_train),
        "arms": [
            {
                "arm": label[arm],
                "beta_eff": plan.beta_eff(arm),
                "same_objective": twins.get(arm, []),
                "origin": origin[arm],
                "cells": total[arm],
                "done": done[arm],
            }
            for arm in plan.arms
        ],
    }


def run(plan: Plan, outcome: Outcome, written: Written | None, store: str) -> dict[str, Any]:
    """How a run ended. cells: of the study; done, remeasured, failed: of this run."""
    return {
        "study": plan.study.name,
        "cells": len(plan.cells),
        "done_before": len(plan.done),
        "done": outcome.done,
        "remeasured": outcome.remeasured,
        "failed": outcome.failed,
        "interrupted": outcome.interrupted,
        "tracker_gone": outcome.gone,
        "waiting_in_spool": outcome.unsent,
        "seconds": {"total": outcome.total, **outcome.seconds},
        "exit_code": outcome.exit_code,
        "tracking_uri": store,
        "report": None if written is None else report(written),
    }


def report(written: Written) -> dict[str, Any]:
    """Where a report lies, whether it was written anew, and its verdicts; their numbers are in its verdicts.json."""
    from ablations.answers import answer

    return {
        "page": str(written.page),
        "anew": written.anew,
        "verdicts": [
            {"claim": one.claim.id, "verdict": one.verdict, "answer": answer(one), "sentence": one.sentence}
            for one in written.verdicts
        ],
    }


def status(studies: Sequence[StudyProgress], store: str, damage: Sequence[Damage] | None) -> dict[str, Any]:
    """The studies of a store, newest first. damage: None where it was not looked for."""
    return {
        "tracking_uri": store,
        "damage": None if damage is None else [part.sentence for part in damage],
        "studies": [
            {
                "study": one.study,
                "run_id": one.run_id,
                "started": one.started.isoformat(timespec="seconds"),
                "state": one.status,
                "cells": one.cells,
                "done": one.done,
                "failed": one.failed,
            }
            for one in studies
        ],
    }

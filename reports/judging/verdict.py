"""The verdict as a record, and the schema of `verdicts.json`.

A `Verdict` is the whole answer to one claim at one place of comparison. It is data: the page draws it, the tables
print it, and every number in the prose is one of its fields. `reports.judging.judge` makes it.

`verdicts.json` is `{"schema": 1, "alpha": ..., "study": ..., "dataset": ..., "claims_hash": ..., "notes": [...],
"verdicts": [...]}`: notes are the sentences that a reader must see first. Each entry of `verdicts` has exactly the keys
of `SCHEMA`, and so has each entry of its `legs`. NaN and infinity never appear: they are null.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any, Final

SUPPORTED: Final = "supported"
REFUTED: Final = "refuted"
INCONCLUSIVE: Final = "inconclusive"
INSUFFICIENT: Final = "insufficient data"
WORDS: Final = (SUPPORTED, REFUTED, INCONCLUSIVE, INSUFFICIENT)

NOMINAL: Final = "nominal"  # at the settings that the selectors name
MATCHED: Final = "matched-rate"  # at equal rate, interpolated
COMPUTED: Final = "computed"  # by code at report time: no cell is read
OVERALL: Final = "overall"  # all places of a claim together: each must hold
PLACES: Final = (NOMINAL, MATCHED, COMPUTED, OVERALL)

SCHEMA_VERSION: Final = 1
SCHEMA: Final[Mapping[str, str]] = MappingProxyType(
    {
        "claim": "object: id, quote (the words judged), kind, expect (what theory expects; may be empty)",
        "place": f"string: one of {', '.join(PLACES)}",
        "label": "string: the comparison; of a conjunction, the one that decided it",
        "verdict": f"string: one of {', '.join(WORDS)}",
        "sentence": "string: the verdict in plain words",
        "reason": "string: why the data do not suffice or the tests disagree; empty otherwise",
        "kind": "string: kind of the comparison (a leg may differ from its claim)",
        "counted": "boolean: false for a comparison that is shown beside the claim but does not decide it",
        "arms": "list of strings: labels of the arms compared, first minus second",
        "metric": "string: catalogue name; empty for facts and identities",
        "unit": "string: unit of effect, interval, sd and margin",
        "effect": "number or null: mean over seeds of the paired difference (or slope, or excess over the reference)",
        "ci_low": "number or null: lower end of the 95 % paired-t interval of effect",
        "ci_high": "number or null: upper end",
        "sd": "number or null: standard deviation of the differences over seeds",
        "d_z": "number or null: effect / sd; null where the seeds do not differ",
        "levels": "object: arm -> mean of the metric over the seeds used; of a check, what it measured, by name",
        "reference": "number or null: the value a single arm is compared with",
        "margin": "number or null: least difference that matters, metric units",
        "margin_reason": "string: why this margin",
        "region": "list of two, or null: the open interval that the claim says the effect lies in; null = unbounded",
        "n": "integer: seeds used",
        "p_in": "number or null: p of 'the mean lies outside the region'; small supports the claim",
        "p_out": "number or null: p of 'the mean lies inside the region'; small refutes it",
        "p_in_adj": "number or null: p_in, Holm-adjusted over all claims and places",
        "p_out_adj": "number or null: p_out times the comparisons that could refute the claim there, then likewise",
        "p_exact": "number or null: exact sign-flip p in the direction in which the effect points",
        "p_exact_in": "number or null: exact sign-flip counterpart of p_in, not adjusted",
        "p_exact_out": "number or null: exact sign-flip counterpart of p_out, not adjusted",
        "alpha": "number: level of the tests",
        "seeds_to_settle": "integer or null: seeds for 80 % power at this effect and sd; null if settled or too many",
        "per_seed": "object: seed -> difference (seeds as strings in JSON)",
        "rates": "list of numbers: rates, nats, at which a matched-rate comparison was made",
        "sensitivity": "object or null: alpha, margin, leave_one_out: each an object setting -> verdict; and stable",
        "legs": "list: the comparisons of a conjunction, or the places of 'overall', each with this schema",
        "evidence": "list of strings: notes a reader must see beside the verdict",
        "counts": "list of objects: arm, done, failed, missing, unmeasured (cells per condition), reasons",
    }
)


_PREFACE: Final = f"""# verdicts.json

Every report has a `verdicts.json`: all that it says of the claims, for programs. UTF-8; NaN and infinity never appear,
they are null. The object at the top:

| key | type | meaning |
|---|---|---|
| `schema` | integer | version of this description; this is {SCHEMA_VERSION} |
| `alpha` | number | level of the tests |
| `study` | string | name of the study |
| `dataset` | string | name of the data set |
| `claims_hash` | string | names the claims by content; logged with the study before it ran |
| `notes` | list of strings | what a reader must know first, such as seeds added after an earlier report |
| `verdicts` | list of objects | each claim at each place; of a claim with several, `overall` first |

A verdict, and each of its `legs` likewise:
"""


@dataclass(frozen=True)
class ClaimRef:
    """What a verdict is about: the claim's id, the words quoted, its kind and what theory expects."""

    id: str
    quote: str
    kind: str
    expect: str = ""


@dataclass(frozen=True)
class Count:
    """Cells of one condition: how many seeds are done, failed, missing, or done without the metric."""

    arm: str
    done: int
    failed: int = 0
    missing: int = 0
    unmeasured: int = 0
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sensitivity:
    """The verdict's word under other settings: setting (as text) -> word.

    alpha: "0.01", "0.05", "0.10". margin: "0.5", "1", "2", times the margin. leave_one_out: the seed left out.
    """

    alpha: Mapping[str, str] = field(default_factory=dict)
    margin: Mapping[str, str] = field(default_factory=dict)
    leave_one_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def stable(self) -> bool:
        """Whether every setting that leaves enough seeds to decide gives one and the same verdict."""
        words = {*self.alpha.values(), *self.margin.values(), *self.leave_one_out.values()}
        return len(words - {INSUFFICIENT}) <= 1


@dataclass(frozen=True)
class Verdict:
    """One claim at one place, judged. The meaning of each field stands in `SCHEMA`.

    >>> v = Verdict(ClaimRef("a", "A is larger", "greater"), NOMINAL, "a - b", INSUFFICIENT, "No data.")
    >>> sorted(v.to_dict()) == sorted(SCHEMA)
    True
    """

    claim: ClaimRef
    place: str
    label: str
    verdict: str
    sentence: str
    reason: str = ""
    kind: str = ""
    counted: bool = True
    arms: tuple[str, ...] = ()
    metric: str = ""
    unit: str = ""
    effect: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    sd: float | None = None
    d_z: float | None = None
    levels: Mapping[str, float] = field(default_factory=dict)
    reference: float | None = None
    margin: float | None = None
    margin_reason: str = ""
    region: tuple[float | None, float | None] | None = None
    n: int = 0
    p_in: float | None = None
    p_out: float | None = None
    p_in_adj: float | None = None
    p_out_adj: float | None = None
    p_exact_in: float | None = None
    p_exact_out: float | None = None
    alpha: float = 0.05
    seeds_to_settle: int | None = None
    per_seed: Mapping[int, float] = field(default_factory=dict)
    rates: tuple[float, ...] = ()
    sensitivity: Sensitivity | None = None
    legs: tuple[Verdict, ...] = ()
    evidence: tuple[str, ...] = ()
    counts: tuple[Count, ...] = ()

    @property
    def p_exact(self) -> float | None:
        """Exact sign-flip p in the direction in which the effect points: the smaller of the two."""
        known = [p for p in (self.p_exact_in, self.p_exact_out) if p is not None]
        return min(known) if known else None

    @property
    def failed(self) -> int:
        """Failed cells over all conditions of this comparison."""
        return sum(count.failed for count in self.counts)

    def to_dict(self) -> dict[str, Any]:
        """This verdict as JSON-ready values, with exactly the keys of `SCHEMA`."""
        raw: dict[str, Any] = {name: getattr(self, name) for name in SCHEMA if name != "legs"}
        raw["claim"] = asdict(self.claim)
        raw["counts"] = [asdict(count) for count in self.counts]
        if self.sensitivity is not None:
            raw["sensitivity"] = asdict(self.sensitivity) | {"stable": self.sensitivity.stable}
        return {**_plain(raw), "legs": [leg.to_dict() for leg in self.legs]}


def documentation() -> str:
    """`docs/verdicts.md`, made from `SCHEMA` itself. `python -m reports.judging.verdict` prints it.

    >>> "| `margin` | number or null | least difference that matters, metric units |" in documentation()
    True
    """
    rows = [
        f"| `{key}` | {kind} | {said} |" for key, (kind, _, said) in ((k, v.partition(": ")) for k, v in SCHEMA.items())
    ]
    return "\n".join((_PREFACE, "| key | type | meaning |", "|---|---|---|", *rows, ""))


def _plain(value: Any) -> Any:
    """JSON's own types: string keys, lists, and null for what is no finite number."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


if __name__ == "__main__":
    print(documentation(), end="")

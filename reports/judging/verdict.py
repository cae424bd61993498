"""The verdict as a record, and `verdicts.json`, whose schema is made from the record's fields.

A `Verdict` is the whole answer to one claim at one place of comparison: every number in the prose is one of its fields.
`reports.judging.judge` makes it. The type and the meaning of each field make `SCHEMA` and docs/verdicts.md. Verdicts
become mappings in one place only, `document`: the content of `verdicts.json`, where NaN and infinity are null.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from types import MappingProxyType, NoneType, UnionType
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

from reports.claims.places import PLACES
from reports.numbers import counted

SUPPORTED: Final = "supported"
REFUTED: Final = "refuted"
INCONCLUSIVE: Final = "inconclusive"
INSUFFICIENT: Final = "insufficient"
DEPENDS: Final = "depends on the reading"
WORDS: Final = (SUPPORTED, REFUTED, DEPENDS, INCONCLUSIVE, INSUFFICIENT)

# What a refutation shows.
OPPOSITE: Final = "the opposite"
NO_DIFFERENCE: Final = "no difference that matters"
EITHER: Final = "the opposite, or no difference that matters"
A_DIFFERENCE: Final = "a difference that matters"
DIRECTIONS: Final = (OPPOSITE, NO_DIFFERENCE, EITHER, A_DIFFERENCE)

SCHEMA_VERSION: Final = 2
Number = float | None


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


SEEDS_ALONE: Final = "seeds alone"
ALL_LUCK: Final = "seeds, images and classifiers"
LEFT_OUT: Final = "left out"
AS_WORST: Final = "as the worst value seen"


@dataclass(frozen=True)
class Sensitivity:
    """The verdict's word under other settings: setting (as text) -> word.

    alpha: "0.01", "0.05", "0.10". margin: "0.5", "1", "2", times the margin. leave_one_out: the seed left out.
    luck: `SEEDS_ALONE`, or `ALL_LUCK` where test images and classifiers vary too. epochs: epochs trained, as text; the
    earlier points are measured on the same test images. failed: failed cells left out, or as the worst value seen.
    stable: whether every setting that leaves enough seeds to decide gives one and the same verdict.
    """

    alpha: Mapping[str, str] = field(default_factory=dict)
    margin: Mapping[str, str] = field(default_factory=dict)
    leave_one_out: Mapping[str, str] = field(default_factory=dict)
    luck: Mapping[str, str] = field(default_factory=dict)
    epochs: Mapping[str, str] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)
    stable: bool = field(init=False)

    def __post_init__(self) -> None:
        words = {word for _, settings in self.settings for word in settings.values()}
        object.__setattr__(self, "stable", len(words - {INSUFFICIENT}) <= 1)

    @property
    def settings(self) -> tuple[tuple[str, Mapping[str, str]], ...]:
        """Each kind of setting, by its name here, with its words."""
        return tuple((one.name, getattr(self, one.name)) for one in fields(self) if one.init)


@dataclass(frozen=True)
class AtEpoch:
    """The effect of a comparison at one point of training, on the same test images. share: of all epochs."""

    share: float
    epochs: int | None
    effect: float | None
    ci_low: float | None
    ci_high: float | None
    n: int


@dataclass(frozen=True)
class Verdict:
    """One claim at one place, judged.

    >>> v = Verdict(ClaimRef("a", "A is larger", "greater"), "nominal", "a - b", INSUFFICIENT, "No data.")
    >>> list(v.to_dict()) == list(SCHEMA)
    True
    """

    claim: Annotated[ClaimRef, "id, quote (the words judged), kind, expect (what theory expects; may be empty)"]
    place: Annotated[str, f"one of {', '.join(PLACES)}"]
    label: Annotated[str, "the comparison; of a conjunction, the one that decided it"]
    verdict: Annotated[str, f"one of {', '.join(WORDS)}"]
    sentence: Annotated[str, "the verdict in plain words"]
    reading: Annotated[str, "the reading of the sentence that this judges; empty where the claim has one reading"] = ""
    word: Annotated[str, "the verdict as it is shown: with 'after N epochs' where the arms still change"] = field(
        init=False, default=""
    )
    direction: Annotated[str, f"of a refutation, what it shows: {', '.join(DIRECTIONS)}; else empty"] = ""
    reason: Annotated[str, "why the data do not suffice or the tests disagree; empty otherwise"] = ""
    kind: Annotated[str, "kind of the comparison (a leg may differ from its claim)"] = ""
    counted: Annotated[bool, "false for a comparison that is shown beside the claim but does not decide it"] = True
    arms: Annotated[tuple[str, ...], "labels of the arms compared, first minus second"] = ()
    metric: Annotated[str, "catalogue name; empty for facts and identities"] = ""
    unit: Annotated[str, "unit of effect, interval, sd and margin"] = ""
    effect: Annotated[Number, "mean over seeds of the paired difference (or slope, or excess over the reference)"] = (
        None
    )
    ci_low: Annotated[
        Number, "lower end of the 95 % interval of effect that decides: over seeds, test images and classifiers"
    ] = None
    ci_high: Annotated[Number, "upper end"] = None
    narrow_low: Annotated[Number, "lower end of the 95 % paired-t interval over seeds alone: for these images"] = None
    narrow_high: Annotated[Number, "upper end"] = None
    luck: Annotated[
        Mapping[str, float], "share of the variance of effect that comes from seeds, images and classifiers"
    ] = field(default_factory=dict)
    images: Annotated[int | None, "test images whose values are in the interval; null: the seeds alone are"] = None
    sd: Annotated[Number, "standard deviation of the differences over seeds"] = None
    d_z: Annotated[Number, "effect / sd; null where the seeds do not differ"] = None
    levels: Annotated[
        Mapping[str, float],
        "arm -> mean of the metric over the seeds used; of a check, what it measured, by name",
    ] = field(default_factory=dict)
    reference: Annotated[Number, "the value a single arm is compared with"] = None
    floor: Annotated[Number, "value of the metric of a model without latents"] = None
    ceiling: Annotated[Number, "value of the metric of the original images"] = None
    standing: Annotated[
        Mapping[str, float], "arm -> where it stands by this metric: 0 at the floor, 1 at the ceiling"
    ] = field(default_factory=dict)
    at_floor: Annotated[tuple[str, ...], "arms that carry nothing: no better than a model without latents"] = ()
    won_by: Annotated[str, "the arm that wins this metric by construction; empty where none does"] = ""
    margin: Annotated[Number, "least difference that matters, metric units"] = None
    margin_reason: Annotated[str, "why this margin"] = ""
    region: Annotated[
        tuple[Number, Number] | None,
        "the open interval that the claim says the effect lies in; null = unbounded",
    ] = None
    n: Annotated[int, "seeds used"] = 0
    p_in: Annotated[Number, "p of 'the mean lies outside the region'; small supports the claim"] = None
    p_out: Annotated[Number, "p of 'the mean lies inside the region'; small refutes it"] = None
    p_in_adj: Annotated[Number, "p_in, Holm-adjusted over all claims, readings and places"] = None
    p_out_adj: Annotated[Number, "p_out times the comparisons that could refute the claim there, then likewise"] = None
    p_exact: Annotated[Number, "exact sign-flip p in the direction in which the effect points"] = field(
        init=False, default=None
    )
    p_rank_in: Annotated[
        Number, "exact signed-rank counterpart of p_in, needed where the study's differences are not normal"
    ] = None
    p_rank_out: Annotated[Number, "exact signed-rank counterpart of p_out"] = None
    p_exact_in: Annotated[Number, "exact sign-flip counterpart of p_in, not adjusted"] = None
    p_exact_out: Annotated[Number, "exact sign-flip counterpart of p_out, not adjusted"] = None
    alpha: Annotated[float, "level of the tests; divided by the square of the number of looks"] = 0.05
    looks: Annotated[int, "how many reports of this study were made with other seeds, this one included"] = 1
    epochs: Annotated[int | None, "epochs that the arms were trained for; null where they differ"] = None
    settled: Annotated[
        bool | None,
        "whether, over the last part of training, effect and arms moved by no more than the margin, and as much again "
        "would not take the effect across it; null: not measured",
    ] = None
    moved: Annotated[Number, "how far the effect moved over the last part of training, on the same images"] = None
    arms_moved: Annotated[Number, "how far that arm's metric moved which moved most"] = None
    by_epochs: Annotated[
        tuple[AtEpoch, ...], "share of training, epochs, effect, ci_low, ci_high, n at each point of training"
    ] = ()
    seeds_to_settle: Annotated[
        int | None, "seeds for 80 % power at this effect and sd; null if settled or too many"
    ] = None
    per_seed: Annotated[Mapping[int, float], "seed -> difference (seeds as strings in JSON)"] = field(
        default_factory=dict
    )
    rates: Annotated[tuple[float, ...], "rates, nats, at which a matched-rate comparison was made"] = ()
    sensitivity: Annotated[
        Sensitivity | None,
        "alpha, margin, leave_one_out, luck, epochs, failed: each an object setting -> verdict; and stable",
    ] = None
    evidence: Annotated[tuple[str, ...], "notes a reader must see beside the verdict"] = ()
    counts: Annotated[tuple[Count, ...], "arm, done, failed, missing, unmeasured (cells per condition), reasons"] = ()
    shared: Annotated[
        tuple[str, ...],
        "what the arms of a seed have in common, by their logged hashes: initial weights, batch order, noise",
    ] = ()
    legs: Annotated[
        tuple[Verdict, ...], "the comparisons of a conjunction, or the places of 'overall', each with this schema"
    ] = ()

    def __post_init__(self) -> None:
        known = [p for p in (self.p_exact_in, self.p_exact_out) if p is not None]
        object.__setattr__(self, "p_exact", min(known, default=None))
        object.__setattr__(self, "word", f"{self.verdict}{self.qualifier}")

    @property
    def qualifier(self) -> str:
        """What a decided verdict of arms that still change carries behind its word."""
        if self.settled is not False or self.verdict not in (SUPPORTED, REFUTED, DEPENDS):
            return ""
        return f" after {counted(self.epochs, 'epoch')}" if self.epochs else " after the epochs trained"

    @property
    def failed(self) -> int:
        """Failed cells over all conditions of this comparison."""
        return sum(count.failed for count in self.counts)

    def to_dict(self) -> dict[str, Any]:
        """This verdict as JSON-ready values, with exactly the keys of `SCHEMA`."""
        return _record(self)


@dataclass(frozen=True)
class _Document:
    """`verdicts.json`."""

    schema: Annotated[int, f"version of this description; this is {SCHEMA_VERSION}"]
    alpha: Annotated[float, "level of the tests"]
    study: Annotated[str, "name of the study"]
    dataset: Annotated[str, "name of the data set"]
    claims_hash: Annotated[str, "names the claims by content; logged with the study before it ran"]
    registered: Annotated[str, "where and when that hash was registered outside the suite; empty if it was not"]
    normality: Annotated[str, "what the test of normality over all comparisons says, in a sentence"]
    notes: Annotated[tuple[str, ...], "what a reader must know first, such as seeds added after an earlier report"]
    verdicts: Annotated[tuple[Verdict, ...], "each claim at each place; of a claim with several, `overall` first"]


def document(
    verdicts: Sequence[Verdict],
    *,
    study: str,
    dataset: str,
    claims_hash: str,
    notes: Sequence[str],
    alpha: float,
    registered: str = "",
    normality: str = "",
) -> dict[str, Any]:
    """The content of `verdicts.json`, as JSON-ready values. alpha: the level that the verdicts were judged at."""
    whole = (SCHEMA_VERSION, alpha, study, dataset, claims_hash, registered, normality, tuple(notes), tuple(verdicts))
    return _record(_Document(*whole))


def _record(value: Any) -> dict[str, Any]:
    return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}


def _plain(value: Any) -> Any:
    """JSON's own types: string keys, lists, and null for what is no finite number."""
    if is_dataclass(value):
        return _record(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _schema(record: type) -> Mapping[str, str]:
    """Key -> "type: meaning", in the order of the record's fields."""
    hints = get_type_hints(record, include_extras=True)
    return MappingProxyType({name: f"{_json_type(hint)}: {hint.__metadata__[0]}" for name, hint in hints.items()})


def _json_type(hint: Any) -> str:
    """The name in JSON of a type.

    >>> _json_type(float | None), _json_type(tuple[str, ...]), _json_type(Mapping[int, float])
    ('number or null', 'list of strings', 'object')
    """
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _json_type(parts[0])
    if origin is UnionType:
        return " or ".join(_json_type(part) for part in parts)
    if origin is tuple:
        return f"list of {_json_type(parts[0])}s" if parts[-1] is Ellipsis else "list of two"
    names = {str: "string", bool: "boolean", int: "integer", float: "number", NoneType: "null"}
    return names.get(hint, "object")


SCHEMA: Final = _schema(Verdict)

_PREFACE: Final = """# verdicts.json

Every report has a `verdicts.json`: all that it says of the claims, for programs. UTF-8; NaN and infinity never appear,
they are null. The object at the top:
"""


def documentation() -> str:
    """`docs/verdicts.md`, made from the types. `python -m reports.judging.verdict` prints it.

    >>> "| `margin` | number or null | least difference that matters, metric units |" in documentation()
    True
    """
    legs = "\nA verdict, and each of its `legs` likewise:\n"
    return "\n".join((_PREFACE, *_table(_schema(_Document)), legs, *_table(SCHEMA), ""))


def _table(schema: Mapping[str, str]) -> list[str]:
    rows = [f"| `{key}` | {text.replace(': ', ' | ', 1)} |" for key, text in schema.items()]
    return ["| key | type | meaning |", "|---|---|---|", *rows]


if __name__ == "__main__":
    print(documentation(), end="")

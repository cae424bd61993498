"""The reference page of claims files, made from what checks them: ``python -m reports.claims.documentation`` prints it.

A key that has no meaning here, and a meaning without a key, are a KeyError, which a test finds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from reports.claims.check_names import CHECK_NAMES
from reports.claims.kinds import KINDS, Kind
from reports.claims.load import KEYS
from reports.claims.margins import RANGES
from reports.claims.model import BETAS, RATES
from reports.claims.places import CLAIM_PLACES
from reports.claims.predictions import PREDICTIONS

_PREFACE: Final = """# Claims files

A claims file is TOML. It says which sentences are judged: on which arms, by which metric, and by how much they must
differ. A study names it: `claims = ["mine.toml"]`. A typing mistake is refused, and the error names the nearest key.
How to write one: [Your own claim](../how-to/own-claim.md). The bundled ones are `notes`, `ppca` and `anchor`; `notes`,
in `reports/claims/notes.toml`, shows nearly every form.
"""
_TABLES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "": "The file",
        "claim": "`[[claim]]`",
        "leg": "`[[claim.leg]]`",
        "says": "`says = { ... }`",
        "margins": "`[margins.METRIC]`",
        "matched_rate": "`[matched_rate]`",
        "registration": "`[registration]`",
    }
)
_ABOUT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "claim": "A sentence. One comparison stands in the claim itself; several stand in legs, and all must hold. "
        "Every key of a leg but `label`, `reading` and `counted` may then stand here.",
        "leg": "One comparison of a claim that has several.",
        "says": "Clauses that open the sentence of a verdict, where the numbers alone would not say it.",
        "margins": "The least difference that matters, once for each metric. A claim's own margin goes before it.",
        "matched_rate": "Where arms are compared at equal rate. A claim's own values go before these.",
        "registration": "Where the hash of the claims was registered outside this suite, before the run.",
    }
)
_MARGIN: Final[Mapping[str, str]] = MappingProxyType(
    {
        "margin": "least difference that matters, in the metric's units",
        "share": "the same as a share of a range of the data set, above 0 and at most 1; in place of `margin`",
        "of": f"the range that `share` is of: {', '.join(map(repr, RANGES))}",
        "reason": "why this margin; printed with every verdict",
    }
)
_RATES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "rates": f"rates in nats at which curves are compared; {list(RATES)} if neither these nor `shares` are given",
        "shares": "the same as shares of the rates that all curves reach, between 0 and 1; in place of `rates`",
        "betas": f"betas that are trained where a curve has fewer than two of its own; {list(BETAS)} if left out",
    }
)
_LEG: Final[Mapping[str, str]] = MappingProxyType(
    {
        "kind": f"one of {', '.join(f'`{kind}`' for kind in KINDS)}; see below",
        "label": "a name for the comparison; made from the arms if left out",
        "metric": "a metric of the [catalogue](metrics.md)",
        "a": 'the first arm, by any factor: `{ loss = "mae", beta = 1 }`; the effect is a − b',
        "b": 'the second arm; `beta = "tuned"` is the beta at which it spends the rate of a',
        "twin": "true: each arm that `a` matches against the `sum` arm with the same effective beta",
        "reference": "a number to compare `a` with",
        "direction": 'of a trend: "falls" or "rises" with beta',
        **_MARGIN,
        "prediction": f"a number that is computed from the training images: {', '.join(f'`{p}`' for p in PREDICTIONS)}",
        "check": f"a computation by code, without arms: {', '.join(f'`{name}`' for name in CHECK_NAMES)}",
        "reading": "the sense of the claim's words that the leg belongs to; all legs have one, or none",
        "counted": "false: shown beside the claim, and does not decide it",
        "says": "clauses that open the sentence of the verdict",
    }
)
_MEANINGS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "": {
            "margins": "tables of margins, one for each metric",
            "matched_rate": "where arms are compared at equal rate",
            "registration": "where the claims were registered",
            "claim": "the claims, at least one",
        },
        "claim": {
            "id": "a name of small letters, digits and hyphens; no other claim of the study has it",
            "quote": "the sentence that is judged, word for word",
            "kind": _LEG["kind"],
            "places": f"where it is judged: {' and '.join(f'`{place}`' for place in CLAIM_PLACES)}; `nominal` if left "
            "out. A claim with both must hold at both",
            "expect": "what theory expects; printed beside the verdict",
            "notes": "sentences for the reader, a list",
            "needs": "further arms to train, a list of selectors",
            **_RATES,
            "leg": "the comparisons, where there are several",
        },
        "leg": _LEG,
        "says": {
            "supported": "the clause where the claim is supported",
            "refuted": "the clause where it is refuted",
            "inconclusive": "the clause where it is inconclusive",
        },
        "margins": _MARGIN,
        "matched_rate": _RATES,
        "registration": {
            "where": "an address, such as that of a registry of studies",
            "when": "the date, such as 2026-11-20",
        },
    }
)
_KINDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "greater": "a − b, or a − reference, lies above the margin",
        "less": "it lies below minus the margin",
        "equivalent": "it lies within the margin, on either side",
        "trend": "the slope of the metric over ln beta lies beyond the margin, in the given direction",
        "anchor": "the mean lies within the margin of a published number, whatever the number of seeds",
        "predicted": "the mean lies within the margin of a number that is computed from the training images",
        "predicted-beta": "the beta of the collapse lies within the margin, in ln beta, of the predicted one",
        "identity": "an identity, checked by code to rounding",
        "fact": "a fact about code or numbers, checked by code",
    }
)
_SELECTORS: Final = """## How arms are named

`a` and `b` fix some factors, by the names of the [study file](study-file.md#factors): `{ loss = "mae", beta = 1,
"model.latents" = 2 }`. Of what they leave out, `reduction` is `sum` (with `twin`, it is open), and every other factor
has the study's base value. `beta_eff`, in place of `beta`, is the weight of KL when both terms are summed, whatever the
reduction. Arms that a claim needs and the grid does not hold are trained as well.
"""


def documentation() -> str:
    """The page as Markdown.

    >>> "| `quote` | the sentence that is judged, word for word |" in documentation()
    True
    """
    parts = [_PREFACE]
    for table, title in _TABLES.items():
        about = (_ABOUT[table], "") if table in _ABOUT else ()
        parts += [f"## {title}", "", *about, *_rows(KEYS[table], _MEANINGS[table]), ""]
    return "\n".join((*parts, _SELECTORS, "## Kinds", "", *_kinds(), ""))


def _rows(keys: Sequence[str], meanings: Mapping[str, str]) -> Iterator[str]:
    """A table of the keys that stand here; what belongs to a leg is said once, with the leg."""
    yield "| key | meaning |"
    yield "|---|---|"
    legs = set(_LEG) - set(meanings) if "leg" in keys else set()
    yield from (f"| `{key}` | {meanings[key]} |" for key in dict.fromkeys(keys) if key not in legs)


def _kinds() -> Iterator[str]:
    yield "| kind | supported where | needs | may be judged |"
    yield "|---|---|---|---|"
    for name, kind in KINDS.items():
        yield f"| `{name}` | {_KINDS[name]} | {_needs(kind)} | {' and '.join(f'`{place}`' for place in kind.places)} |"


def _needs(kind: Kind) -> str:
    needs = [f"`{key}`" for key in kind.needs]
    one = [f"one of {', '.join(f'`{key}`' for key in kind.one_of)}"] if kind.one_of else []
    return ", ".join([*needs, *one])


if __name__ == "__main__":
    print(documentation(), end="")

"""Claims as data: a TOML file says which sentences are judged, on what, against what, by how much.

    [margins.acutance_ratio]                  # the least difference that matters, once per metric
    margin = 0.02
    reason = "two per cent of the original's sharpness"

    [[claim]]
    id = "mae-sharper"
    quote = "MAE is of larger acutance"
    kind = "greater"                          # greater, less, equivalent, trend, identity, anchor or fact
    places = ["nominal", "matched-rate"]      # where arms are compared; nominal alone by default
    metric = "acutance_ratio"
    a = { loss = "mae", reduction = "sum", beta = 1 }
    b = { loss = "mse", reduction = "sum", beta = 1 }

A conjunction writes its comparisons as `[[claim.leg]]` tables instead. A leg with `counted = false` is shown beside
the claim and does not decide it. What each kind needs stands in `reports.claims.model`.

Claims are fixed before a run (`claims_hash` is logged with the study), and they pull their evidence: `needed_arms`
names the arms that they compare and the grid lacks.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError, ValidationInfo, field_validator

from reports.claims.errors import explain, where
from reports.claims.model import COMPUTED_KINDS, KINDS, LEAST_CURVE, Claim, Leg, Says, check_metric
from reports.claims.rules import Positive
from reports.claims.selectors import Arm, EffectiveBeta, Selector, find, not_negative, sum_twin
from reports.judging.verdict import MATCHED, NOMINAL
from vae.errors import UserError, closest, not_one_of
from vae.metrics.catalogue import CATALOGUE

_BUNDLED: Final = Path(__file__).parent
_LEG_KEYS: Final = ("metric", "a", "b", "twin", "reference", "direction", "margin", "reason", "check", "says")


class _Margin(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    margin: Annotated[float, PlainValidator(not_negative)]
    reason: Annotated[str, Field(min_length=1)]


class _MatchedRate(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    rates: tuple[Positive, ...] = ()
    betas: tuple[Positive, ...] = ()


class _Shared(BaseModel):
    """The tables that hold for all claims of a file; checked first, since their mistakes would show in every claim."""

    model_config = ConfigDict(frozen=True)
    margins: dict[str, _Margin] = {}
    matched_rate: _MatchedRate = _MatchedRate()

    @field_validator("margins")
    @classmethod
    def _known_metrics(cls, value: dict[str, _Margin], info: ValidationInfo) -> dict[str, _Margin]:
        for metric in value:
            check_metric(metric, info, name="margins")
        return value


class _File(_Shared):
    model_config = ConfigDict(frozen=True, extra="forbid")
    claim: Annotated[tuple[Claim, ...], Field(min_length=1)]


# table -> the keys that a file may write in it
_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "": tuple(_File.model_fields),
    "margins": tuple(_Margin.model_fields),
    "matched_rate": tuple(_MatchedRate.model_fields),
    "claim": (*(f.alias or name for name, f in Claim.model_fields.items()), *_LEG_KEYS),
    "leg": tuple(Leg.model_fields),
    **{name: tuple(Selector.model_fields) for name in ("a", "b", "needs")},
    "says": tuple(Says.model_fields),
}


def load_claims(*sources: str | Path, metrics: Collection[str] | None = CATALOGUE) -> tuple[Claim, ...]:
    """The claims of these files, checked. A source is a bundled name (`notes`) or the path of a TOML file.

    metrics: the names a claim may use; None: any. Raises UserError that names the file, the claim, the key, the
    value and what is allowed.

    >>> [claim.id for claim in load_claims("notes")][:2]
    ['better-than-bce', 'mae-acutance']
    """
    claims: list[Claim] = []
    for source in sources:
        path = _find(source)
        found = parse_claims(_read(path), file=path.name, metrics=metrics)
        _refuse_twins(claims, found, path.name)
        claims += found
    return tuple(claims)


def parse_claims(
    data: Mapping[str, Any], *, file: str, metrics: Collection[str] | None = CATALOGUE
) -> tuple[Claim, ...]:
    """The claims in a parsed file; `file` is the name used in errors. See `load_claims`."""
    context, full = {"metrics": metrics}, dict(data)
    try:
        _Shared.model_validate(full, context=context)
        full = _spelt_out(data, file)
        found = _File.model_validate(full, context=context).claim
    except ValidationError as error:
        raise explain(error, file=file, data=full, keys=_KEYS) from None
    _refuse_twins([], found, file)
    return found


def _refuse_twins(known: Sequence[Claim], more: Sequence[Claim], file: str) -> None:
    """A claim's id stands for it everywhere."""
    seen = {claim.id for claim in known}
    for claim in more:
        if claim.id in seen:
            raise UserError(f"{where(file, claim.id)}: id={claim.id!r} is used twice; ids must differ")
        seen.add(claim.id)


def _find(source: str | Path) -> Path:
    path = Path(source)
    if path.suffix == "" and path.parent == Path() and (bundled := _BUNDLED / f"{path}.toml").exists():
        return bundled
    if path.is_file():
        return path
    names = sorted(each.stem for each in _BUNDLED.glob("*.toml"))
    raise UserError(f"claims={str(source)!r} is neither a file nor one of the bundled {names}.{closest(source, names)}")


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"claims file {path} is no TOML: {error}") from error
    except OSError as error:
        raise UserError(f"claims file {path} cannot be read: {error.strerror}") from error


def _spelt_out(data: Mapping[str, Any], file: str) -> dict[str, Any]:
    """The file with its short forms written out: one comparison as one leg, defaults of file and claim in each."""
    claims = data.get("claim")
    if not isinstance(claims, list) or not all(isinstance(claim, dict) for claim in claims):
        return dict(data)  # the model says what is wrong
    shared, margins = data.get("matched_rate", {}), data.get("margins", {})
    return {**data, "claim": [_with_legs({**shared, **claim}, file, margins) for claim in claims]}


def _with_legs(claim: Mapping[str, Any], file: str, margins: Mapping[str, Any]) -> dict[str, Any]:
    own = {key: claim[key] for key in _LEG_KEYS if key in claim}
    rest = {key: value for key, value in claim.items() if key not in own}
    place = where(file, claim.get("id"))
    if own and "leg" in rest:
        raise UserError(f"{place}: {next(iter(own))!r} stands beside [[claim.leg]]; write it in the legs")
    kind = claim.get("kind")
    if "kind" in claim and kind not in KINDS:
        raise UserError(f"{place}: {not_one_of('kind', kind, KINDS)}")
    legs = [own] if own else rest.get("leg")
    if isinstance(legs, list):
        rest["leg"] = [_with_defaults(leg, kind, margins) if isinstance(leg, dict) else leg for leg in legs]
    return rest


def _with_defaults(leg: Mapping[str, Any], kind: object, margins: Mapping[str, Any]) -> dict[str, Any]:
    full = {**({"kind": kind} if kind else {}), **leg}
    if full.get("kind") not in COMPUTED_KINDS and "margin" not in full:
        full |= margins.get(str(full.get("metric")), {})
    return full


def claims_from_json(dumped: Sequence[Mapping[str, Any]]) -> tuple[Claim, ...]:
    """Claims as they were when they were logged: the inverse of `claim.model_dump(mode="json")` over them.

    >>> claims = load_claims("notes")
    >>> claims_from_json([claim.model_dump(mode="json") for claim in claims]) == claims
    True
    """
    renamed = [{"leg" if key == "legs" else key: value for key, value in claim.items()} for claim in dumped]
    try:
        return tuple(Claim.model_validate(claim) for claim in renamed)
    except ValidationError as error:
        raise UserError(f"the claims logged with this study cannot be read by this version: {error}") from error


def claims_hash(claims: Sequence[Claim]) -> str:
    """16 hexadecimal digits that name the claims by content: order of keys, comments and layout do not matter.

    >>> claims_hash(load_claims("notes")) == claims_hash(load_claims("notes"))
    True
    """
    content = [claim.model_dump(mode="json") for claim in claims]
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def needed_arms(
    claims: Sequence[Claim], grid_arms: Sequence[Mapping[str, Any]], *, effective_beta: EffectiveBeta
) -> list[dict[str, Any]]:
    """The arms that the claims compare and the grid lacks, each once, in the order of the claims.

    grid_arms: mappings with loss, reduction, beta and, optionally, posterior. effective_beta: (reduction, beta) ->
    beta_eff at the study's batch size and model. Returns mappings with those four fields and origin = "claims".

    Arms named outright come first; then, where a curve over beta is needed (a trend, a comparison at equal rate, a
    tuned arm) and there are fewer than two betas, the claim's own betas; then the `sum` twin of every arm that a
    twin comparison matches, the pulled ones included.
    """
    pool = [Arm.of(arm) for arm in grid_arms]
    added: list[Arm] = []

    def want(arm: Arm) -> None:
        if find(arm, pool) is None:
            pool.append(arm)
            added.append(arm)

    for demands in (_named, _on_curves):
        for claim in claims:
            for arm in demands(claim, pool, effective_beta):
                want(arm)
    for arm in [arm for claim in claims for arm in _twins(claim, pool, effective_beta)]:
        want(arm)
    return [{**arm.fields(), "origin": "claims"} for arm in added]


def _named(claim: Claim, pool: Sequence[Arm], effective_beta: EffectiveBeta) -> list[Arm]:
    selectors = list(claim.needs)
    if NOMINAL in claim.places:
        selectors += [each for leg in claim.legs for each in leg.selectors]
    return [each.arm(effective_beta) for each in selectors if each.names_one and not each.tuned]


def _on_curves(claim: Claim, pool: Sequence[Arm], effective_beta: EffectiveBeta) -> list[Arm]:
    arms: list[Arm] = []
    for curve in _curves(claim):
        there = [arm for arm in pool if curve.matches(arm) and arm.beta > 0]
        if len(there) < LEAST_CURVE:
            betas = claim.betas
            arms += [Arm(str(curve.loss), str(curve.reduction), beta, curve.posterior) for beta in betas]
    return arms


def _curves(claim: Claim) -> list[Selector]:
    """Selectors, beta left open, of the arms that this claim reads as curves over beta."""
    at_rate = MATCHED in claim.places
    used = [each for leg in claim.legs for each in leg.selectors if at_rate or leg.kind == "trend" or each.tuned]
    return list(dict.fromkeys(each.model_copy(update={"beta": None, "beta_eff": None}) for each in used))


def _twins(claim: Claim, pool: Sequence[Arm], effective_beta: EffectiveBeta) -> list[Arm]:
    def beta_eff(arm: Arm) -> float:
        return effective_beta(arm.reduction, arm.beta)

    legs = [leg for leg in claim.legs if leg.twin and leg.a is not None]
    return [
        sum_twin(arm, beta_eff(arm))
        for leg in legs
        for arm in pool
        if leg.a is not None and leg.a.matches(arm, beta_eff(arm))
    ]

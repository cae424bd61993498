"""Claims as data: a TOML file says which sentences are judged, on what, against what, by how much.

    [margins.acutance_ratio]                  # the least difference that matters, once per metric: in its units,
    margin = 0.02
    reason = "two per cent of the original's sharpness"

    [margins.ssim]                            # or as a share of a range of the data set; see `reports.claims.margins`
    share = 0.01
    of = "floor to ceiling"
    reason = "a hundredth of the way from the mean image to the originals"

    [matched_rate]                            # where arms are compared at equal rate: at shares of the rates that all
    shares = [0.25, 0.5, 0.75]                # their curves reach, or at `rates` in nats
    betas = [0.1, 0.25, 0.5, 1, 2, 4]         # trained where a curve has fewer than two betas

    [registration]                            # if the hash of the claims was registered elsewhere before the run
    where = "https://osf.io/abcde"
    when = "2026-11-20"

    [[claim]]
    id = "mae-sharper"
    quote = "MAE is of larger acutance"
    kind = "greater"                          # one of `reports.claims.kinds.KINDS`
    places = ["nominal", "matched-rate"]      # where arms are compared; nominal alone by default
    metric = "acutance_ratio"
    a = { loss = "mae", beta = 1 }            # arms, by any factor; see `reports.claims.selectors`
    b = { loss = "mse", beta = 1 }

A conjunction writes its comparisons as `[[claim.leg]]` tables instead. A leg with `counted = false` is shown beside
the claim and does not decide it. Words that can be taken in two senses have legs with a `reading`; each sense is judged
by its own legs:

    [[claim.leg]]
    reading = "reconstructions"
    metric = "ssim"

A number that is computed from the training images, and then met or not:

    [[claim]]
    id = "rate-of-mse"
    quote = "A linear VAE is probabilistic PCA"
    kind = "predicted"
    prediction = "ppca-rate"                  # one of `reports.claims.predictions.PREDICTIONS`
    metric = "rate"
    a = { loss = "mse", beta = 1 }
    share = 0.25
    of = "prediction"
    reason = "a quarter of what is predicted"

What each kind needs stands in `reports.claims.kinds`.

Claims are fixed before a run. `reports.claims.resolve` turns shares and predictions into numbers of the data set, and
`claims_hash` of what comes out is logged with the study.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field, ValidationError, model_validator

from reports.claims.errors import ClaimMistakes, explain, where
from reports.claims.kinds import KINDS
from reports.claims.margins import RANGES, check_form
from reports.claims.model import Claim, Leg, Says
from reports.claims.predictions import PREDICTIONS
from reports.claims.registration import Registration
from reports.claims.rules import Inside, MetricName, NotNegative, Positive, Share, Strict, Text, one_of
from vae import toml
from vae.errors import UserError, closest, not_one_of
from vae.metrics.catalogue import CATALOGUE

_BUNDLED: Final = Path(__file__).parent
_LEGKEYS: Final = (
    *("metric", "a", "b", "twin", "reference", "direction", "margin", "share", "of", "reason"),
    *("prediction", "check", "says"),
)
_ONE_OR_OTHER: Final = {"rates": "shares", "shares": "rates"}


class _Margin(Strict):
    margin: NotNegative | None = None
    share: Share | None = None
    of: Annotated[str, one_of(RANGES)] = ""
    reason: Annotated[Text, Field(min_length=1)]

    @model_validator(mode="after")
    def _one_form(self) -> _Margin:
        if self.margin is None and self.share is None and not self.of:
            raise UserError("margin is missing: give margin in the metric's units, or share and of")
        check_form(self.margin, self.share, self.of)
        return self


class _MatchedRate(Strict):
    rates: tuple[Positive, ...] = ()
    shares: tuple[Inside, ...] = ()
    betas: tuple[Positive, ...] = ()


class _Shared(Strict, extra="ignore"):
    """The tables that hold for all claims of a file; checked first, since their mistakes would show in every claim."""

    margins: Annotated[dict[MetricName, _Margin], Field(default_factory=dict)]
    matched_rate: _MatchedRate = _MatchedRate()
    registration: Registration | None = None


class _File(_Shared, extra="forbid"):
    claim: Annotated[tuple[Claim, ...], Field(min_length=1)]


# table -> the keys that a file may write in it
KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "": tuple(_File.model_fields),
    "margins": tuple(_Margin.model_fields),
    "matched_rate": tuple(_MatchedRate.model_fields),
    "registration": ("where", "when"),
    "claim": (*(f.alias or name for name, f in Claim.model_fields.items()), *_LEGKEYS),
    "leg": tuple(Leg.model_fields),
    "says": tuple(Says.model_fields),
}


def load_claims(*sources: str | Path, metrics: Collection[str] = CATALOGUE) -> tuple[Claim, ...]:
    """The claims of these files, checked. A source is a bundled name (`notes`) or the path of a TOML file.

    metrics: the names a claim may use. Raises UserError that names the file, the claim, the key, the value and what is
    allowed.

    >>> [claim.id for claim in load_claims("notes")][:2]
    ['better-than-bce', 'mae-acutance']
    """
    claims: list[Claim] = []
    mistakes: list[str] = []
    for source in sources:
        try:
            path = _find(source)
            claims += parse_claims(_read(path), file=path.name, metrics=metrics)
            mistakes += _repeats([claim.id for claim in claims], path.name)
        except UserError as error:
            mistakes += _lines(error)
    if mistakes:
        raise ClaimMistakes(mistakes)
    return tuple(claims)


def load_registration(source: str | Path) -> Registration | None:
    """Where the claims of a file were registered, and when; None where the file does not say.

    >>> load_registration("notes") is None
    True
    """
    path = _find(source)
    data = _read(path)
    try:
        registration = _Shared.model_validate({key: data[key] for key in ("registration",) if key in data}).registration
    except ValidationError as error:
        raise explain(error, file=path.name, data=data, keys=KEYS) from None
    return None if registration is None else registration.model_copy(update={"file": path.name})


def parse_claims(data: Mapping[str, Any], *, file: str, metrics: Collection[str] = CATALOGUE) -> tuple[Claim, ...]:
    """The claims in a parsed file; `file` is the name used in errors. See `load_claims`.

    All mistakes of the file are named at once: where a table is faulty, the claims are checked as if it were not.
    """
    context, full = {"metrics": metrics}, dict(data)
    mistakes: list[str] = []
    claims: tuple[Claim, ...] = ()
    try:
        _Shared.model_validate(full, context=context)
    except ValidationError as error:
        mistakes += explain(error, file=file, data=full, keys=KEYS).lines
        full = _without_faults(full, error)
    full = _spelt_out(full, file, mistakes)
    try:
        claims = _File.model_validate(full, context=context).claim if full.get("claim") or not mistakes else ()
    except ValidationError as error:
        mistakes += explain(error, file=file, data=full, keys=KEYS).lines
    written = data.get("claim")
    tables = [claim for claim in written if isinstance(claim, dict)] if isinstance(written, list) else []
    mistakes += _repeats([claim.get("id") for claim in tables], file)
    if mistakes:
        raise ClaimMistakes(mistakes)
    return claims


def _lines(error: UserError) -> Sequence[str]:
    return error.lines if isinstance(error, ClaimMistakes) else (str(error),)


def _without_faults(data: Mapping[str, Any], error: ValidationError) -> dict[str, Any]:
    """The file with a table that holds in place of each faulty one, so that its claims can be checked too."""
    faulty = {detail["loc"][:2] for detail in error.errors()}
    sound = dict(data)
    if any(loc[0] == "registration" for loc in faulty):
        del sound["registration"]
    if any(loc[0] == "matched_rate" for loc in faulty):
        sound["matched_rate"] = {"shares": [0.5]}
    margins = sound.get("margins")
    if isinstance(margins, Mapping):
        names = {loc[1] for loc in faulty if loc[0] == "margins" and len(loc) > 1}
        sound["margins"] = {
            name: {"margin": 1.0, "reason": "-"} if name in names else margin
            for name, margin in margins.items()
            if name in CATALOGUE or name not in names
        }
    return sound


def _repeats(ids: Sequence[object], file: str) -> list[str]:
    """A claim's id stands for it everywhere."""
    twice = dict.fromkeys(name for i, name in enumerate(ids) if isinstance(name, str) and name in ids[:i])
    return [f"{where(file, name)}: id={name!r} is used twice; ids must differ" for name in twice]


def _find(source: str | Path) -> Path:
    path = Path(source)
    with suppress(OSError, ValueError):  # a name that no file can have: longer than 255 bytes, or with a zero byte
        if path.suffix == "" and path.parent == Path() and (bundled := _BUNDLED / f"{path}.toml").exists():
            return bundled
        if path.is_file():
            return path
    names = sorted(path.stem for path in _BUNDLED.glob("*.toml"))
    raise UserError(f"claims={str(source)!r} is neither a file nor one of the bundled {names}.{closest(source, names)}")


def _read(path: Path) -> dict[str, Any]:
    try:
        return toml.parsed(path.read_text(encoding="utf-8"))
    except UserError as error:
        raise UserError(f"claims file {path} {error}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"claims file {path} is not TOML: {error}") from error
    except OSError as error:
        raise UserError(f"claims file {path} cannot be read: {error.strerror}") from error


def _spelt_out(data: Mapping[str, Any], file: str, mistakes: list[str]) -> dict[str, Any]:
    """The file with its short forms written out: one comparison as one leg, defaults of file and claim in each.

    A claim that cannot be written out is left out, and its mistake is added to ``mistakes``.
    """
    claims = data.get("claim")
    if not isinstance(claims, list) or not all(isinstance(claim, dict) for claim in claims):
        return dict(data)  # the model says what is wrong
    shared, margins = data.get("matched_rate", {}), data.get("margins", {})
    whole = []
    for claim in claims:
        try:
            whole.append(_with_legs(_at_rates(claim, shared), file, margins))
        except UserError as error:
            mistakes.append(str(error))
    return {**data, "claim": whole}


def _at_rates(claim: Mapping[str, Any], shared: Mapping[str, Any]) -> dict[str, Any]:
    """The claim with the rates and betas of its file, where it has none of its own."""
    return {key: value for key, value in shared.items() if _ONE_OR_OTHER.get(key) not in claim} | dict(claim)


def _with_legs(claim: Mapping[str, Any], file: str, margins: Mapping[str, Any]) -> dict[str, Any]:
    own = {key: claim[key] for key in _LEGKEYS if key in claim}
    rest = {key: value for key, value in claim.items() if key not in own}
    place = where(file, claim.get("id"))
    if own and "leg" in rest:
        raise UserError(f"{place}: {next(iter(own))!r} stands beside [[claim.leg]]; write it in the legs")
    if "kind" in claim and claim["kind"] not in tuple(KINDS):
        raise UserError(f"{place}: {not_one_of('kind', claim['kind'], KINDS)}")
    kind = {"kind": claim["kind"]} if "kind" in claim else {}
    legs = [own] if own else rest.get("leg")
    if isinstance(legs, list):
        rest["leg"] = [_with_margin({**kind, **leg}, margins, place) if isinstance(leg, dict) else leg for leg in legs]
    return rest


def _with_margin(leg: dict[str, Any], margins: Mapping[str, Any], place: str) -> dict[str, Any]:
    """The leg with the margin of its metric, where it has none of its own.

    What only `reports.claims.resolve` fills in is refused: numbers of a data set have no place in a file for many.
    """
    if "margin" in leg and "share" in leg:
        raise UserError(
            f"{place}: margin={leg['margin']!r} and share={leg['share']!r}: give one, a margin in the metric's units "
            "or a share of a range"
        )
    if "reference" in leg and leg.get("prediction") in PREDICTIONS:
        raise UserError(
            f"{place}: reference={leg['reference']!r} stands beside prediction={leg['prediction']!r}, which computes "
            "it from the training images; leave it out, or use kind 'equivalent'"
        )
    own = any(key in leg for key in ("margin", "share", "of"))
    return leg if own else leg | margins.get(str(leg.get("metric")), {})


def claims_from_json(dumped: Sequence[Mapping[str, Any]]) -> tuple[Claim, ...]:
    """Claims as they were when they were logged: the inverse of `claim.model_dump(mode="json")` over them."""
    renamed = [{"leg" if key == "legs" else key: value for key, value in claim.items()} for claim in dumped]
    try:
        return tuple(Claim.model_validate(claim) for claim in renamed)
    except ValidationError as error:
        raise UserError(f"the claims logged with this study cannot be read by this version: {error}") from error


def claims_hash(claims: Sequence[Claim]) -> str:
    """16 hexadecimal digits that name the claims by content: order of keys, comments and layout do not matter."""
    content = [claim.model_dump(mode="json") for claim in claims]
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]

"""What arms are called: a selector as a short name, and the two sides of a comparison in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from reports.claims.selectors import OPEN, Selector
from reports.numbers import listed, sentence_case, setting
from vae.arms import Arm
from vae.factors import factor, same_value

OBJECTIVE: Final = (*OPEN, "posterior")  # factors that are named in a way of their own
_IN_CAPITALS: Final = ("bce", "mse", "mae")


@dataclass(frozen=True)
class Side:
    """One side of a comparison: an arm, or, at any beta, the curve over beta on which it lies."""

    arm: Arm
    label: str
    any_beta: bool = False


@dataclass(frozen=True)
class Subjects:
    """What both sides share, as the opening of a sentence, and what tells each from the other."""

    context: str
    first: str
    second: str


def selector_name(selector: Selector, base: Arm, *, weight: bool = True) -> str:
    """A selector as a short name: loss, reduction, weight, and what else it fixes that is not the base's.

    >>> selector_name(Selector.of({"loss": "mae", "beta": 1, "model.latents": 2}), Arm())
    'mae-b1-latents2'
    """
    parts = [selector.loss, selector.reduction]
    if weight and selector.beta is not None:
        parts.append(factor("beta").label(selector.beta))
    if weight and selector.beta_eff is not None:
        parts.append(f"beta_eff{selector.beta_eff:g}")
    for name, value in selector.items:
        if name not in OPEN and not same_value(value, base.get(name)):
            parts.append(factor(name).label(value))
    return "-".join(part for part in parts if part) or "any"


def subjects(pair: Sequence[Side], base: Arm, *, rates: Sequence[float] = (), at_rate: bool = False) -> Subjects:
    """The sides of a comparison in words. What both share goes before, unless it is the base's; what differs names
    them. rates: nats, at which they are compared. at_rate: whether their weights do not matter."""
    first, second = pair[0], pair[-1]
    tuned = first.any_beta != second.any_beta
    sides = [_of_objective(side, at_rate=at_rate, tuned=tuned) for side in (first, second)]
    differing, common = _others(first.arm, second.arm, base)
    aspects = [aspect for aspect in sides[0] if sides[0][aspect] != sides[1][aspect]]
    if not aspects and not differing:
        aspects = ["loss"]
    names = [
        _named([words[aspect] for aspect in aspects if words[aspect]], _phrases(side.arm, differing))
        for side, words in zip((first, second), sides)
    ]
    shared = {aspect: words for aspect, words in sides[0].items() if aspect not in aspects and words}
    if same_value(first.arm.posterior, base.posterior):
        shared.pop("posterior", None)  # not named, unless it tells the arms apart
    return Subjects(sentence_case(_context(shared, _phrases(first.arm, common), rates)), *names)


def _of_objective(side: Side, *, at_rate: bool, tuned: bool) -> dict[str, str]:
    """Loss, posterior and weight of an arm in words; empty where nothing need be said."""
    arm = side.arm
    weight = factor("reduction").phrase(arm.reduction)
    if not side.any_beta:
        weight += f" at beta {setting(arm.beta)}"
    elif tuned:
        weight += " at the beta of equal rate"
    loss = arm.loss.upper() if arm.loss in _IN_CAPITALS else arm.loss
    posterior = factor("posterior").phrase(arm.posterior)
    return {"loss": loss, "posterior": posterior, "weight": "" if at_rate else weight}


def _others(first: Arm, second: Arm, base: Arm) -> tuple[list[str], list[str]]:
    """Of the factors beside the objective's: those in which the arms differ, and those in which both differ from the
    base. An option that one family alone has, at its default, tells nothing that the family's name does not."""
    names = [name for name in dict.fromkeys((*first.settings, *second.settings)) if name not in OBJECTIVE]
    differing = [name for name in names if not same_value(first.get(name), second.get(name))]
    common = [name for name in names if name not in differing and not same_value(first.get(name), base.get(name))]
    return (
        [name for name in differing if not _follows(name, first, second)],
        [name for name in common if not _follows(name, first, base)],
    )


def _follows(name: str, one: Arm, other: Arm) -> bool:
    """Whether an option of one arm's family, which the other's lacks, has its default."""
    having = [arm for arm in (one, other) if name in arm.settings]
    return len(having) == 1 and same_value(having[0][name], factor(name).default_in(having[0]["model.family"]))


def _phrases(arm: Arm, names: Iterable[str]) -> list[str]:
    return [factor(name).phrase(arm[name]) for name in names if name in arm.settings]


def _named(objective: Sequence[str], others: Sequence[str]) -> str:
    """The name of a side: "MAE", "the arm with 2 latents", "MAE with 2 latents"."""
    if not others:
        return ", ".join(objective)
    return f"{', '.join(objective) or 'the arm'} {_with(others)}"


def _with(phrases: Sequence[str]) -> str:
    """Phrases behind one "with": "with 2 latents and learning rate 0.0003", "without labels"."""
    without = [phrase for phrase in phrases if phrase.startswith("without ")]
    having = [phrase.removeprefix("with ") for phrase in phrases if phrase not in without]
    return " and ".join(([f"with {listed(having)}"] if having else []) + without)


def _context(shared: Mapping[str, str], others: Sequence[str], rates: Sequence[float]) -> str:
    opening = [f"at equal rates of {listed([setting(rate) for rate in rates])} nats"] if rates else []
    if "loss" in shared:
        opening.append(f"for {shared['loss']}")
    rest = [shared[aspect] for aspect in ("weight", "posterior") if aspect in shared]
    return " ".join([*opening, _with([*rest, *others])]).rstrip()

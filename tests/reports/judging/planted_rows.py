"""Studies whose truth is known, made to be judged: each `Row` plants one truth and draws studies of it.

Unless a row says otherwise a study has two arms, MAE (a) and MSE (b), 8 seeds, a margin of .2 and differences over the
seeds that are normal with standard deviation .2. "At the margin" the claim is false by nothing at all: to support it is
false, and to refute it is so for a truth a hair's breadth further. Each is to happen in 5 % of studies at most.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reports.judging.verdict import (
    DEPENDS,
    EITHER,
    INCONCLUSIVE,
    INSUFFICIENT,
    NO_DIFFERENCE,
    OPPOSITE,
    REFUTED,
    SUPPORTED,
    Verdict,
)
from tests.claim_samples import arm, frame, references
from vae.arms import Arm

Array = NDArray[np.float64]
Rng = np.random.Generator
Study = Mapping[str, Any]  # what `judge` takes beside the claims; several studies are the looks at one
Draw = Callable[[Rng], Sequence[Study]]

SEEDS: Final = 8
MARGIN: Final = 0.2
SD: Final = 0.2
OPEN: Final = frozenset({INCONCLUSIVE, INSUFFICIENT})


def _yes(verdict: Verdict) -> bool:
    return True


@dataclass(frozen=True)
class Row:
    """One truth. claims: a claims file. true: the words that are true of each claim; the last one of all that follow.

    sound: what else must hold of a word that decides, or it is false. right: what else makes a true word the right
    one. limit: the largest share of false words, of either kind, that is allowed; None where no test can keep to one,
    or where the row shows what happens without a rule. note: why.
    """

    name: str
    truth: str
    claims: str
    draw: Draw
    true: tuple[frozenset[str], ...] = (OPEN,)
    sound: Callable[[Verdict], bool] = _yes
    right: Callable[[Verdict], bool] = _yes
    limit: float | None = 0.06
    note: str = ""


# Claims.


def claim(
    kind: str = "greater", margin: float = MARGIN, metric: str = "ssim", name: str = "planted", second: str = "mse"
) -> str:
    """The text of a claim of MAE against another arm."""
    return (
        f'[[claim]]\nid = "{name}"\nquote = "planted"\nkind = "{kind}"\nmetric = "{metric}"\nmargin = {margin}\n'
        f'reason = "planted"\na = {{ loss = "mae", beta = 1 }}\nb = {{ loss = "{second}", beta = 1 }}\n'
    )


def many(count: int) -> str:
    """Claims of so many metrics, at the margin each."""
    return "".join(claim(metric=f"m{i}", name=f"c{i}") for i in range(count))


def legs(count: int, readings: Sequence[str] = ()) -> str:
    """One claim with so many legs, each of a metric of its own."""
    text = '[[claim]]\nid = "planted"\nquote = "planted"\nkind = "greater"\n'
    for i in range(count):
        leg = claim(metric=f"m{i}").split("\n")[4:]
        reading = [f'reading = "{readings[i]}"'] if readings else []
        text += "\n".join(["[[claim.leg]]", *reading, *leg])
    return text


# Studies.


@cache
def _arms(seeds: int, first: str = "mae-sum-1", second: str = "mse-sum-1", **settings: Any) -> pd.DataFrame:
    both = [arm(label, {"unused": [0.0] * seeds}, **settings) for label in (first, second)]
    table = frame(*both).drop(columns="unused")
    return table.astype({name: object for name in table.columns if table[name].dtype.kind not in "fib"})  # read faster


def cells(settings: Mapping[str, Any] = {}, **sides: Array) -> pd.DataFrame:
    """The cells of a study. sides: metric -> values of both arms at each seed, (2, seeds)."""
    seeds = next(iter(sides.values())).shape[1]
    return _arms(seeds, **settings).assign(**{metric: values.ravel() for metric, values in sides.items()})


def beside(differences: Array, rng: Rng) -> Array:
    """Values of two arms with these differences; a seed shares far more over the arms. (n,) -> (2, n)."""
    shared = rng.normal(0, 1, differences.size)
    return np.stack([shared + differences, shared])


def at(truth: float, rng: Rng, *, kinds: int = 1, sd: float = SD, seeds: int = SEEDS) -> list[Study]:
    """A study with normal differences around a truth. kinds: metrics, named m0, m1, ...; 1 is SSIM."""
    names = [f"m{i}" for i in range(kinds)] if kinds > 1 else ["ssim"]
    return [{"frame": cells(**{name: beside(rng.normal(truth, sd, seeds), rng) for name in names})}]


def normal(truth: float, **options: Any) -> Draw:
    return lambda rng: at(truth, rng, **options)


def at_either_margin(rng: Rng) -> list[Study]:
    return at(rng.choice([-MARGIN, MARGIN]), rng)


# Floors.

_FLOOR = {"ssim": 0.2, "mse": 50.0, "legibility": 0.1}
_CEILING = {"ssim": 1.0, "mse": 0.0, "legibility": 0.99}
GATED = references(floor=_FLOOR, ceiling=_CEILING, floor_with_labels=_FLOOR | {"legibility": 0.985})


def blank(first: float, second: float, rng: Rng) -> list[Study]:
    """Two arms whose means of SSIM are given, .2 being the floor; the first is far the sharper."""

    def around(*means: float, sd: float) -> Array:
        return rng.normal(np.array(means)[:, None], sd, (2, SEEDS))

    sides = {"ssim": around(first, second, sd=0.005), "acutance": around(0.9, 0.3, sd=0.01)}
    error = [50 * (1 - (mean - 0.2) / 0.8) for mean in (first, second)]
    legible = [0.1 + (mean - 0.2) for mean in (first, second)]
    sides |= {"mse": around(*error, sd=0.5), "legibility": around(*legible, sd=0.005)}
    return [{"frame": cells(**sides), "references": GATED}]


def given_labels(rng: Rng) -> list[Study]:
    """Conditional models, one far more legible: a model without latents would be as legible as the originals."""
    legible = rng.normal([[0.98], [0.7]], 0.005, (2, SEEDS))
    table = cells({"model.conditional": True}, legibility=legible, ssim=rng.normal(0.6, 0.01, (2, SEEDS)))
    return [{"frame": table, "references": GATED, "base": Arm().replace({"model.conditional": True})}]


def own_objective(rng: Rng) -> list[Study]:
    """BCE at beta 1 minimises −ELBO; at beta 4 it does not."""
    table = cells({"first": "bce-sum-1", "second": "bce-sum-4"}, neg_elbo=rng.normal([[100], [110]], 1, (2, SEEDS)))
    return [{"frame": table}]


# Training.


def training(effects: Sequence[float], rng: Rng, sd: float = 0.1) -> list[Study]:
    """An effect at a quarter, half and all of training; the seeds' part of it stays, and each point adds a little."""
    luck = rng.normal(0, sd, SEEDS)
    sides = [beside(effect + luck + rng.normal(0, 0.02, SEEDS), rng) for effect in effects]
    sides = [np.stack([sides[0][1] + side[0] - side[1], sides[0][1]]) for side in sides]
    table = cells(ssim=sides[-1])
    points = [
        pd.DataFrame({"key": table["key"], "epoch": epoch, "metric": "point/ssim", "value": side.ravel()})
        for epoch, side in zip((3, 5, 10), sides)
    ]
    return [{"frame": table, "history": pd.concat(points, ignore_index=True)}]


# Three kinds of luck.


def lucky(
    rng: Rng,
    *,
    seeds_sd: float = SD,
    images_sd: float = 0.0,
    classifiers_sd: float = 0.0,
    images: int = 200,
    kept: int = 200,
    classifiers: int = 1,
    metric: str = "ssim",
    given: bool = True,
) -> list[Study]:
    """Differences whose mean also varies with images and classifiers, drawn anew: by these standard deviations.

    The truth, over all seeds, images and classifiers, is at the margin. given: whether the values behind are there.
    """
    shape = (SEEDS, classifiers, images)
    difference = MARGIN + rng.normal(0, seeds_sd, (SEEDS, 1, 1)) + rng.normal(0, 0.5, shape)
    difference = difference + rng.normal(0, images_sd * images**0.5, (1, 1, images))
    difference = difference + rng.normal(0, classifiers_sd * classifiers**0.5, (1, classifiers, 1))
    second = np.broadcast_to(rng.normal(0, 1, (SEEDS, 1, 1)) + rng.normal(0, 1, (1, 1, images)), shape)
    return [_with_behind(np.stack([second + difference, second]), metric, kept, given)]


def _with_behind(sides: Array, metric: str, kept: int, given: bool) -> Study:
    """The study of two arms with these values behind its metric. sides: (2, seeds, classifiers, images)."""
    table = cells(**{metric: sides.mean(axis=(2, 3))})
    if not given:
        return {"frame": table}
    if metric == "kid":  # a number for each classifier
        behind = [{metric: values.mean(axis=-1)} for values in sides.reshape(-1, *sides.shape[2:])]
    else:
        few = sides.reshape(-1, *sides.shape[2:])[..., :kept].astype(np.float32)
        count = {f"{metric}.images": np.array(sides.shape[-1])}
        behind = [{metric: values if len(values) > 1 else values[0], **count} for values in few]
    return {"frame": table, "per_image": dict(zip(table["key"], behind))}


def legible(
    rng: Rng, *, first: float, second: float, unsure: float, images: int = 360, given: bool = True, anew: bool = True
) -> list[Study]:
    """Which images are read. first, second: share that only the first arm, or only the second, reads, in every seed;
    unsure: that each arm reads in half of its cells; both read all others. anew: whether the images are drawn."""
    shares = np.array([first, second, unsure, 1 - first - second - unsure])
    kinds = rng.choice(4, images, p=shares) if anew else np.repeat(range(4), np.round(shares * images).astype(int))
    chance = np.array([[1, 0, 0.5, 1], [0, 1, 0.5, 1]])[:, kinds]  # (2, images)
    read = (rng.random((2, SEEDS, images)) < chance[:, None]).astype(float)
    return [_with_behind(read[:, :, None], "legibility", images, given)]


# Failures, looks, and what is not normal.


def failing(rng: Rng) -> list[Study]:
    """Of the seeds in the worst quarter for the claim, every other cell of the first arm fails, at random."""
    sides = rng.normal([[MARGIN], [0.0]], SD / 2**0.5, (2, SEEDS))
    lost = (sides[0] - sides[1] < MARGIN - 0.6745 * SD) & (rng.random(SEEDS) < 0.5)
    failed = np.concatenate([lost, np.zeros(SEEDS, bool)])
    sides[0, lost] = np.nan
    return [{"frame": cells(ssim=sides).assign(status=np.where(failed, "failed", "done"))}]


def looking(rng: Rng, *, seeds: Sequence[int], counted: bool = True) -> list[Study]:
    """A reader who looks at these numbers of seeds, and keeps the first word that decides."""
    (whole,) = at(MARGIN, rng, seeds=max(seeds))
    table = whole["frame"]
    return [
        {"frame": table[table["seed"] < number], "looks": look if counted else 1}
        for look, number in enumerate(seeds, start=1)
    ]


def skewed(rng: Rng, count: int = 1) -> list[Study]:
    """Differences with a long tail against the claim: the margin + sd · (1 − exponential)."""
    names = [f"m{i}" for i in range(count)] if count > 1 else ["ssim"]
    return [{"frame": cells(**{m: beside(MARGIN + SD * (1 - rng.exponential(1, SEEDS)), rng) for m in names})}]


def collapsing(rng: Rng) -> list[Study]:
    """Two margins in nine runs of ten, and far below in the tenth: 0 on the whole."""
    differences = rng.normal(2 * MARGIN, 0.05, SEEDS) - 20 * MARGIN * (rng.random(SEEDS) < 0.1)
    return [{"frame": cells(ssim=beside(differences, rng))}]


def read_twice(rng: Rng) -> list[Study]:
    sides = {f"m{i}": beside(rng.normal(truth, 0.15, SEEDS), rng) for i, truth in enumerate((3 * MARGIN, -MARGIN))}
    return [{"frame": cells(**sides)}]


def _is(*directions: str) -> Callable[[Verdict], bool]:
    return lambda verdict: verdict.direction in directions


def _qualified(verdict: Verdict) -> bool:
    return verdict.word.endswith(" after 10 epochs")


def _plain(verdict: Verdict) -> bool:
    return verdict.word == verdict.verdict


YES, NO, NOTHING, BOTH = (frozenset({word}) for word in (SUPPORTED, REFUTED, INSUFFICIENT, DEPENDS))
UNSEEN: Final = "cannot be seen: ‘what happens in fewer than 31 % of runs may not have been seen in 8’"
SKEW: Final = (
    "no test can: ‘the differences are not normal’ is all that a report can say, and of one study not even that"
)
LATTICE: Final = claim(metric="legibility", margin=0.01)
SHARED: Final = {"images_sd": SD}
BY_FOUR: Final = 4 / 360
ROWS: Final[tuple[Row, ...]] = (
    Row("null-greater", "at the margin", claim(), normal(MARGIN)),
    Row("null-equivalent", "at either margin of an equality", claim("equivalent"), at_either_margin),
    Row("null-ten-claims", "ten claims, each at its margin", many(10), normal(MARGIN, kinds=10)),
    Row("two-margins", "two margins", claim(), normal(2 * MARGIN), (YES,)),
    Row(
        "minus-two-margins",
        "minus two margins: the opposite",
        claim(),
        normal(-2 * MARGIN),
        (NO,),
        sound=_is(OPPOSITE, EITHER),
        right=_is(OPPOSITE),
    ),
    Row(
        "no-difference",
        "0: no difference that matters",
        claim(),
        normal(0.0, sd=SD / 2),
        (NO,),
        sound=_is(NO_DIFFERENCE, EITHER),
        right=_is(NO_DIFFERENCE),
    ),
    Row(
        "minus-a-margin",
        "minus the margin: neither of the two directions",
        claim(),
        normal(-MARGIN, sd=SD / 2),
        (NO,),
        sound=_is(EITHER),
    ),
    Row("equal", "0, of an equality", claim("equivalent"), normal(0.0, sd=SD / 2), (YES,)),
    Row(
        "blank-both",
        "both arms blank, one of them sharp and .025 of SSIM above",
        claim(margin=0.01)
        + claim("equivalent", 0.1, name="equal")
        + claim("less", 0.1, name="less")
        + claim(metric="acutance", name="sharper"),
        lambda rng: blank(0.225, 0.2, rng),
        (NOTHING,),
    ),
    Row(
        "blank-one-acutance",
        "the sharper arm is blank",
        claim(metric="acutance"),
        lambda rng: blank(0.2, 0.6, rng),
        (NOTHING,),
    ),
    Row(
        "blank-one-ssim",
        "one arm is blank, and its SSIM .4 lower",
        claim() + claim("less", name="less"),
        lambda rng: blank(0.6, 0.2, rng),
        (YES, NO),
    ),
    Row(
        "labels",
        "conditional models, legible through the label",
        claim(metric="legibility"),
        given_labels,
        (NOTHING,),
    ),
    Row(
        "own-objective",
        "one arm is trained on the metric",
        claim("less", 0.5, "neg_elbo").replace("mae", "bce").replace('"mse", beta = 1', '"bce", beta = 4'),
        own_objective,
        (NOTHING,),
    ),
    Row(
        "unconverged",
        "0 in the limit; at the end two margins, which halve",
        claim(),
        lambda rng: training((1.6, 0.8, 0.4), rng),
        (YES,),
        sound=_qualified,
    ),
    Row(
        "unconverged-slowly",
        "0 in the limit; moves by three quarters of a margin",
        claim(),
        lambda rng: training((0.6, 0.45, 0.3), rng, sd=0.05),
        (YES,),
        sound=_qualified,
    ),
    Row(
        "settled",
        "two margins from half of training on",
        claim(),
        lambda rng: training((0.6, 0.4, 0.4), rng),
        (YES,),
        right=_plain,
    ),
    Row("images", "at the margin; images err as much as a seed", claim(), partial(lucky, **SHARED)),
    Row("images-less", "the same; images err as much as the mean of 8 seeds", claim(), partial(lucky, images_sd=0.07)),
    Row(
        "images-part",
        "images err as much as a seed; 100 of 400 kept",
        claim(),
        partial(lucky, images_sd=SD, images=400, kept=100),
    ),
    Row(
        "images-not-kept",
        "images err as much as a seed",
        claim(),
        partial(lucky, **SHARED, given=False),
        limit=None,
        note="nothing kept of the images: the interval is for these images alone",
    ),
    Row(
        "classifiers",
        "at the margin; 3 classifiers err as much as a seed",
        claim(metric="kid"),
        partial(lucky, classifiers_sd=SD, classifiers=3, images=4, metric="kid"),
    ),
    Row(
        "classifiers-less",
        "the same; 3 classifiers err as much as the mean of 8 seeds",
        claim(metric="kid"),
        partial(lucky, classifiers_sd=0.07, classifiers=3, images=4, metric="kid"),
    ),
    Row(
        "classifiers-and-images",
        "3 classifiers and 200 images err as much as a seed",
        claim(metric="legibility"),
        partial(lucky, classifiers_sd=SD, images_sd=SD, classifiers=3, metric="legibility"),
    ),
    Row(
        "classifiers-not-kept",
        "3 classifiers err as much as a seed",
        claim(metric="kid"),
        partial(lucky, classifiers_sd=SD, classifiers=3, images=4, metric="kid", given=False),
        limit=None,
        note="nothing kept of the classifiers: for these alone",
    ),
    Row("failed", "at the margin; cells fail that speak against the claim", claim(), failing),
    Row("looks", "at the margin; 5 to 20 seeds, one by one", claim(), partial(looking, seeds=range(5, 21))),
    Row("looks-few", "at the margin; 5, 10, 20 seeds", claim(), partial(looking, seeds=(5, 10, 20))),
    Row(
        "looks-not-counted",
        "at the margin; 5 to 20 seeds, one by one",
        claim(),
        partial(looking, seeds=range(5, 21), counted=False),
        limit=None,
        note="without the rule: looks are not counted",
    ),
    Row(
        "lattice",
        "at the margin, on which a third of the differences lie",
        claim(metric="legibility", margin=BY_FOUR),
        partial(legible, first=BY_FOUR, second=0.0, unsure=3 / 360, given=False, anew=False),
    ),
    Row(
        "lattice-images",
        "at the margin over images, few of which change",
        LATTICE,
        partial(legible, first=0.05, second=0.04, unsure=0.01),
    ),
    Row(
        "no-spread",
        "at the margin over images, none of which changes",
        LATTICE,
        partial(legible, first=0.05, second=0.04, unsure=0.0),
    ),
    Row(
        "no-spread-not-kept",
        "at the margin over images, none of which changes",
        LATTICE,
        partial(legible, first=0.05, second=0.04, unsure=0.0, given=False),
        limit=None,
        note="nothing kept of the images: for these alone, where the value is what it is",
    ),
    Row("skew", "at the margin; a long tail against the claim", claim(), skewed, limit=None, note=SKEW),
    Row(
        "skew-forty",
        "forty such claims in one study",
        many(40),
        partial(skewed, count=40),
        limit=None,
        note="any of the forty; found not normal, so ranks must agree, which assume symmetry and cannot help",
    ),
    Row("collapse", "0; one run in ten collapses", claim(), collapsing, (NO,), limit=None, note=UNSEEN),
    Row("conjunction", "12 comparisons, each at its margin", legs(12), normal(MARGIN, kinds=12)),
    Row("readings", "one reading true, the other false", legs(2, ("r", "s")), read_twice, (BOTH,)),
    Row("null-readings", "two readings, each at its margin", legs(2, ("r", "s")), normal(MARGIN, kinds=2)),
)

"""What the data of a report cannot show: the limits of its seeds, images, tests and training, each in a sentence."""

from __future__ import annotations

from collections.abc import Sequence

from reports.judging.normality import Normality
from reports.judging.statistics import unseen
from reports.judging.verdict import Verdict
from reports.numbers import counted, listed, setting
from reports.page import convergence
from reports.page.claim_sections import ClaimSection
from reports.page.evidence import Evidence
from reports.page.layout import described
from reports.page.standing import UNKNOWN, Standing

Limit = tuple[str, str]  # what is limited, and the sentence


def limits(
    evidence: Evidence, sections: Sequence[ClaimSection], standing: Standing, normality: Normality
) -> list[Limit]:
    """The limits of this report, in the order of their weight. Empty where nothing is done."""
    if evidence.done.empty:
        return []
    singles = [single for section in sections for single in section.comparisons if single.effect is not None]
    rows = [
        ("One data set", _one_data_set(evidence)),
        ("Training", "" if not singles or convergence.is_known(sections) else convergence.UNKNOWN),
        ("Floor and ceiling", "" if standing.known else UNKNOWN),
        ("Rare events", _rare_events(evidence)),
        ("Images and classifiers", _luck(singles)),
        ("Failed cells", _failures(evidence, singles)),
        ("Looks", _looks(evidence)),
        ("Normality", normality.sentence if singles else ""),
        ("Intervals", _INTERVALS if singles else ""),
    ]
    return [(title, sentence) for title, sentence in rows if sentence]


_INTERVALS = (
    "The p values are adjusted for how many comparisons there are; the intervals are not, and about 5 in 100 of them "
    "miss the mean that they estimate. Each test looks at one side, as one end of a 90 % interval does. So a 95 % "
    "interval may reach a little past a margin although the test rejects."
)


_FOR_THESE_IMAGES = (
    "Such an interval holds for these test images: with others the effect may move by more than it says."
)


def _one_data_set(evidence: Evidence) -> str:
    data = evidence.environment.dataset or "one data set"
    return (
        f"All of this was measured on {data}, with the model and the training listed under Provenance. Other data, "
        "models or lengths of training may give other verdicts."
    )


def _rare_events(evidence: Evidence) -> str:
    seeds = evidence.done.groupby("arm")["seed"].nunique()
    most = int(seeds.max())
    fewer = " Arms with fewer seeds show less." if seeds.nunique() > 1 else ""
    return (
        f"What happens in fewer than {100 * unseen(most):.0f} % of runs, such as a collapse, may not have been seen in "
        f"{counted(most, 'seed')}. A verdict is about runs like those seen.{fewer}"
    )


def _luck(singles: Sequence[Verdict]) -> str:
    """Which intervals know nothing of the test images, and why."""
    without = [single for single in singles if single.images is None]
    if not without:
        return ""
    if len(without) == len(singles) and not any(single.luck for single in singles):
        return f"No values of single images are at hand, so intervals are over seeds only. {_FOR_THESE_IMAGES}"
    with_values = {single.metric for single in singles if single.images is not None}
    never = list(dict.fromkeys(single.metric for single in without if single.metric not in with_values))
    partly = sum(single.metric in with_values for single in without)
    over = len(singles) - len(without)
    have = "has its" if over == 1 else "have their"
    sentences = [f"Of {counted(len(singles), 'comparison')}, {over} {have} interval over seeds and test images."]
    if never:
        readers = any(single.luck.get("classifiers") for single in without)
        also = ", and over classifiers where several read the pictures" if readers else ""
        sentences.append(
            f"There are no values of single images of {listed(described(metric).label for metric in never)}: these "
            f"intervals are over seeds only{also}."
        )
    if partly:
        sentences.append(
            f"In {counted(partly, 'comparison')} these values were not kept for every cell, and the interval is over "
            "seeds only."
        )
    return " ".join((*sentences, _FOR_THESE_IMAGES))


def _failures(evidence: Evidence, singles: Sequence[Verdict]) -> str:
    if evidence.failed.empty:
        return ""
    failed = "cell" if len(evidence.failed) == 1 else f"{len(evidence.failed):,} cells"
    held = sum(bool(single.failed) for single in singles)
    if not held:
        return f"Means leave out the {failed} that failed. No claim compares them."
    return (
        f"Means leave out the {failed} that failed. In the {counted(held, 'comparison')} that would need them, a word "
        "stands only if it is the same with the worst values seen in their place."
    )


def _looks(evidence: Evidence) -> str:
    if evidence.looks < 2 or not evidence.verdicts:
        return ""
    looks, alpha = evidence.looks, evidence.verdicts[0].alpha
    return (
        f"This is report {looks} of this study, and those before had other seeds. The more often one looks, the more "
        f"often chance alone gives a result. So the level of the tests is {setting(alpha * looks**2)} divided by "
        f"{looks}²: {setting(alpha)}."
    )

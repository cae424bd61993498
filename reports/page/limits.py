"""What the data of a report cannot show: the limits of its seeds, images, tests and training, each in a sentence."""

from __future__ import annotations

from collections.abc import Sequence

from reports.judging.normality import of_verdicts
from reports.judging.statistics import unseen
from reports.judging.verdict import Verdict
from reports.numbers import counted, setting
from reports.page import convergence
from reports.page.claim_sections import ClaimSection
from reports.page.evidence import Evidence
from reports.page.standing import UNKNOWN, Standing

Limit = tuple[str, str]  # what is limited, and the sentence


def limits(evidence: Evidence, sections: Sequence[ClaimSection], standing: Standing) -> list[Limit]:
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
        ("Normality", of_verdicts(evidence.verdicts).sentence if singles else ""),
        ("Intervals", _INTERVALS if singles else ""),
    ]
    return [(title, sentence) for title, sentence in rows if sentence]


_INTERVALS = (
    "The p values are adjusted for their number, the intervals are not: about 5 in 100 do not contain the mean that "
    "they estimate. Each test is one-sided, as a 90 % interval is, so an interval may reach a little past a margin "
    "although the test rejects."
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
    """Which intervals are over seeds alone."""
    wide = sum(bool(single.luck) for single in singles)
    alone = (
        "An interval over seeds alone holds for these test images and these classifiers: others may move the effect "
        "by more than it says."
    )
    if not singles or wide == len(singles):
        return ""
    if not wide:
        return f"No values of single images are behind these comparisons. {alone}"
    left = len(singles) - wide
    others = "the other has" if left == 1 else f"the other {left} have"
    return (
        f"Of {counted(len(singles), 'comparison')}, {wide} {'has' if wide == 1 else 'have'} an interval over seeds and "
        f"test images or classifiers; {others} one over seeds alone, for want of values of single images. {alone}"
    )


def _failures(evidence: Evidence, singles: Sequence[Verdict]) -> str:
    if evidence.failed.empty:
        return ""
    failed = "cell" if len(evidence.failed) == 1 else f"{len(evidence.failed):,} cells"
    held = sum(bool(single.failed) for single in singles)
    if not held:
        return f"Means leave out the {failed} that failed. No comparison of a claim would need them."
    return (
        f"Means leave out the {failed} that failed. In the {counted(held, 'comparison')} that would need them, a word "
        "stands only if it is the same with the worst values seen in their place."
    )


def _looks(evidence: Evidence) -> str:
    if evidence.looks < 2 or not evidence.verdicts:
        return ""
    looks, alpha = evidence.looks, evidence.verdicts[0].alpha
    return (
        f"This is report {looks} of this study, and those before had other seeds. Whoever may stop at any of them "
        f"finds a false result more often, so the level of the tests is {setting(alpha * looks**2)} divided by "
        f"{looks}²: {setting(alpha)}."
    )

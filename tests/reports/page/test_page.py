"""The report's files: whole, escaped, self-contained, and saying what the evidence says."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from reports.claims.places import MATCHED, NOMINAL, OVERALL
from reports.judging.verdict import DEPENDS, INCONCLUSIVE, REFUTED, SCHEMA, SCHEMA_VERSION, SUPPORTED, WORDS
from reports.page import drawing
from reports.page.build import ReportPaths, build
from reports.page.claim_sections import claim_sections, detail
from reports.page.claim_tables import names, shared_by_arms
from reports.page.compare import write_comparison
from reports.page.evidence import Environment, Evidence
from reports.page.palette import VERDICT_SIGNS
from reports.page.prose import by_class
from tests import report_samples as samples
from tests import verdict_samples
from tests.paths import GOLDEN
from vae.arms import Arm
from vae.errors import UserError

HOSTILE = '<script>alert("x")</script><img src=http://evil.example/x.png onerror=alert(1)>'
VOID = {"meta", "link", "img", "br", "input", "hr"}


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return samples.whole_study()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> ReportPaths:
    return samples.whole_report(tmp_path_factory.getbasetemp())


def thin_frame() -> pd.DataFrame:
    """Two cells of one arm, with two metrics."""
    return samples.few_metrics(samples.cells(("bce",), ("sum",), (1.0,), seeds=2))


class Page(HTMLParser):
    """What a test asks of a page: its elements with their attributes, in order, and its text."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self.open):
            self.text.append(data)

    def all(self, tag: str) -> Iterator[dict[str, str]]:
        return (attributes for name, attributes in self.elements if name == tag)


@pytest.fixture(scope="module")
def page(report: ReportPaths) -> Page:
    return Page(report.html.read_text(encoding="utf-8"))


# Whole


def test_every_file_is_there_and_none_is_unfinished(report: ReportPaths, evidence: Evidence) -> None:
    folder = report.html.parent
    assert all(path.exists() for path in (report.html, report.markdown, report.verdicts, report.results))
    assert not list(folder.rglob("*.tmp"))
    for name in ("arms", "ssim", "loss-by-loss"):
        assert (report.tables / f"{name}.csv").exists()
        assert r"\toprule" in (report.tables / f"{name}.tex").read_text(encoding="utf-8")
    drawn = {path.stem for path in report.figures.iterdir()}
    assert {"effect-mae-acutance", "ssim-against-beta", "against-rate-1", "reconstructions", "transfer"} <= drawn
    kinds = {path.stem: path.suffix for path in report.figures.iterdir()}
    grids = {"reconstructions", "samples"}  # of pixels; all others are lines and words
    assert kinds == {name: ".png" if name in grids else ".svg" for name in drawn}
    assert len(pd.read_csv(report.results)) == len(evidence.frame)


def test_every_link_in_the_markdown_leads_to_a_file(report: ReportPaths) -> None:
    targets = re.findall(r"\]\(([^)]+)\)", report.markdown.read_text(encoding="utf-8"))
    assert len(targets) > 10
    assert not [target for target in targets if not (report.markdown.parent / target).exists()]


def test_verdicts_json_has_its_documented_schema(report: ReportPaths, evidence: Evidence) -> None:
    content = json.loads(report.verdicts.read_text(encoding="utf-8"))
    assert {"schema", "alpha", "study", "dataset", "claims_hash", "notes", "verdicts"} < set(content)
    assert content["registered"] == evidence.registered != ""
    assert content["normality"].startswith("No departure from normality was found")
    assert content["schema"] == SCHEMA_VERSION
    assert content["alpha"] == 0.05
    assert content["verdicts"] == [verdict.to_dict() for verdict in evidence.verdicts]

    def check(record: dict[str, Any]) -> None:
        assert set(record) == set(SCHEMA)
        assert record["verdict"] in WORDS
        for leg in record["legs"]:
            check(leg)

    for record in content["verdicts"]:
        check(record)


def test_the_page_says_the_verdicts_of_the_file(report: ReportPaths, page: Page) -> None:
    content = json.loads(report.verdicts.read_text(encoding="utf-8"))["verdicts"]
    answers = {record["claim"]["id"]: record for record in reversed(content)}  # of a claim, the first counts
    shown = {a["id"].removeprefix("claim-"): a["data-verdict"] for a in page.all("article")}
    assert shown == {claim: record["verdict"] for claim, record in answers.items()}
    assert set(shown.values()) == set(WORDS)
    text = " ".join(page.text)
    for record in answers.values():  # of several readings, the page lists each with its badge
        readings = [leg for leg in record["legs"] if leg["reading"] and not record["reading"]]
        assert all(one["sentence"] in text and one["word"] in text for one in readings or [record])
        assert record["word"] in text
    markdown = report.markdown.read_text(encoding="utf-8")
    assert all(f"### {claim}: {record['word']}" in markdown for claim, record in answers.items())
    assert "depends on the reading after 10 epochs" in text


def test_a_report_of_a_whole_grid_stays_small(report: ReportPaths) -> None:
    # 24 arms here; 36 arms and 59 with those that claims add measured 1.9 and 2.9 MB.
    assert report.html.stat().st_size < 3_000_000


# Self-contained


def test_nothing_on_the_page_points_outside_it(report: ReportPaths, page: Page) -> None:
    for tag, attributes in page.elements:
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            target = attributes.get(name, "")
            assert target.startswith(("data:", "#")) or not target, f"<{tag} {name}={target[:60]}>"
    style = report.html.read_text(encoding="utf-8").split("<style>", 1)[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style


def test_the_policy_allows_this_script_and_nothing_from_outside(page: Page) -> None:
    (policy,) = [a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "http" not in policy
    assert re.search(r"script-src 'sha256-[A-Za-z0-9+/=]{44}'", policy)


def test_pictures_inside_the_page_point_nowhere_either(page: Page) -> None:
    for image in page.all("img"):
        kind, content = image["src"].split(";base64,")
        decoded = base64.b64decode(content)
        if kind == "data:image/svg+xml":
            text = decoded.decode()
            assert not re.search(r"(href|src)=\"(?!#)", text)
            assert "<script" not in text
        else:
            assert decoded.startswith(b"\x89PNG")


# Readable by all


def test_elements_are_closed_and_names_used_once(page: Page) -> None:
    assert page.open == []
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = [a["href"][1:] for a in page.all("a") if a["href"].startswith("#")]
    assert set(targets) <= set(ids)
    assert set(ids) >= {a["aria-labelledby"] for _, a in page.elements if "aria-labelledby" in a}


def test_headings_step_down_one_level_at_a_time(page: Page) -> None:
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))


def test_pictures_are_described_and_tables_are_named(page: Page) -> None:
    assert all(len(image["alt"]) > 8 for image in page.all("img"))
    assert len(list(page.all("table"))) == len(list(page.all("caption"))) > 8
    assert all(head["scope"] in ("col", "row") for head in page.all("th"))
    tags = [tag for tag, _ in page.elements]
    assert all(tags.count(landmark) == 1 for landmark in ("main", "nav", "footer"))
    assert next(page.all("html"))["lang"] == "en"
    assert next(a for tag, a in page.elements if tag == "a")["href"] == "#main"


def test_a_verdict_is_a_word_and_a_sign_and_not_a_colour_alone(page: Page) -> None:
    text = " ".join(page.text)
    for word, (_, sign) in VERDICT_SIGNS.items():
        assert word in text
        assert sign in text


# Honest


def test_what_is_failed_or_missing_is_reported(page: Page) -> None:
    text = re.sub(r"\s+", " ", " ".join(page.text))
    assert "Of 120 planned cells, 118 are done, 1 failed and 1 is missing." in text
    assert "mse-mean-b2: seed 2" in text
    assert "a smaller learning rate may help" in text
    assert "The claims were changed after the run." in text


def test_no_column_that_one_loss_is_trained_on_can_be_sorted_by(page: Page) -> None:
    refused = [a["title"] for a in page.all("th") if "data-refused" in a and "title" in a]
    assert len(refused) == 6
    assert ["they win it by construction" in reason for reason in refused].count(True) == 5
    assert [reason for reason in refused if reason.startswith("bits per dim fails as a measure here: a histogram")]
    assert "won by construction" in " ".join(page.text)


def test_hostile_words_are_shown_and_never_run(tmp_path: Path) -> None:
    frame = samples.few_metrics(samples.cells(("bce", "mae"), ("sum",), (1.0, 4.0), seeds=5))
    frame = samples.fail(frame, "mae-sum-b4-s1", HOSTILE)
    verdict = verdict_samples.compared(frame, "ssim", ("mae-sum-b1", "bce-sum-b1"), 0.02)
    claim = replace(verdict.claim, quote=HOSTILE)
    words = {"sentence": HOSTILE, "label": HOSTILE, "evidence": (HOSTILE,), "reason": HOSTILE, "won_by": HOSTILE}
    verdict = replace(verdict, claim=claim, at_floor=(HOSTILE,), **words)
    verdict = replace(verdict, legs=tuple(replace(verdict, reading=f"{HOSTILE}{i}") for i in range(2)))
    hostile = Evidence(
        study="s",
        frame=frame,
        title=HOSTILE,
        description=HOSTILE,
        verdicts=(verdict,),
        environment=Environment(dataset=HOSTILE, versions={HOSTILE: HOSTILE}),
        notes=(HOSTILE,),
        study_file=HOSTILE,
        claims_hash=HOSTILE,
        registered=HOSTILE,
        references=samples.references(),
    )
    paths = build(hostile, tmp_path)
    page = Page(paths.html.read_text(encoding="utf-8"))
    assert len(list(page.all("script"))) == 1
    assert not [image for image in page.all("img") if not image["src"].startswith("data:")]
    assert " ".join(page.text).count(HOSTILE) >= 8
    for image in page.all("img"):
        assert "<script" not in base64.b64decode(image["src"].split(",")[1]).decode(errors="ignore")
    markdown = paths.markdown.read_text(encoding="utf-8")
    assert "<script" not in markdown
    assert "<img" not in markdown


@pytest.mark.parametrize("kept", ["nothing", "one cell", "failures only", "no plan"])
def test_a_thin_study_has_a_page_that_says_so(kept: str, tmp_path: Path) -> None:
    frame = thin_frame()
    frame = {"nothing": frame[:0], "one cell": frame[:1], "failures only": frame, "no plan": frame}[kept]
    if kept == "failures only":
        for key in frame["key"]:
            frame = samples.fail(frame, key, "diverged in epoch 1 at step 3")
    planned = frame[["key", "arm", "seed"]] if kept != "no plan" else frame[["key", "arm", "seed"]][:0]
    paths = build(Evidence(study="thin", frame=frame, planned=planned), tmp_path)
    page = Page(paths.html.read_text(encoding="utf-8"))
    text = " ".join(page.text)
    assert "No claims were judged" in text
    expected = {
        "nothing": "No cell has been trained and measured yet",
        "one cell": "The one planned cell is done",
        "failures only": "diverged in epoch 1 at step 3",
        "no plan": "The plan was not recorded",
    }
    assert expected[kept] in text
    assert not [a for a in page.all("section") if a["id"] == "pictures"]


def test_a_frame_that_lacks_a_column_is_refused_by_name() -> None:
    frame = thin_frame().drop(columns=["beta_eff", "posterior"])
    with pytest.raises(UserError, match=r"^frame lacks the columns \['beta_eff', 'posterior'\]; a report needs"):
        Evidence(study="s", frame=frame)


@pytest.mark.parametrize("maker", [build, lambda evidence, out: write_comparison(evidence, evidence, out)])
def test_a_folder_that_cannot_be_written_is_named(maker: Any, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("a file where a folder should be")
    thin = Evidence(study="s", frame=thin_frame())
    with pytest.raises(UserError, match=rf"^out: '{re.escape(str(taken))}.* cannot be written: "):
        maker(thin, taken)


def test_a_report_that_breaks_off_leaves_the_last_one_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    thin = Evidence(study="s", frame=thin_frame())
    before = build(thin, tmp_path).html.read_bytes()
    assert build(thin, tmp_path).html.read_bytes() == before  # twice the same study, twice the same bytes

    def broken(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(UserError, match="No space left on device"):
        build(thin, tmp_path)
    assert (tmp_path / "report.html").read_bytes() == before


# Claims as a reader meets them


def test_a_claim_of_two_places_is_answered_by_both_together(evidence: Evidence) -> None:
    section = next(section for section in claim_sections(evidence.verdicts) if section.id == "mae-acutance")
    assert section.verdict == INCONCLUSIVE  # with the worst values in place of the failed cell
    assert section.answer.place == OVERALL
    assert [single.place for single in section.comparisons] == [NOMINAL, NOMINAL, MATCHED, MATCHED]
    endings = [name.rpartition(", ")[2] for name in names(section.comparisons)]
    assert endings == ["as named", "as named", "at equal rate", "at equal rate"]
    assert section.seeds_needed == ""  # no number of seeds makes up for a cell that failed


def test_the_readings_of_a_claim_stand_on_its_card_each_with_its_word(evidence: Evidence, page: Page) -> None:
    section = next(section for section in claim_sections(evidence.verdicts) if section.id == "mae-is-better")
    assert section.verdict == DEPENDS
    assert {reading.reading: reading.verdict for reading in section.readings} == {
        "sharpness": SUPPORTED,
        "legibility": REFUTED,
    }
    assert section.opening == "It depends on what is meant:"
    assert all(f"read as ‘{reading.reading}’" in page.text for reading in section.readings)
    assert [name.endswith("(legibility)") for name in names(section.comparisons)] == [False, True, True]


def test_a_refutation_says_what_it_shows_and_where(evidence: Evidence) -> None:
    arms = ("mae-sum-b1", "bce-sum-b1")
    opposite = verdict_samples.compared(evidence.frame, "ssim", arms, 0.005)
    nothing = verdict_samples.compared(evidence.frame, "ssim", ("mse-sum-b1", "mse-mean-b0.1"), 0.9)
    holds = verdict_samples.compared(evidence.frame, "acutance_ratio", arms, 0.02)
    assert [detail(one) for one in (opposite, nothing, holds)] == [
        ": the opposite",
        ": no difference that matters",
        "",
    ]
    assert detail(replace(opposite, legs=(opposite, holds))) == ": the opposite in 1 of 2 comparisons"
    assert detail(replace(opposite, legs=(opposite, opposite))) == ": the opposite in both comparisons"
    assert detail(replace(opposite, legs=(opposite, nothing))) == ""


def test_a_figure_shows_the_comparisons_closest_to_another_verdict(evidence: Evidence) -> None:
    leg = verdict_samples.compared(evidence.frame, "ssim", ("mse-sum-b1", "mse-sum-b4"), 0.1)
    legs = tuple(replace(leg, label=f"leg {p}", p_in_adj=p / 1000) for p in range(12))
    (section,) = claim_sections([replace(leg, legs=legs)])
    assert [single.label for single in section.drawn] == [f"leg {p}" for p in range(4, 12)]
    assert section.drawn_note == "8 of 12 comparisons: those closest to a different verdict."


def test_the_seeds_that_would_decide_are_given_once(evidence: Evidence) -> None:
    leg = verdict_samples.compared(evidence.frame, "ssim", ("mse-sum-b1", "mse-sum-b4"), 0.1)
    opened = replace(leg, verdict=INCONCLUSIVE, seeds_to_settle=14, sentence="One of two parts is open.")
    numbered = replace(opened, sentence="Too near the margin; about 12 seeds would be needed to decide.")
    assert [section.seeds_needed[:14] for section in claim_sections([opened])] == ["About 14 seeds"]
    assert [section.seeds_needed for section in (*claim_sections([numbered]), *claim_sections([leg]))] == ["", ""]


def test_what_the_arms_of_a_seed_share_is_a_sentence_of_the_claim(evidence: Evidence) -> None:
    section = claim_sections(evidence.verdicts)[0]
    sentence = "The arms of a seed share initial weights, batch order and noise."
    assert shared_by_arms(section) == [sentence]
    legs = section.comparisons
    assert len(legs) == 4
    some = tuple(replace(leg, legs=(), shared=shared) for leg, shared in zip(legs, [("batch order",)] * 3 + [()]))
    (mixed,) = claim_sections([replace(section.answer, legs=some)])
    labels = names(some)
    assert shared_by_arms(mixed) == [
        f"In the comparisons “{labels[0]}”, “{labels[1]}” and “{labels[2]}”, the arms of a seed share batch order, "
        "but not initial weights or noise.",
        f"In the comparison “{labels[3]}”, the arms of a seed share only their number, "
        "not initial weights or batch order or noise.",
    ]


def test_a_claim_without_two_arms_to_pair_shares_nothing(evidence: Evidence) -> None:
    sections = {section.id: section for section in claim_sections(evidence.verdicts)}
    assert shared_by_arms(sections["sigmoid-range"]) == shared_by_arms(sections["half-is-a-must"]) == []


# A study that varies more than loss, reduction, beta and posterior


@pytest.fixture(scope="module")
def further(tmp_path_factory: pytest.TempPathFactory) -> ReportPaths:
    evidence = samples.further_study()
    verdict = verdict_samples.compared(
        evidence.frame[evidence.frame["arm"].isin(["mae-sum-b1", "bce-sum-b1"])],
        "acutance_ratio",
        ("mae-sum-b1", "bce-sum-b1"),
        0.02,
    )
    return build(replace(evidence, verdicts=(verdict,)), tmp_path_factory.mktemp("further"))


def test_each_varied_factor_has_a_column_and_a_fact(further: ReportPaths) -> None:
    page = Page(further.html.read_text(encoding="utf-8"))
    titles = [text.strip() for text in page.text]
    assert {"latents", "conditional", "latents, varied", "conditional, varied"} <= set(titles)
    assert "2, 10 and 20 (base: 20)" in titles
    assert "false and true (base: false)" in titles
    arms = pd.read_csv(further.tables / "arms.csv")
    of_arm = arms.drop_duplicates("arm").set_index("arm")
    assert len(of_arm) == 36
    assert of_arm.loc["mae-sum-b4-latents2-conditional", "model.latents"] == 2
    assert of_arm.loc["mae-sum-b4", "model.latents"] == 20
    assert {"model.latents", "model.conditional"} <= set(pd.read_csv(further.results).columns)


def test_captions_name_the_base_that_figures_and_tables_keep_to(further: ReportPaths) -> None:
    clause = "Other settings as in the study’s base: 20 latents, without labels."
    text = further.markdown.read_text(encoding="utf-8")
    captions = re.findall(r"!\[(.*?)\]\(figures/(.*?)\.svg\)", text)
    drawn = {name: caption for caption, name in captions}
    kept = [name for name in drawn if re.search(r"against-(beta|rate)|transfer|training", name)]
    assert {"rate-against-beta", "against-rate-2", "transfer", "training-train_rate"} <= set(kept)
    assert all(drawn[name].endswith(clause) for name in kept)
    assert drawn["against-latents"].endswith("Other settings as in the study’s base: without labels.")
    page = " ".join(Page(further.html.read_text(encoding="utf-8")).text)
    assert f"SSIM by loss, reduction and β: mean ± 95 % interval, n = 3 seeds. {clause}" in page
    assert f"At one β: sum, β = 1; mean ± 95 % interval, n = 3 seeds. {clause}" in page
    assert len(pd.read_csv(further.tables / "ssim.csv")) == 6  # two losses, three betas


def test_where_no_arm_has_the_base_nothing_is_drawn_against_beta_and_the_page_says_so(tmp_path: Path) -> None:
    paths = build(samples.further_study(seeds=2, base=Arm(latents=5), pictures={}), tmp_path)
    text = paths.markdown.read_text(encoding="utf-8")
    assert "No arm of the grid has the settings of the study’s base (5 latents, without labels)" in text
    assert not [path for path in paths.figures.iterdir() if re.search("against-(beta|rate)|training", path.name)]


@pytest.mark.parametrize(
    ("latents_only", "sentence"),
    [
        (False, "Samples of arms with labels are drawn by class: the 10 classes in turn"),
        (True, "Samples are drawn by class: the 10 classes in turn"),
    ],
)
def test_samples_are_drawn_by_class_where_arms_have_labels(latents_only: bool, sentence: str) -> None:
    evidence = samples.further_study(seeds=1, classes=10)
    if latents_only:
        evidence = replace(evidence, frame=evidence.frame.drop(columns="model.conditional"))
    assert by_class(evidence).startswith(sentence)
    assert by_class(replace(evidence, classes=0)) == ""


def test_a_study_of_the_usual_factors_names_no_base(report: ReportPaths) -> None:
    assert "base" not in report.markdown.read_text(encoding="utf-8")


# A small report, word for word


def small() -> Evidence:
    frame = samples.fail(
        samples.cells(("bce", "mae"), ("sum", "mean"), (0.5, 1.0), seeds=5), "mae-mean-b1-s4", "diverged in epoch 2"
    )
    planned = samples.cells(("bce", "mae"), ("sum", "mean"), (0.5, 1.0), seeds=6)[["key", "arm", "seed"]]
    arms = ("mae-sum-b1", "bce-sum-b1")
    at_points = samples.points(frame)
    known = {
        "base": samples.BASE,
        "references": samples.references(),
        "per_image": samples.per_image(frame),
        "history": at_points,
    }
    verdicts = (
        verdict_samples.compared(frame, "acutance_ratio", arms, 0.02, name="sharper", **known),
        verdict_samples.compared(frame, "ssim", arms, 0.005, name="better", **known),
    )
    return Evidence(
        study="small",
        title="A small study",
        description="Two losses, two reductions, two betas.",
        frame=frame,
        verdicts=verdicts,
        planned=planned[planned["key"] != "bce-sum-b1-s5"],
        environment=samples.environment(),
        base=samples.BASE,
        history=at_points,
        references=samples.references(),
        claims_hash="0f1e2d3c",
        registered="Registered before the run: https://osf.io/abcde, 2026-01-12.",
    )


def alike(content: Any, expected: Any) -> bool:
    """Equal, numbers to nine figures: the last bits of a sum depend on the machine."""
    if isinstance(expected, dict):
        return content.keys() == expected.keys() and all(alike(content[key], expected[key]) for key in expected)
    if isinstance(expected, list):
        return len(content) == len(expected) and all(map(alike, content, expected))
    return bool(content == pytest.approx(expected, rel=1e-9) if isinstance(expected, float) else content == expected)


def test_a_small_report_reads_as_it_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the change is meant, copy the new files over those in tests/golden, and read the difference."""
    monkeypatch.setattr(drawing.Drawing, "picture", lambda _: drawing.Picture(b"<svg>", 1))  # no figure is read here
    paths = build(small(), tmp_path)
    # The table of metrics is the catalogue's text: it is tested there.
    text = paths.markdown.read_text(encoding="utf-8").split("## Metrics")[0]
    assert text == (GOLDEN / "report.md").read_text(encoding="utf-8"), f"new text: {paths.markdown}"
    content, golden = (
        json.loads(path.read_text(encoding="utf-8")) for path in (paths.verdicts, GOLDEN / "verdicts.json")
    )
    assert alike(content, golden), f"new content: {paths.verdicts}"
    table = (paths.tables / "ssim.tex").read_text(encoding="utf-8")
    assert table == (GOLDEN / "ssim.tex").read_text(encoding="utf-8")

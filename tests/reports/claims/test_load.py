"""Claims files: what the bundled ones say, every mistake refused by name, and the arms that claims pull."""

from __future__ import annotations

import json
import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.claims.comparability import winner
from reports.claims.kinds import KINDS
from reports.claims.load import Claim, claims_from_json, claims_hash, load_claims, load_registration, parse_claims
from reports.claims.needs import needed_arms
from reports.claims.selectors import Selector
from tests.claim_samples import resolved
from vae.arms import Arm, same_arm, sum_twin
from vae.errors import UserError
from vae.factors import factor, factors, same_value
from vae.families import FAMILIES

IDS = [
    "better-than-bce",
    "mae-acutance",
    "mse-blurs",
    "beta-is-the-weight",
    "mean-is-a-reweighting",
    "sum-is-the-paper",
    "prefer-beta",
    "half-is-a-must",
    "sigmoid-range",
    "code-as-printed",
]
METRICS = {"ssim", "acutance_ratio", "rate", "mse", "neg_elbo"}
GOOD = """
[margins.acutance_ratio]
margin = 0.02
reason = "two per cent"

[[claim]]
id = "mae-sharper"
quote = "MAE is sharper"
kind = "greater"
places = ["nominal"]
metric = "acutance_ratio"
a = { loss = "mae", reduction = "sum", beta = 1 }
b = { loss = "mse", reduction = "sum", beta = 1 }
"""
LEGS = """
[[claim]]
id = "both"
quote = "Both are sharper"
kind = "greater"
"""
LEG = """
[[claim.leg]]
metric = "acutance_ratio"
a = { loss = "mae", reduction = "sum", beta = 1 }
b = { loss = "bce", reduction = "sum", beta = 1 }
"""


def mnist_beta(arm: Arm) -> float:
    return arm.effective_beta(784)


def parsed(text: str) -> tuple[Claim, ...]:
    return parse_claims(tomllib.loads(text), file="mine.toml", metrics=METRICS)


def test_the_notes_hold_all_ten_claims() -> None:
    claims = load_claims("notes")
    assert [claim.id for claim in claims] == IDS
    assert all(claim.expect for claim in claims)


def test_the_margins_are_the_ones_fixed_before_any_run() -> None:
    legs = [leg for claim in load_claims("notes") for leg in claim.legs if leg.metric]
    shares = {leg.metric: (leg.share, leg.of) for leg in legs if leg.share is not None}
    assert shares == {
        "ssim": (0.01, "floor to ceiling"),
        "ssim_inverted": (0.01, "floor to ceiling"),
        "legibility": (0.003, "floor to ceiling"),
        "kid": (0.01, "floor to ceiling"),
        "frechet": (0.01, "floor to ceiling"),
        "rate": (0.05, "rate at beta 1"),
        "neg_elbo": (0.05, "rate at beta 1"),
    }
    assert {leg.metric: leg.margin for leg in legs if leg.margin is not None}["acutance_ratio"] == 0.02
    assert all(leg.reason for leg in legs)


def test_no_counted_leg_of_the_notes_is_won_by_construction() -> None:
    for claim in load_claims("notes"):
        for leg in claim.legs:
            if leg.counted and leg.a is not None and leg.b is not None:
                a, b = (selector.arm(Arm(), mnist_beta) for selector in (leg.a, leg.b))
                assert winner(leg.metric, a, b, mnist_beta(a), mnist_beta(b)) == "", (claim.id, leg.label)


def test_the_notes_have_readings_where_their_words_have_two_senses() -> None:
    readings = {claim.id: claim.readings for claim in load_claims("notes") if claim.readings != ("",)}
    assert readings == {
        "better-than-bce": ("reconstructions", "samples"),
        "half-is-a-must": ("KL as written, the codes", "KL as written, the samples", "KL rewritten"),
    }


def test_the_predictions_name_their_source_and_no_number() -> None:
    claims = load_claims("ppca")
    assert [leg.prediction for claim in claims for leg in claim.legs] == ["ppca-rate"] * 2 + ["ppca-collapse-beta"]
    assert [leg.kind.name for claim in claims for leg in claim.legs] == ["predicted"] * 2 + ["predicted-beta"]
    assert all(leg.reference is None for claim in claims for leg in claim.legs)
    assert all("Lucas et al. 2019, in our words" in claim.quote for claim in claims)


def test_the_anchor_is_the_published_one() -> None:
    (claim,) = load_claims("anchor")
    assert (claim.kind, claim.legs[0].reference, claim.legs[0].margin) == (KINDS["anchor"], 105.6, 0.5)


def test_several_files_are_one_list_and_a_path_is_a_source_too(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(GOOD)
    assert [claim.id for claim in load_claims("anchor", mine)] == ["reference-elbo", "mae-sharper"]
    with pytest.raises(UserError, match=r"mine\.toml, claim 'mae-sharper': id='mae-sharper' is used twice"):
        load_claims(mine, mine)


def test_one_comparison_in_the_claim_is_one_leg() -> None:
    (short,) = parsed(GOOD)
    own, rest = GOOD[GOOD.index("metric = ") :], GOOD[: GOOD.index("metric = ")]
    (long,) = parsed(f"{rest}\n[[claim.leg]]\n{own}")
    assert short == long
    assert short.legs[0].margin == 0.02


def test_logged_claims_come_back_the_same() -> None:
    claims = load_claims("notes", "anchor", "ppca")
    assert claims_from_json([claim.model_dump(mode="json") for claim in claims]) == claims
    with pytest.raises(UserError, match="cannot be read by this version"):
        claims_from_json([{"id": "old"}])


def test_the_hash_names_the_content_and_not_the_layout() -> None:
    reordered = GOOD.replace(
        'id = "mae-sharper"\nquote = "MAE is sharper"', 'quote="MAE is sharper" # words\nid="mae-sharper"'
    )
    assert claims_hash(parsed(reordered)) == claims_hash(parsed(GOOD))
    assert len(claims_hash(parsed(GOOD))) == 16


@pytest.mark.parametrize(
    "change",
    [
        ("0.02", "0.03"),
        ("two per", "three per"),
        ("beta = 1 }", "beta = 2 }"),
        ("sharper", "softer"),
        ("greater", "less"),
    ],
)
def test_any_change_of_what_is_claimed_changes_the_hash(change: tuple[str, str]) -> None:
    assert claims_hash(parsed(GOOD.replace(*change))) != claims_hash(parsed(GOOD))


def swap(old: str, new: str) -> str:
    if old not in GOOD:
        raise ValueError(f"{old!r} is not in the good file")
    return GOOD.replace(old, new, 1)


HERE = r"^claims file mine\.toml, claim 'mae-sharper'"
B = 'b = { loss = "mse", reduction = "sum", beta = 1 }'
MISTAKES = {
    "unknown key": (
        swap('quote = "MAE', 'qoute = "x"\nquote = "MAE'),
        rf"{HERE}: unknown key 'qoute' \(= 'x'\); allowed: \[.*\]\. Did you mean 'quote'\?",
    ),
    "unknown table": (GOOD + "[margin]\n", r"mine\.toml: unknown key 'margin'.*Did you mean 'margins'\?"),
    "unknown kind": (swap('"greater"', '"grater"'), rf"{HERE}: kind='grater' is not one of .*Did you mean 'greater'\?"),
    "unknown metric": (
        swap('metric = "acutance_ratio"', 'metric = "acutance_ration"\nmargin = 1\nreason = "x"'),
        rf"{HERE}: metric='acutance_ration' is not in the catalogue; .*Did you mean 'acutance_ratio'\?",
    ),
    "margins of no metric": (
        GOOD.replace("margins.acutance_ratio", "margins.ssimm"),
        r"mine\.toml: margins='ssimm' is not in the catalogue; .*Did you mean 'ssim'\?",
    ),
    "unknown selector field": (
        swap('{ loss = "mae"', '{ los = "mae"'),
        rf"{HERE}, a: unknown key 'los' \(= 'mae'\); allowed: \['loss', .*Did you mean 'loss'\?",
    ),
    "unknown loss": (swap('"mae"', '"maee"'), rf"{HERE}, a: loss='maee' is not one of .*Did you mean 'mae'\?"),
    "unknown reduction": (
        swap('reduction = "sum"', 'reduction = "sums"'),
        rf"{HERE}, a: reduction='sums' is not one of .*Did you mean 'sum'\?",
    ),
    "unknown posterior": (
        swap("beta = 1 }", 'beta = 1, posterior = "half" }'),
        rf"{HERE}, a: posterior='half' is not one of .*half-logvar",
    ),
    "negative beta": (swap("beta = 1", "beta = -1"), rf"{HERE}, a: beta=-1 must be a finite number, 0 or more"),
    "beta that is a word": (
        swap(B, B.replace("1", '"tunned"')),
        rf"{HERE}, b: beta='tunned' must be a number or 'tuned'\. Did you mean 'tuned'\?",
    ),
    "two weights": (swap("beta = 1 }", "beta = 1, beta_eff = 2 }"), rf"{HERE}, a: beta=1.0 and beta_eff=2.0: give one"),
    "negative margin": (
        swap("0.02", "-0.02"),
        r"mine\.toml, \[margins.acutance_ratio\]: margin=-0.02 must be a finite number, 0 or more",
    ),
    "margin not a number": (
        swap("0.02", "nan"),
        r"mine\.toml, \[margins.acutance_ratio\]: margin=nan must be a finite number",
    ),
    "missing margin": (
        swap('[margins.acutance_ratio]\nmargin = 0.02\nreason = "two per cent"\n', ""),
        rf"{HERE}: margin is missing: kind='greater' needs it \(or a table \[margins.acutance_ratio\]\)",
    ),
    "missing reason": (
        swap('reason = "two per cent"\n', ""),
        r"mine\.toml, \[margins.acutance_ratio\]: reason is missing",
    ),
    "own margin without reason": (
        swap(B, f"{B}\nmargin = 0.1"),
        rf"{HERE}: reason is missing: kind='greater' needs it",
    ),
    "margins without margin": (swap("margin = 0.02\n", ""), r"\[margins.acutance_ratio\]: margin is missing"),
    "missing quote": (swap('quote = "MAE is sharper"\n', ""), rf"{HERE}: quote is missing"),
    "missing id": (swap('id = "mae-sharper"\n', ""), r"mine\.toml, a claim without id: id is missing"),
    "id with blanks": (swap('"mae-sharper"', '"MAE sharper"'), r"id='MAE sharper' must be lower-case words"),
    "bad place": (
        swap('["nominal"]', '["matched-rat"]'),
        rf"{HERE}: places='matched-rat' is not one of .*Did you mean 'matched-rate'\?",
    ),
    "no comparison": (LEGS, r"claim 'both': legs are missing: give the comparison"),
    "empty legs": (LEGS + "leg = []\n", r"claim 'both': legs are missing"),
    "legs and a comparison": (GOOD + LEG, rf"{HERE}: 'metric' stands beside \[\[claim.leg\]\]"),
    "the second leg": (
        GOOD + LEGS + LEG + LEG.replace('"bce"', '"bcee"'),
        r"claim 'both', leg 2, b: loss='bcee' is not one of .*Did you mean 'bce'\?",
    ),
    "against nothing": (
        swap(B, ""),
        rf"{HERE}: none given: kind='greater' needs exactly one of 'b', 'twin', 'reference'",
    ),
    "against two things": (swap(B, f"{B}\nreference = 0"), rf"{HERE}: b and reference given: .* exactly one of"),
    "an open arm": (
        swap(B, 'b = { loss = "mse", reduction = "sum" }'),
        rf"{HERE}: selector .*'mse'.* must name one arm: loss and beta",
    ),
    "tuned first arm": (
        swap(
            'a = { loss = "mae", reduction = "sum", beta = 1', 'a = { loss = "mae", reduction = "sum", beta = "tuned"'
        ),
        rf"{HERE}: a.beta='tuned': only b can be tuned",
    ),
    "unknown check": (
        '[[claim]]\nid = "x"\nquote = "x"\nkind = "fact"\ncheck = "sigmoid-rang"\n',
        r"claim 'x': check='sigmoid-rang' is not one of .*Did you mean 'sigmoid-range'\?",
    ),
    "a fact with a metric": (
        '[[claim]]\nid = "x"\nquote = "x"\nkind = "fact"\ncheck = "sigmoid-range"\nmetric = "ssim"\n',
        r"claim 'x': metric='ssim' has no meaning for kind='fact'",
    ),
    "a trend at one beta": (
        swap('"greater"', '"trend"').replace(B, 'direction = "falls"'),
        rf"{HERE}: a=.*: a trend runs over beta, so .* leave beta open",
    ),
    "a trend without direction": (
        swap('"greater"', '"trend"')
        .replace(B, "")
        .replace('mae", reduction = "sum", beta = 1', 'mae", reduction = "sum"'),
        rf"{HERE}: direction is missing: kind='trend' needs it",
    ),
    "an equality without room": (
        swap('"greater"', '"equivalent"').replace("0.02", "0"),
        rf"{HERE}: margin=0 leaves no room for kind='equivalent'",
    ),
    "rate at equal rate": (
        GOOD.replace("acutance_ratio", "rate").replace('["nominal"]', '["matched-rate"]'),
        rf"{HERE}: places='matched-rate': metric='rate' is equal by construction",
    ),
    "one curve at equal rate": (
        swap('["nominal"]', '["matched-rate"]').replace(B, 'b = { loss = "mae", reduction = "sum", beta = 2 }'),
        rf"{HERE}: places='matched-rate': a and b differ in beta alone",
    ),
    "nothing counted": (
        GOOD[: GOOD.index("metric =")] + LEG + "counted = false\n",
        rf"{HERE}: every leg has counted=false",
    ),
    "own objective": (
        GOOD.replace("acutance_ratio", "mse"),
        rf"{HERE}: metric='mse' is refused: mse is what the mse arms are trained on: they win it by construction",
    ),
    "Bernoulli bound across losses": (
        GOOD.replace("acutance_ratio", "neg_elbo").replace('"mse"', '"bce"'),
        rf"{HERE}: metric='neg_elbo' is refused: neg_elbo is what the bce arms are trained on.* With counted=false",
    ),
    "a rate below nothing": (
        "[matched_rate]\nrates = [10, -5]\n" + GOOD,
        r"mine\.toml: rates=-5: input should be greater than 0",
    ),
    "curves of one beta": (swap(B, f"{B}\nbetas = [1]"), rf"{HERE}: betas=\[1\]: .*at least 2"),
    "no claim": ("[margins]\n", r"mine\.toml: claim is missing"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_each_mistake_is_refused_by_name(name: str) -> None:
    text, message = MISTAKES[name]
    with pytest.raises(UserError, match=message):
        parsed(text)


def test_the_good_file_is_good() -> None:
    assert len(parsed(GOOD + LEGS + LEG)) == 2


def test_all_mistakes_of_a_file_are_told_at_once() -> None:
    text = GOOD.replace('"mae"', '"mea"').replace('["nominal"]', '["here"]')
    with pytest.raises(UserError) as caught:
        parsed(text)
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "note",
            r"claims='note' is neither a file nor one of the bundled \['anchor', 'notes', 'ppca'\]\. "
            r"Did you mean 'notes'\?",
        ),
        ("gone/mine.toml", "claims='gone/mine.toml' is neither a file"),
    ],
)
def test_a_source_that_is_not_there(source: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_claims(source)


@pytest.mark.parametrize("content", [b"id = 'open", b"\xff\xfe\x00", b"[[claim]\n"])
def test_a_file_that_is_no_toml(tmp_path: Path, content: bytes) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_bytes(content)
    with pytest.raises(UserError, match=r"claims file .*mine\.toml is not TOML: "):
        load_claims(mine)


# Selectors.

OTHER: dict[str, Any] = {
    "loss": "mae",
    "reduction": "mean",
    "beta": 3.5,
    "posterior": "log-std",
    "model.family": "conv",
    "model.latents": 3,
    "model.conditional": True,
    "training.last_batch": "keep",
    "training.clip_norm": 2.5,
    "training.precision": "float64",
}


def another(name: str) -> Any:
    """A value of that factor that is not its default."""
    default = factor(name).default
    if name in OTHER:
        return OTHER[name]
    if isinstance(default, tuple):
        return [2 * item for item in default]
    assert isinstance(default, int | float)
    return 2 * default if default else 0.25


def base_for(name: str) -> Arm:
    """A base whose family has the factor."""
    return Arm(family=next(family for family in FAMILIES if factor(name).applies(family)))


@pytest.mark.parametrize("name", factors())
def test_every_factor_can_be_selected_and_comes_back_from_json(name: str) -> None:
    base = base_for(name)
    selector = Selector.of({"loss": "bce", "reduction": "sum", "beta": 1, name: another(name)})
    wanted = base.replace({name: another(name)})
    assert selector.matches(wanted, base)
    assert selector.arm(base, mnist_beta) == wanted
    assert selector.matches(base, base) == same_value(wanted.get(name), base.get(name))
    assert Selector.of(json.loads(json.dumps(selector.to_dict()))) == selector


@pytest.mark.parametrize("name", [name for name in factors() if name not in ("loss", "reduction", "beta")])
def test_what_a_selector_leaves_out_is_the_bases(name: str) -> None:
    base = base_for(name)
    other, selector = base.replace({name: another(name)}), Selector.of({"loss": "bce", "beta": 1})
    assert selector.matches(base, base)
    assert not selector.matches(other, base)
    assert selector.matches(other, other)


def test_tables_may_be_nested_and_numbers_are_the_same_to_rounding() -> None:
    nested = Selector.of({"loss": "bce", "beta": 1, "model": {"latents": 2}, "training": {"learning_rate": 3e-4}})
    assert nested == Selector.of({"model.latents": 2, "training.learning_rate": 0.0003, "loss": "bce", "beta": 1.0})
    assert nested.matches(Arm(latents=2, learning_rate=3e-4 * (1 + 1e-12)), Arm())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"model.latent": 2},
            r"unknown key 'model\.latent' \(= 2\); allowed: \[.*\]\. Did you mean 'model\.latents'\?",
        ),
        ({"model": {"latent": 2}}, r"unknown key 'model\.latent'"),
        ({"latents": 2}, r"unknown key 'latents' .* Did you mean 'model\.latents'\?"),
        ({"model.latents": 0}, "latents=0 must be a whole number, 1 or more"),
        ({"training.learning_rate": "fast"}, "learning_rate='fast' must be a finite number"),
        ({"model.family": "mlp", "model.channels": [8]}, "channels is not an option of family='mlp'"),
        ({"beta": True}, "beta=True must be a finite number"),
    ],
)
def test_a_selector_that_names_nothing_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Selector.of(given)


def test_without_a_reduction_a_selector_names_the_sum_arm_and_in_twins_every_other() -> None:
    (claim,) = parsed(GOOD.replace(', reduction = "sum"', ""))
    assert (claim,) == parsed(GOOD)
    twin = GOOD.replace(B, "twin = true").replace(', reduction = "sum", beta = 1', "").replace("greater", "equivalent")
    (claim,) = parsed(twin)
    assert claim.legs[0].a == Selector.of({"loss": "mae"})


# Shares, readings and registration.

SHARE = 'share = 0.01\nof = "floor to ceiling"\n'


def test_a_margin_may_be_a_share_for_a_metric_or_for_a_leg() -> None:
    (of_metric,) = parsed(swap("margin = 0.02\n", SHARE))
    (of_leg,) = parsed(swap(B, f'{B}\n{SHARE}reason = "two per cent"\n'))
    assert of_metric == of_leg
    assert (of_leg.legs[0].share, of_leg.legs[0].of, of_leg.legs[0].margin) == (0.01, "floor to ceiling", None)
    with pytest.raises(UserError, match=r"share=0\.01 of 'floor to ceiling' is no number yet; resolve the claims"):
        assert of_leg.legs[0].region


def test_shares_of_the_support_take_the_place_of_rates() -> None:
    (claim,) = parsed("[matched_rate]\nshares = [0.25, 0.75]\n" + GOOD)
    assert (claim.shares, claim.rates) == ((0.25, 0.75), ())
    (own,) = parsed("[matched_rate]\nshares = [0.25, 0.75]\nbetas = [1, 2]\n" + swap(B, f"{B}\nrates = [10]"))
    assert (own.shares, own.rates, own.betas) == ((), (10,), (1, 2))
    assert claims_from_json([each.model_dump(mode="json") for each in (claim, own)]) == (claim, own)


def test_readings_are_in_their_order_and_a_comparison_may_stand_in_two() -> None:
    head = GOOD[: GOOD.index("metric =")]
    (claim,) = parsed(head + LEG + 'reading = "b"\n' + LEG + 'reading = "a"\n')
    assert claim.readings == ("b", "a")
    assert parsed(GOOD)[0].readings == ("",)


def test_what_a_loss_wins_by_construction_may_be_shown() -> None:
    text = GOOD[: GOOD.index("metric =")].replace("[margins.acutance_ratio]", "[margins.mse]") + LEG + LEG
    text = text.replace("[margins.mse]", '[margins.acutance_ratio]\nmargin = 0.1\nreason = "x"\n[margins.mse]', 1)
    text = text.replace('metric = "acutance_ratio"', 'metric = "mse"\ncounted = false', 1).replace('"bce"', '"mse"')
    assert [leg.counted for leg in parsed(text)[0].legs] == [False, True]


REGISTERED = '[registration]\nwhere = "https://osf.io/abcde"\nwhen = "2026-11-20"\n'


def test_a_registration_is_read_and_is_no_part_of_the_claims(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(GOOD + REGISTERED)
    registration = load_registration(mine)
    assert registration is not None
    assert (registration.where, registration.when) == ("https://osf.io/abcde", date(2026, 11, 20))
    assert claims_hash(load_claims(mine)) == claims_hash(parsed(GOOD))
    mine.write_text(GOOD + REGISTERED.replace('"2026-11-20"', "2026-11-20"))
    assert load_registration(mine) == registration
    assert load_registration("notes") is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"https://osf.io/abcde"', '" "', r"where=' ' is blank"),
        ('"https://osf.io/abcde"', '""', r"where=''"),
        ('where = "https://osf.io/abcde"', "", "where is missing"),
        ('"2026-11-20"', '"20.11.2026"', r"when='20\.11\.2026' must be a date: .* such as '2026-11-20'"),
        ('"2026-11-20"', '"2026-13-20"', r"when='2026-13-20' must be a date"),
        ('"2026-11-20"', "2026-11-20T10:00:00", r"when='2026-11-20 10:00:00' must be a date"),
        ("where", 'who = "x"\nwhere', r"unknown key 'who' \(= 'x'\); allowed: \['where', 'when'\]"),
    ],
)
def test_a_registration_that_is_none_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(GOOD + REGISTERED.replace(old, new, 1))
    for read in (load_claims, load_registration):
        with pytest.raises(UserError, match=rf"^claims file mine\.toml, \[registration\]: {message}"):
            read(mine)


# Which arms claims pull into a plan.
GRID = [
    Arm(loss, reduction=reduction, beta=beta)
    for loss in ("bce", "mse", "mae")
    for reduction in ("sum", "mean")
    for beta in (0.1, 0.25, 0.5, 1, 2, 4)
]


def needed(grid: list[Arm], *sources: str, base: Arm | None = None) -> list[Arm]:
    return needed_arms(load_claims(*sources), grid, base=base or Arm(), effective_beta=mnist_beta)


def test_the_notes_pull_what_the_notes_grid_lacks() -> None:
    arms = needed(GRID, "notes")
    labels = {arm.label() for arm in arms}
    twins = {sum_twin(arm, mnist_beta(arm)).label() for arm in GRID if arm.reduction == "mean"}
    assert twins <= labels
    assert labels - twins == {"bce-sum-b1-full-logvar", "bce-sum-b1-log-std"} | {
        f"{loss}-mean-b0.0255102" for loss in ("bce", "mse", "mae")
    }
    assert len(arms) == len(labels) == 23


def test_every_mean_arm_has_its_twin_in_the_end() -> None:
    everything = GRID + needed(GRID, "notes")
    for arm in everything:
        if arm.reduction == "mean":
            assert any(same_arm(sum_twin(arm, mnist_beta(arm)), other) for other in everything), arm.label()


def test_a_lone_arm_is_given_all_that_the_claims_compare() -> None:
    labels = {arm.label() for arm in needed([Arm()], "notes")}
    assert {"bce-mean-b1", "mae-sum-b1", "mse-sum-b1", "mse-sum-b0.1", "mae-sum-b4", "bce-sum-b39.2"} <= labels
    assert "bce-sum-b1" not in labels


def test_what_is_pulled_keeps_the_bases_other_values() -> None:
    base = Arm(latents=3, learning_rate=3e-4)
    arms = needed([base], "notes", base=base)
    assert {(arm["model.latents"], arm["training.learning_rate"]) for arm in arms} == {(3, 3e-4)}
    beside = Arm(latents=5)  # of the grid, and no arm of a claim
    assert needed([base, beside], "notes", base=base) == arms


def test_claims_of_other_factors_pull_those_arms() -> None:
    text = GOOD.replace(B, B.replace(" }", ', model = { latents = 2 }, "training.learning_rate" = 3e-4 }'))
    arms = needed_arms(parsed(text), [], base=Arm(), effective_beta=mnist_beta)
    assert [arm.label() for arm in arms] == ["mae-sum-b1", "mse-sum-b1-latents2-lr0.0003"]


def test_a_claim_of_another_familys_option_is_refused_by_its_id() -> None:
    text = GOOD.replace(B, B.replace(" }", ', "model.channels" = [8, 16] }'))
    message = "claim 'mae-sharper' cannot be judged on this study: channels is not an option of family='mlp'"
    with pytest.raises(UserError, match=message):
        needed_arms(parsed(text), [], base=Arm(), effective_beta=mnist_beta)
    (_, conv) = needed_arms(parsed(text), [], base=Arm(family="conv"), effective_beta=mnist_beta)
    assert conv["model.channels"] == (8, 16)


def test_a_curve_of_two_betas_is_left_as_it_is() -> None:
    grid = [Arm(loss, beta=beta) for loss in ("bce", "mse", "mae") for beta in (0.5, 1.0)]
    betas = {arm.beta for arm in needed(grid, "notes") if arm.loss == "mae" and arm.reduction == "sum"}
    assert betas == set()


@pytest.mark.parametrize("beta", [1, 1.0, 1 + 1e-12])
def test_an_arm_that_is_there_is_not_asked_for_again(beta: float) -> None:
    assert needed([Arm(beta=beta)], "anchor") == []


@given(st.sets(st.sampled_from(range(len(GRID))), max_size=8))
def test_what_is_pulled_is_enough_and_never_double(chosen: set[int]) -> None:
    grid = [GRID[i] for i in sorted(chosen)]
    arms = needed(grid, "notes")
    everything = grid + arms
    assert not any(same_arm(a, b) for i, a in enumerate(everything) for b in everything[:i])
    assert needed(everything, "notes") == []


def test_a_predicted_beta_pulls_the_arms_around_it() -> None:
    (claim,) = [claim for claim in resolved("ppca") if claim.id == "ppca-collapse"]
    arms = needed_arms([claim], [], base=Arm(), effective_beta=mnist_beta)
    assert [arm.label() for arm in arms] == [f"mse-sum-b{beta:g}" for beta in (4.28, 5.99, 8.55, 12, 17.1)]
    with pytest.raises(UserError, match=r"claim 'ppca-collapse': .* is no number yet"):
        needed(GRID, "ppca")


def test_a_metric_outside_the_catalogue_is_refused_in_the_bundled_file_too() -> None:
    with pytest.raises(UserError, match=r"notes\.toml.*is not in the catalogue"):
        load_claims("notes", metrics={"ssim"})

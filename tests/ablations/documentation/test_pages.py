"""The reference pages are what the code makes, and say something of every key."""

from __future__ import annotations

import pytest
import typer

from ablations.cli import app
from ablations.documentation.pages import PAGES
from ablations.documentation.study import FACTORS, MEANINGS
from ablations.study import SECTIONS, Study
from reports.claims import documentation as claims
from reports.claims.kinds import KINDS
from reports.claims.load import KEYS
from tests.paths import REPOSITORY
from vae.factors import factors
from vae.metrics.catalogue import CATALOGUE


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_the_code_makes(name: str) -> None:
    """Where this fails: python -m ablations.documentation"""
    assert (REPOSITORY / "docs" / name).read_text(encoding="utf-8") == PAGES[name]()


def test_every_key_of_a_study_file_has_a_meaning_and_no_other() -> None:
    sections = {"": Study, **SECTIONS}
    assert MEANINGS.keys() == sections.keys()
    for name, section in sections.items():
        assert MEANINGS[name].keys() == section.model_fields.keys()
    assert FACTORS.keys() == factors().keys()


def test_every_key_and_kind_of_a_claims_file_has_a_meaning_and_no_other() -> None:
    assert claims._MEANINGS.keys() == claims._TABLES.keys() == KEYS.keys()
    legs = set(claims._LEG)
    for table, meanings in claims._MEANINGS.items():
        assert meanings.keys() <= set(KEYS[table])
        assert set(KEYS[table]) - meanings.keys() <= (legs if table == "claim" else set())
    assert claims._KINDS.keys() == KINDS.keys()


def test_every_metric_stands_on_its_page_with_what_fools_it() -> None:
    page = PAGES["reference/metrics.md"]()
    for name, metric in CATALOGUE.items():
        assert page.count(f"### `{name}`\n") == 1
        assert metric.fools.split("|")[0].split("*")[0].split("<")[0] in page


def test_every_command_and_option_stands_on_its_page() -> None:
    page = PAGES["reference/commands.md"]()
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        for one, path in (
            [(command, name)]
            if not hasattr(command, "commands")
            else [(child, f"{name} {key}") for key, child in command.commands.items()]
        ):
            section = page.partition(f"## `ablate {path}`\n")[2].partition("\n## ")[0]
            assert section
            for parameter in one.params:
                if parameter.param_type_name == "option" and not parameter.hidden:
                    assert f"`{parameter.opts[0]}`" in section

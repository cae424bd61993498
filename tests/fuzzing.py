"""Mutated study and claims files: what a person mistypes, and what nobody would, from one seed each.

python -m tests.fuzzing 10000        # as many files of each kind; prints every traceback and every long message
"""

from __future__ import annotations

import copy
import random
import sys
import tempfile
import tomllib
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import tomli_w

from ablations import options, study
from ablations.checks import check_inputs
from reports.claims.load import load_claims, load_registration
from tests.paths import REPOSITORY
from vae.errors import LONGEST, UserError

Path_ = list[Any]  # where in a table a value lies: keys and numbers
STUDIES = sorted((REPOSITORY / "ablations" / "studies").glob("*.toml"))
CLAIMS = sorted((REPOSITORY / "reports" / "claims").glob("*.toml"))
# Texts, numbers, lists and tables of every kind that has ever gone wrong in some program.
ODD: tuple[Any, ...] = (
    *("", " ", "none", "nan", "0", "-1", "true", "../..", "a/b", "ä" * 300, "x" * 5000, "\x00", "\u202e", "{0}", "%s"),
    *("[red]", "a\nb", "mpackage:loss", "os:system", "..", "con", "0-3", "5-1", "0-99999999", "1e9"),
    *(0, 1, -1, 2, 7, 10**6, 2**31, 2**62, 2**63 - 1, -(2**63), 2**63, 2**64, 10**400, 10**5000),
    *(0.0, -0.0, 1e-320, 0.1, 1.5, 1e308, float("inf"), float("-inf"), float("nan"), True, False),
    *([], [[]], [[1, [2, [3]]]], [1, "a"], [True], [0.5, 0.25], ["mae"] * 50, list(range(3000))),
    *({}, {"a": 1}, {"loss": "mae"}, {"x": {"y": {"z": 1}}}, [{}], [{"id": "a"}]),
)


def places(table: Any, path: Path_ | None = None) -> Iterator[Path_]:
    """Where every value of a table lies."""
    path = path or []
    items = table.items() if isinstance(table, dict) else enumerate(table) if isinstance(table, list) else ()
    for key, value in items:
        yield [*path, key]
        yield from places(value, [*path, key])


def mutated(table: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """A copy of a table with one to three things in it changed."""
    table = copy.deepcopy(table)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        every = list(places(table))
        if not every:
            break
        *above, key = chance.choice(every)
        holder: Any = table
        for step in above:
            holder = holder[step]
        _change(holder, key, table, chance)
    return table


def _change(holder: Any, key: Any, table: dict[str, Any], chance: random.Random) -> None:
    how = chance.randrange(7)
    if how == 0:
        del holder[key]
    elif how == 1 and isinstance(holder, dict):
        holder[_misspelt(str(key), chance)] = holder.pop(key)
    elif how == 2 and isinstance(holder, dict):
        holder[chance.choice(("", "x" * 300, "model.latents", "loss", "id", "leg", "a b", "name", "share"))] = 1
    elif how == 3 and isinstance(holder[key], str):
        holder[key] = _misspelt(holder[key], chance)
    elif how == 4:
        holder[key] = [copy.deepcopy(holder[key])] * chance.choice((1, 2, 40))
    elif how == 5:
        *above, other = chance.choice(list(places(table)))
        value: Any = table
        for step in (*above, other):
            value = value[step]
        holder[key] = copy.deepcopy(value)
    else:
        holder[key] = copy.deepcopy(chance.choice(ODD))


def _misspelt(text: str, chance: random.Random) -> str:
    if not text:
        return "x"
    at = chance.randrange(len(text))
    return chance.choice(
        (text[:at] + text[at + 1 :], text[:at] + "q" + text[at:], text.upper(), text * 100, text[::-1])
    )


def content(sources: list[Path], chance: random.Random) -> bytes:
    """The bytes of a file: a bundled one with changed values, now and then with changed bytes, or nested deep."""
    text = chance.choice(sources).read_text("utf-8")
    how = chance.randrange(12)
    if how == 0:
        start = chance.randrange(len(text))
        junk = chance.choice((b"", b"\xff\xfe", b"\x00", b"[[", b'"""', b"=", b"\r", b"]\n[x]\n"))
        return text[:start].encode() + junk + text[start + chance.randrange(40) :].encode()
    if how == 1:
        deep = chance.choice((15, 30, 400, 1000, 5000))
        nested = chance.choice(("[" * deep + "]" * deep, "{a=" * deep + "1" + "}" * deep))
        return f"{text}\n[deep]\nx = {nested}\n".encode() if chance.random() < 0.5 else f"x = {nested}\n{text}".encode()
    table = mutated(tomllib.loads(text), chance)
    try:
        return tomli_w.dumps(table).encode()
    except (ValueError, TypeError):  # what TOML cannot hold
        return text.encode()[: chance.randrange(len(text))]


def read_study(path: Path) -> None:
    """A study as `ablate plan` reads it before it imports torch, then its arms."""
    one = study.load(str(path))
    check_inputs(one)
    if len(str(one.grid)) < 2000:  # the grids of thousands of values take minutes
        for arm in one.arms[:200]:
            arm.label(one.base)
    study.checked(tomllib.loads(study.to_toml(one)), "again")
    options.narrow(one, [])


def read_claims(path: Path) -> None:
    load_claims(path)
    load_registration(path)


KINDS: dict[str, tuple[list[Path], Callable[[Path], None]]] = {
    "study": (STUDIES, read_study),
    "claims": (CLAIMS, read_claims),
}


def failures(kind: str, seeds: range, folder: Path) -> Iterator[tuple[int, str]]:
    """(seed, what went wrong) for every file that is met by anything but one sentence of at most 400 characters."""
    sources, read = KINDS[kind]
    for seed in seeds:
        path = folder / "mine.toml"
        path.write_bytes(content(sources, random.Random(f"{kind} {seed}")))
        try:
            read(path)
        except UserError as error:
            if len(str(error)) > LONGEST or not str(error).strip():
                yield seed, f"a message of {len(str(error))} characters: {str(error)[:200]}"
        except Exception:
            yield seed, traceback.format_exc()


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for kind in KINDS:
            wrong = list(failures(kind, range(count), Path(folder)))
            for seed, what in wrong:
                print(f"--- {kind} {seed}\n{what[-1500:]}")
            print(f"{count} {kind} files: {len(wrong)} answered by more than a sentence")


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 1000)

"""Damaged stores: one file or one number of a small study is deleted, cut, replaced or swapped, from one seed each.

python -m tests.damaged_stores 500       # prints every traceback and every long message
    python -m tests.damaged_stores 50 --repair
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import shutil
import sqlite3
import sys
import tempfile
import traceback
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import IO, Any

import numpy as np

from ablations.cli import _guarded, app
from vae.errors import LONGEST

STUDY = """
name = "small"
dataset = "digits"
seeds = "0-1"
claims = ["claims.toml"]
images = { train = 300, test = 60, held_out = 40 }
model = { hidden = [8], latents = 2 }
training = { epochs = 2, batch_size = 32 }
grid = { loss = ["bce", "mae"] }
[evaluation]
per_epoch_images = 10
points = []
iwae_images = 2
iwae_samples = 2
generated = 20
blur_images = 10
classifiers = 1
kept_images = 20
"""
CLAIMS = """
[[claim]]
id = "mae-sharper"
quote = "MAE is sharper"
kind = "greater"
metric = "acutance_ratio"
margin = 0.02
reason = "two per cent"
a = { loss = "mae", beta = 1 }
b = { loss = "bce", beta = 1 }
"""
OF_STUDY = ("study.toml", "claims.json", "plan.json", "environment.json", "references.json", "record.json")
OF_CELL = ("history.json", "pictures.npz", "per_image.npz", "record.json", "weights.safetensors")


def command(folder: Path, *arguments: str) -> tuple[int, str]:
    """One command of `ablate`, in this process: its exit code, and all that it printed. Raises what it would trace."""
    printed = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        code = _guarded(lambda: app(list(arguments), standalone_mode=False))
    return code, printed.getvalue()


def laboratory(folder: Path) -> None:
    """A folder in which the study was run once."""
    (folder / "small.toml").write_text(STUDY)
    (folder / "claims.toml").write_text(CLAIMS)
    code, printed = command(folder, "run", "small.toml")
    if code:
        raise RuntimeError(printed)


def moved(original: Path, copy: Path) -> None:
    """A copy of the folder, whose runs have their files in the copy."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(original, copy, ignore=shutil.ignore_patterns("out"))
    with closing(sqlite3.connect(copy / "mlflow.db")) as database, database:
        for table, column in (("runs", "artifact_uri"), ("experiments", "artifact_location")):
            database.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (str(original), str(copy)))


def damage(folder: Path, chance: random.Random) -> str:
    """Damages one part of the store. Returns what was done."""
    how = chance.random()
    if how < 0.12:
        return _change_number(folder / "mlflow.db", chance)
    if how < 0.2:
        return _cut_database(folder / "mlflow.db", chance)
    runs = {path.parent for path in folder.glob("mlartifacts/*/*/artifacts/record.json")}
    parents = sorted(path for path in runs if (path / "study.toml").exists())
    cells = sorted(path for path in runs if (path / "history.json").exists())
    of_study = chance.random() < 0.5
    place = chance.choice(parents if of_study else cells) / chance.choice(OF_STUDY if of_study else OF_CELL)
    what = _damage_file(place, chance)
    if chance.random() < 0.3:  # the sums are gone as well, as in a store of an earlier version
        with closing(sqlite3.connect(folder / "mlflow.db")) as database, database:
            database.execute("DELETE FROM tags WHERE key = 'ablate.sums'")
        if chance.random() < 0.7:
            (place.parent / "record.json").unlink(missing_ok=True)
        what += ", without sums"
    return f"{place.parent.parent.name}/{place.name}: {what}"


def _damage_file(path: Path, chance: random.Random) -> str:
    if not path.exists():
        path.mkdir()
        return "a folder that was not there"
    content = path.read_bytes()
    how = chance.randrange(9)
    if how == 0:
        path.unlink()
        return "deleted"
    if how == 1:
        path.unlink()
        path.mkdir()
        return "a folder"
    if how == 2:
        path.write_bytes(content[: chance.randrange(len(content) + 1)])
        return "cut"
    if how == 3:
        at = chance.randrange(len(content))
        path.write_bytes(content[:at] + bytes([content[at] ^ 1 << chance.randrange(8)]) + content[at + 1 :])
        return "one bit"
    if how == 4:
        path.write_bytes(chance.choice((b"", b"\xff\xfe\x00", b"null", b"[]", b"{}", b"[[[]]]", b"1e999", b"NaN")))
        return "other content"
    if how == 5:
        path.chmod(0)
        return "no permission"
    if how == 6:
        path.write_bytes(b"[" * 100_000)
        return "nested"
    if path.suffix == ".npz":
        _other_archive(path, chance)
        return "another archive"
    if path.suffix == ".json" and path.name != "record.json":
        path.write_text(json.dumps(_changed(json.loads(content), chance)))
        return "another value"
    path.write_bytes(os.urandom(50))
    return "noise"


def _changed(value: Any, chance: random.Random) -> Any:
    """JSON with one value replaced or removed."""
    odd = (None, [], {}, "", "x", 1, -1, 1e308, float("inf"), float("nan"), True, [1], {"a": 1}, "\x00")
    if isinstance(value, dict) and value and chance.random() < 0.85:
        key = chance.choice(list(value))
        if chance.random() < 0.2:
            return {name: item for name, item in value.items() if name != key}
        return value | {key: _changed(value[key], chance)}
    if isinstance(value, list) and value and chance.random() < 0.85:
        at = chance.randrange(len(value))
        return [*value[:at], _changed(value[at], chance), *value[at + 1 :]]
    return chance.choice(odd)


def _other_archive(path: Path, chance: random.Random) -> None:
    with np.load(path) as arrays:
        content = {name: arrays[name] for name in arrays.files}
    name = chance.choice(list(content))
    how = chance.randrange(6)
    if how == 0:
        content = {}
    elif how == 1:
        content[name] = content[name][..., :3] if content[name].ndim else np.zeros(3)
    elif how == 2:
        content[name] = content[name].astype("U8")
    elif how == 3:
        del content[name]
    elif how == 4:
        content[name] = np.zeros((2,) * 9)
    else:  # as large as it says, and small on disk
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(f"{name}.npy", "w") as file:
            _zeros(file)
        return
    np.savez_compressed(path, **content)


def _zeros(file: IO[bytes]) -> None:
    np.lib.format.write_array_header_1_0(
        file,
        {"descr": "|u1", "fortran_order": False, "shape": (10**12,)},  # a terabyte, of which little follows
    )
    file.write(bytes(10**6))


def _change_number(path: Path, chance: random.Random) -> str:
    statement = chance.choice(
        (
            "UPDATE latest_metrics SET value = value + 0.001 WHERE key = 'final/ssim'",
            "DELETE FROM latest_metrics WHERE key = 'final/rate'",
            "UPDATE params SET value = 'inf' WHERE key = 'beta'",
            "UPDATE params SET value = 'mae' WHERE key = 'loss'",
            "DELETE FROM params WHERE key = 'arm'",
            "UPDATE params SET value = 'x' WHERE key = 'seed'",
            "UPDATE tags SET value = '[[' WHERE key = 'ablate.sums'",
            "UPDATE tags SET value = 'rate' WHERE key = 'ablate.metrics'",
        )
    )
    table = statement.split()[1 if statement.startswith("UPDATE") else 2]
    with closing(sqlite3.connect(path)) as database, database:
        one = "SELECT run_uuid FROM tags WHERE key = 'ablate.kind' AND value = 'cell' ORDER BY run_uuid LIMIT 1"
        database.execute(f"{statement} AND {table}.run_uuid = ({one})")
    return statement


def _cut_database(path: Path, chance: random.Random) -> str:
    content = path.read_bytes()
    if chance.random() < 0.5:
        path.write_bytes(content[: chance.randrange(len(content))])
        return "database cut"
    start = chance.randrange(len(content) - 5000)
    path.write_bytes(content[:start] + bytes(5000) + content[start + 5000 :])
    return "database with zeros"


def failures(lab: Path, copies: Path, seeds: range, *, repair: bool = False) -> Iterator[tuple[int, str, str]]:
    """(seed, what was damaged, what went wrong) for every store that is met by a traceback or a long message.

    repair: also run the study again, after which nothing may be damaged that a report reads.
    """
    for seed in seeds:
        chance = random.Random(f"store {seed}")
        copy = copies / str(seed)  # a folder of its own: MLflow keeps a database open once it has read it
        moved(lab, copy)
        what = damage(copy, chance)
        try:
            for arguments in (("report", "small"), ("status", "--check"), *([("run", "small.toml")] if repair else [])):
                code, printed = command(copy, *arguments)
                sentence = printed.partition("error:")[2]
                if len(sentence.strip()) > LONGEST:
                    yield seed, what, f"{arguments}: {len(sentence)} characters: {sentence[:300]}"
                if arguments[0] == "run" and "database" not in what:
                    if code:
                        yield seed, what, f"not repaired: {printed[-600:]}"
                        break
                    after = command(copy, "report", "small")[0], command(copy, "status", "--check")[1]
                    if after[0] or ("Nothing is damaged" not in after[1] and "weights" not in after[1]):
                        yield seed, what, f"still damaged: {after[1][-600:]}"
        except Exception:
            yield seed, what, traceback.format_exc()[-1800:]
        shutil.rmtree(copy, ignore_errors=True)


def main(count: int, repair: bool) -> None:
    from matplotlib.figure import Figure

    def blank(figure: Figure, file: IO[Any], *, format: str, **_: object) -> None:
        width, height = 72 * figure.get_size_inches()
        file.write(f'<svg width="{width}pt" height="{height}pt"></svg>' if format == "svg" else b"")

    Figure.savefig = blank  # drawing takes most of a report's time
    with tempfile.TemporaryDirectory() as base:
        lab = Path(base, "lab")
        lab.mkdir()
        os.environ["XDG_CACHE_HOME"] = str(Path(base, "cache"))
        laboratory(lab)
        wrong = 0
        for seed in range(count):
            for _, what, trace in failures(lab, Path(base, "copies"), range(seed, seed + 1), repair=repair):
                wrong += 1
                print(f"--- {seed} {what}\n{trace}", flush=True)
            print(f"{seed + 1} damaged stores: {wrong} answered by more than a sentence", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 50, "--repair" in sys.argv)

"""Every door refuses what it cannot serve: one sentence, exit 2, nothing changed on disk."""

from __future__ import annotations

import io
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ablations import cli
from tests.study_samples import IMAGE_OPTIONS

SMALL = (
    "--seeds",
    "0",
    "--epochs",
    "1",
    "--only",
    "loss=mae",
    "--set",
    "grid.beta=1",
    "--claims",
    "none",
    *IMAGE_OPTIONS,
)
MODULES = {
    "broken_syntax": "def f(",
    "broken_zero": "1 / 0",
    "broken_exit": "raise SystemExit(0)",
    "broken_number": "f = 3",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blank_figures: None) -> Path:
    """A working folder of its own, with modules of losses that break in every way beside it."""
    code = tmp_path / "code"
    code.mkdir()
    for name, text in MODULES.items():
        (code / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(code))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    for name in ("MLFLOW_TRACKING_URI", "ABLATE_DATA"):
        monkeypatch.delenv(name, raising=False)
    return work


def ablate(*arguments: str) -> int:
    """The command line as `main` runs it, in this process."""
    return cli._guarded(lambda: cli.app(list(arguments), standalone_mode=False))


def refused(capsys: pytest.CaptureFixture[str], folder: Path, arguments: Sequence[str]) -> str:
    """The sentence with which these arguments are refused."""
    before = sorted(folder.rglob("*"))
    code = ablate(*arguments)
    printed = capsys.readouterr()
    assert code == 2, printed
    assert sorted(folder.rglob("*")) == before
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    return printed.err


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("grid.loss='broken_syntax:f'", "the module 'broken_syntax' fails when it is imported (SyntaxError: "),
        ("grid.loss='broken_zero:f'", "fails when it is imported (ZeroDivisionError: division by zero)"),
        ("grid.loss='broken_exit:f'", "fails when it is imported (SystemExit: 0)"),
        ("grid.loss='broken_number:f'", "'f' is of type int, not a function"),
        ("grid.loss='broken_number:g'", "'broken_number' has no 'g'"),
        ("grid.loss='../l/my:ok'", "the module '../l/my' cannot be imported"),
        ("grid.loss='no:way:x'", "loss='no:way:x'"),  # and not as a picture of a way
        ("name='../x'", "name='../x' must be 1 to 100 printable characters without slashes"),
        ("name='..'", "name='..' must be"),
        ("name=' x'", "name=' x' must be"),
        ('name="a\\u0000b"', "name='a\\x00b' must be"),
        (f"name='{'x' * 101}'", "must be 1 to 100 printable"),
        ("seeds='0-99999999999'", "the range '0-99999999999' is longer than 10,000 seeds"),
        ("model.latents=1000000000000", "weights need 5,751,848 GiB to train"),
        ("model.hidden=[1000000000000]", "weights need 2,294,779 GiB to train"),
        ("grid.beta=['1']", "[grid] beta='1' must be a finite number, 0 or more"),
        ("grid.beta=[true]", "[grid] beta=True must be a finite number, 0 or more"),
        ("training.epochs='3'", "epochs='3' must be a whole number"),
        ("training.epochs=true", "epochs=True must be a whole number"),
        ("training.epoch=3", "the key 'training.epoch' is not known"),
        ("training=3", "training=3 must be a section, written [training]"),
        ("images.colour='yes'", "[images] colour='yes' must be true or false"),
        ("model.hidden=['8']", "hidden=['8']"),
        ("images.train=100000", "study 'digits': [images] train=100000 is more than there are"),
        ("dataset='kmnist'", "study 'digits': dataset='kmnist'"),
        (
            "training.batch_size=5000",
            "study 'digits': training.batch_size=5000 is larger than the 1300 training images",
        ),
    ],
)
@pytest.mark.parametrize("command", ["plan", "run"])
def test_a_study_is_refused_by_its_value(
    command: str, value: str, message: str, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    assert message in refused(capsys, folder, [command, "digits", "--set", value])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", *SMALL, "--out", "x" * 300), "cannot be a folder: File name too long"),
        (
            ("run", *SMALL, "--tracking-uri", f"sqlite:///{'x' * 300}.db"),
            "cannot be used: [Errno 36] File name too long",
        ),
        (("plan", "--only", "beta=true"), "--only beta=True"),
        (("report", "a", "b", "--fail-on", "refuted"), "--fail-on has no meaning for a comparison"),
        (("report", "never.v2"), "does not exist"),
        (("measure", *SMALL), "does not exist. Run a study first"),
        (("plan", "--only", "latents=3"), "--only='latents' is not one of ['loss', 'reduction', 'beta', 'posterior']"),
        (("plan", "--set", "grid.model.latents=[]"), "model.latents=[] is an empty list, so the grid has no arm"),
    ],
)
def test_an_option_is_refused_by_its_value(
    arguments: Sequence[str], message: str, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    assert message in refused(capsys, folder, arguments)


def test_a_cache_that_cannot_be_used_is_refused_before_a_store_is_made(
    capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder.parent / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder.parent / "file"))
    assert "set XDG_CACHE_HOME" in refused(capsys, folder, ["run", *SMALL])


def test_a_port_that_is_taken_is_refused_and_one_that_is_none_too(capsys: Any, folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"port={port} of 127.0.0.1 is taken" in refused(capsys, folder, ["ui", "--port", str(port)])
    assert ablate("ui", "--port", "99999999") == 2
    assert "Invalid value for '--port'" in capsys.readouterr().err


def test_an_interrupt_ends_with_one_sentence_and_130(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ablations.study.load", interrupted)
    assert ablate("plan") == 130
    assert capsys.readouterr().err == "Interrupted. What is finished is kept; the same command goes on from there.\n"


def test_a_report_leaves_alone_what_else_is_in_its_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also where that folder is the one that the store's files lie in."""
    (folder / "secret").write_text("kept")
    assert ablate("run", *SMALL, "--out", ".") == 0
    assert (folder / "report.html").exists()
    assert (folder / "secret").read_text() == "kept"
    kept = {path.relative_to(folder / "mlartifacts").parts[3:] for path in (folder / "mlartifacts").rglob("*")}
    assert ("report", "report.html") in kept
    assert not [parts for parts in kept if "secret" in parts or "mlartifacts" in parts]
    assert not list(folder.glob("*.tmp"))


def test_a_study_is_reported_by_the_name_in_its_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "f.toml").write_text("name = 'my.v2'\ndataset = 'digits'\n[model]\nhidden = [16]\nlatents = 2\n")
    assert ablate("run", "f.toml", *SMALL, "--no-report") == 0
    assert ablate("report", "f.toml") == 0
    assert ablate("report", "my.v2") == 0
    assert (folder / "out" / "my.v2" / "report.html").exists()


def test_a_folder_with_a_name_like_markup_is_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = tmp_path / "[" / "x] [bold]"
    odd.mkdir(parents=True)
    monkeypatch.chdir(odd)
    assert ablate("run", *SMALL, "--no-report") == 0
    assert f"sqlite:///{odd}/mlflow.db" in capsys.readouterr().out


def test_a_terminal_that_lacks_a_character_shows_another(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", stream)
    monkeypatch.setattr("sys.argv", ["ablate", "metrics"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code in (0, None)

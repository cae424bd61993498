"""The bench as a person runs it, in small, its programs in real processes; what it makes of programs that fail."""

from __future__ import annotations

import ast
import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

import ablations
from ablations import bench
from ablations.bench import ours, processes, results, study, table
from ablations.bench.peers import example, memory, products, vmap
from ablations.bench.processes import Failure, Timing, timed
from ablations.bench.rows import CEILINGS, PEERS, STACK, Row, measure, rows
from ablations.bench.setting import Setting, drawn, write_images
from ablations.cli import app
from tests.paths import REPOSITORY
from vae import UserError

OURS = ("ablations", "reports", "tracking", "vae")
# What a machine with only torch, torchvision and numpy does not have.
MISSING = ("mlflow", "pandas", "pydantic", "rich", "scipy", "skimage", "sklearn", "typer")
# Imported by every Python that is started with it in its path: hides libraries, and notes at the end what it was.
SITE = f"""
import atexit, json, os, sys

sys.modules.update(dict.fromkeys({MISSING}))

def note():
    ours = sorted({{name.partition(".")[0] for name in sys.modules}} & set({OURS}))
    settings = {{name: value for name, value in os.environ.items() if name.startswith("OMP_")}}
    with open(os.path.join({{folder!r}}, f"{{os.getpid()}}.json"), "w") as file:
        json.dump({{"argv": sys.orig_argv, "ours": ours, "settings": settings}}, file)

atexit.register(note)
""".replace("{{", "{").replace("}}", "}")


@dataclass(frozen=True)
class Run:
    """A bench that was run. notes: of each process that it consisted of."""

    result: dict[str, Any]
    printed: str
    notes: list[dict[str, Any]]

    @property
    def rows(self) -> dict[str, dict[str, Any]]:
        return {row["row"]: row for row in self.result["rows"]}


def users() -> dict[str, str]:
    """A user's environment: without what these tests have set in theirs, with one thread, which the user asks for."""
    own = {name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "ABLATE_DATA")}
    return {**own, "OMP_NUM_THREADS": "1"}


def started(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """``python -m ablations.bench`` where there is no MNIST and only torch, torchvision and numpy."""
    (folder / "site").mkdir(exist_ok=True)
    (folder / "notes").mkdir(exist_ok=True)
    (folder / "site" / "sitecustomize.py").write_text(SITE.replace("{folder!r}", repr(str(folder / "notes"))))
    path = os.pathsep.join([str(folder / "site"), str(REPOSITORY)])
    command = [sys.executable, "-m", "ablations.bench", *options]
    return subprocess.run(command, cwd=folder, env={**users(), "PYTHONPATH": path}, capture_output=True, text=True)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("bench")
    done = started(folder, "--images", "256", "--arms", "2", "--rounds", "1", "--json", "bench.json")
    assert done.returncode == 0, done.stdout + done.stderr
    notes = [json.loads(file.read_text()) for file in (folder / "notes").iterdir()]
    return Run(json.loads((folder / "bench.json").read_text()), done.stdout, notes)


def test_every_row_is_timed_and_compared(run: Run) -> None:
    keys = ["example", "memory", "vmap", "stack", "autograd", "ceiling", "bfloat16", "ceiling-bfloat16"]
    assert list(run.rows) == keys
    for row in run.rows.values():
        assert row["seconds"] > 0
        assert row["spread"] == [row["seconds"]] * 2  # of one round
    assert run.rows["example"]["times_example"] == run.rows["memory"]["times_memory"] == 1
    for precision, key in CEILINGS.items():
        assert run.rows[key]["of_ceiling"] == 1
        assert run.rows[key]["routine"] in run.rows[key]["routines"]
        assert {row["precision"] for row in run.rows.values()} >= {precision}


def test_every_row_did_the_same_work(run: Run) -> None:
    """The losses of one arm agree, whoever trained it; vmap has all arms of the stack."""
    assert [row["broken"] for row in run.rows.values()] == [""] * 8
    assert run.rows["vmap"]["losses"].keys() == run.rows[STACK]["losses"].keys() == {"bce 1", "mse 2"}
    assert run.rows["memory"]["losses"].keys() == run.rows["example"]["losses"].keys() == {"bce 1"}


def test_peers_have_their_users_environment_and_know_nothing_of_this_suite(run: Run) -> None:
    """Every program ran in a process of its own. What the user has set stays; what the suite sets in its own process,
    the bench's own among them, reaches no peer."""
    by_program = {Path(note["argv"][1]).name: note for note in run.notes if note["argv"][1] != "-m"}
    assert by_program.keys() == {"example.py", "memory.py", "vmap.py", "products.py"}
    assert len(run.notes) == 8 + 1
    for note in by_program.values():
        assert note["settings"] == {"OMP_NUM_THREADS": "1"}
        assert note["ours"] == []
    suite = [note for note in run.notes if note["argv"][1] == "-m"]
    assert {note["settings"]["OMP_WAIT_POLICY"] for note in suite} == {"PASSIVE"}


def test_the_table_says_whose_environment_each_row_had(run: Run) -> None:
    lines = {line.split("  ")[0]: line for line in run.printed.splitlines() if line.startswith("(")}
    version = torch.__version__
    for row in run.rows.values():
        if row["whose"] == "ours":
            words = (f"ours, torch {version}, 1 threads", "OMP_NUM_THREADS=1", "OMP_WAIT_POLICY=PASSIVE")
        else:
            words = (f"user's, torch {version}, 1 threads", "OMP_NUM_THREADS=1")
        assert all(word in lines[row["label"]] for word in words)
        assert ("OMP_WAIT_POLICY" in lines[row["label"]]) == (row["whose"] == "ours")
        assert row["routine"] in lines[row["label"]]
    assert "BROKEN" not in run.printed


@pytest.mark.parametrize(("own", "peers"), [(None, "None"), ("ACTIVE", "ACTIVE")])
def test_only_settings_of_ours_are_taken_away(own: str | None, peers: str) -> None:
    code = "import os; from ablations.bench import processes as p; print(p.users_environment().get('OMP_WAIT_POLICY'))"
    environment = users() | ({} if own is None else {"OMP_WAIT_POLICY": own})
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == peers, done.stderr


def test_peers_import_nothing_of_ours() -> None:
    allowed = {"torch", "torchvision", "numpy", "PIL", *sys.stdlib_module_names}
    for path in PEERS.glob("*.py"):
        tree = ast.parse(path.read_text())
        modules = {node.module or "." for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        modules |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        more = {"mlflow", "skimage"} if path.name == "study.py" else set()
        assert {name.partition(".")[0] for name in modules} <= allowed | more, path.name


# Programs that end otherwise than they should


def program(folder: Path, name: str, code: str) -> Row:
    (folder / f"{name}.py").write_text(code)
    return Row(name, f"({name})", (str(folder / f"{name}.py"),))


def saying(seconds: float = 1.0, losses: Mapping[str, float] | None = None) -> str:
    environment = {"threads": 2, "torch": "2.9", "settings": {}}
    return f"print({json.dumps(json.dumps({'seconds': seconds, 'losses': losses or {}, 'environment': environment}))})"


def test_rows_run_in_turns_each_with_the_rounds_own_seed(tmp_path: Path) -> None:
    note = f"import sys; print(*sys.argv[1:], __file__[-4], file=open({str(tmp_path / 'order')!r}, 'a')); "
    table_of = [program(tmp_path, name, note + saying()) for name in "abc"]
    assert len(measure(table_of, 2)) == 2
    order = (tmp_path / "order").read_text().split("\n")[:-1]
    assert order == [f"--seed {number} {name}" for number in (1, 2) for name in "abc"]


def setting(folder: Path, **changes: Any) -> Setting:
    given = {"dataset": "drawn images", "file": folder / "images.npy", "root": None, "count": 256}
    return Setting(**{**given, "arms": 2, "rounds": 1, "device": "cpu", **changes})


def test_a_peer_that_does_other_work_is_marked(tmp_path: Path, run: Run) -> None:
    """A real peer, with a mean where the sum should be."""
    write_images(tmp_path, 256, None)
    code = (PEERS / "memory.py").read_text().replace('reduction="sum"', 'reduction="mean"')
    broken = program(tmp_path, "memory", code)
    report = timed((*broken.arguments, "--images", str(tmp_path / "images.npy")), ours=False)
    assert isinstance(report, Timing)
    turn = {"memory": report, STACK: Timing(1.0, run.rows[STACK]["losses"], report.environment)}
    result = results.summary(setting(tmp_path), [broken], [turn])
    assert result["rows"][0]["broken"].startswith("bce 1: a final loss of ")
    assert not table.sound(result)
    assert "BROKEN (memory): bce 1: a final loss of" in table.table_text(result)


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        ({"bce 1": 104.9}, ""),
        ({"bce 1": 105.1}, "bce 1: a final loss of 105.1 nats per image, the stack's is 100.0"),
        ({"bce 1": 94.9}, "bce 1: a final loss of 94.9 nats per image, the stack's is 100.0"),
        ({"bce 1": math.nan}, "bce 1: a final loss of nan nats per image, the stack's is 100.0"),
        ({"bce 3": 100.0}, "arm 'bce 3' is none of the stack's ['bce 1']"),
    ],
)
def test_final_losses_must_agree(losses: dict[str, float], words: str) -> None:
    turn = {"x": Timing(1.0, losses, {}), STACK: Timing(1.0, {"bce 1": 100.0}, {})}
    assert results.disagreement("x", [turn]) == words


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise SystemExit('no memory is left')", "no memory is left"),
        ("import os; os._exit(3)", "it ended with exit code 3 and said nothing"),
        ("print('done')", "its last line is no JSON"),
        ("", "its last line is no JSON"),
        ("print('[1]')", "its last line is no JSON object"),
        ("print('{\"seconds\": 1}')", "its report is not one of a timing: "),
    ],
)
def test_a_peer_that_fails_is_a_row_with_its_reason(code: str, reason: str, tmp_path: Path) -> None:
    row = program(tmp_path, "example", code)
    turns = measure([row], 1)
    report = turns[0]["example"]
    assert isinstance(report, Failure)
    assert report.reason.startswith(reason)
    result = results.summary(setting(tmp_path), [row], turns)
    assert not table.sound(result)
    assert f"FAILED (example): {reason}" in table.table_text(result)


def test_ratios_are_medians_over_rounds_of_ratios_within_one() -> None:
    """A machine that is three times as slow in one round changes no ratio."""
    turns = [{"a": Timing(8.0 * slow, {}, {}), "b": Timing(2.0 * slow, {}, {})} for slow in (1, 3, 1)]
    assert results.ratio(turns, "a", "b") == 4
    assert results.ratio([*turns, {"a": Failure("x"), "b": turns[0]["b"]}], "a", "b") == 4  # type: ignore[dict-item]
    assert results.ratio([{"a": Failure("x"), "b": Failure("y")}], "a", "b") is None


# What is timed


def test_the_eleven_products_of_a_step() -> None:
    """The notes' network: three products a layer, two in the first; 420 million operations an arm."""
    triples = products.operands(3, torch.float32, torch.device("cpu"))
    assert len(triples) == 11
    assert sum(2 * a.shape[1] * a.shape[2] * b.shape[2] for a, b, _ in triples) == 419_840_000


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_every_routine_does_the_products_of_every_arm_once(workers: int) -> None:
    """For each routine, on the shares of some workers: the right result where it is kept, and no arm twice."""
    a, b = torch.rand(5, 3, 4), torch.rand(5, 4, 6)
    table_of = products.routines(torch.device("cpu"), "float32")
    assert len({routine.name for routine in table_of}) == len(table_of) > 10
    for routine in table_of:
        out = torch.full((5, 3, 6), -1.0)
        shares = products.blocks(routine, [(a, b, out)], workers)
        blocks = [block for share in shares for block in share]
        assert sum(len(block[0][0]) for block in blocks) == 5
        for [(some_a, some_b, some_out)] in blocks:
            routine.product(some_a, some_b, some_out)
        if routine.product in (products.by_bmm, products.by_baddbmm, products.by_mm):
            torch.testing.assert_close(out, a @ b)


@pytest.mark.parametrize("module", [example, memory, vmap, products, ours])
def test_clocks_wait_for_a_gpu(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    module.now(torch.device("cpu"))
    assert waited == []
    module.now(torch.device("cuda"))
    assert waited == [torch.device("cuda")]


def test_rows_share_device_arms_and_images(tmp_path: Path) -> None:
    for row in rows(setting(tmp_path, device="cuda", root=tmp_path / "data")):
        options = dict(zip(row.arguments[-2::-2], row.arguments[-1::-2]))
        assert options["--device"] == "cuda"
        assert row.key in ("example", "memory") or options["--arms"] == "2"
        assert options.get("--images", str(tmp_path / "images.npy")) == str(tmp_path / "images.npy")
        assert ("--root" in options) == (row.key == "example")


@pytest.mark.mnist
def test_images_are_the_first_of_mnist(tmp_path: Path, mnist_root: Path) -> None:
    import numpy as np
    from torchvision.datasets import MNIST

    name, file = write_images(tmp_path, 130, mnist_root)
    assert name == "MNIST"
    assert torch.equal(torch.from_numpy(np.load(file)), MNIST(mnist_root, train=True).data[:130])
    with pytest.raises(UserError, match="--images 60001: MNIST has 60000 training images"):
        write_images(tmp_path, 60_001, mnist_root)


def test_drawn_images_can_be_learnt() -> None:
    """They differ from their mean and from each other, so that a loss says something."""
    images = drawn(40)
    assert images.std(0).mean() > 20
    assert (images == drawn(40)).all()


# The command


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--images", "127"], "--images 127: it must be at least 128, one batch of 128"),
        (["--arms", "0"], "--arms 0: it must be at least 1"),
        (["--rounds", "-1"], "--rounds -1: it must be at least 1"),
        (["--rounds", "many"], "argument --rounds: invalid int value: 'many'; ablate bench --help lists the options"),
        (["--repetitions", "3"], "unrecognized arguments: --repetitions 3; ablate bench --help lists the options"),
        (["--study", "--arms", "3"], "--arms has no meaning with --study"),
        (["--sample", "3"], "--sample has no meaning without --study"),
        (["--study", "--sample", "0"], "--sample 0: it must be at least 1"),
        (["--data-dir", "nowhere"], "--data-dir nowhere: it does not hold MNIST/raw with the four files of MNIST"),
        (["--json", "nowhere/bench.json"], "--json nowhere/bench.json: no file can be written there"),
        (["--device", "cuda"], "--device cuda: torch sees no CUDA device here; use --device cpu, or auto"),
    ],
)
def test_nonsense_is_refused(options: list[str], sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(ablations.bench.rows, "measure", lambda *_: pytest.fail("something was timed"))
    with pytest.raises(UserError) as refused:
        bench.main(options)
    assert str(refused.value).startswith(sentence)


def test_alone_it_refuses_in_one_sentence_with_exit_code_2(tmp_path: Path) -> None:
    """Also a study, where the suite's own libraries are missing."""
    for options, sentence in (
        (["--arms", "0"], "--arms 0: it must be at least 1"),
        (["--study"], "--study runs `ablate run` itself, and mlflow, pydantic, skimage, typer is not installed here; "),
    ):
        done = started(tmp_path, *options)
        assert done.returncode == 2
        assert done.stderr.startswith(f"ablate bench: {sentence}")
        assert done.stderr.count("\n") == 1


def test_help_lists_the_options_of_the_bench(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        app(["bench", "--help"], standalone_mode=False)
    assert done.value.code == 0
    shown = capsys.readouterr().out
    assert all(option in shown for option in ("--quick", "--rounds", "--study", "--json"))


# The whole study


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A tiny study of digits, and the same by plain loops: real processes, with nothing hidden."""
    folder = tmp_path_factory.mktemp("study")
    command = [sys.executable, "-m", "ablations.bench", "--study", "--quick", "--json", "study.json"]
    environment = {**users(), "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    return Run(json.loads((folder / "study.json").read_text()), done.stdout, [])


def test_a_study_is_timed_from_plan_to_report(whole: Run) -> None:
    for side in ("ours", "loader", "memory"):
        about = whole.result[side]
        assert about["cells_per_minute"] == pytest.approx(60 * 3 / about["total"])
        assert about["total"] == pytest.approx(sum(about["seconds"].values()))
        assert list(about["seconds"]) == list(study.STAGES)
    assert whole.result["ours"]["cells"] == 3
    assert whole.result["sample"] == 2
    for stage in ("start", "preparing", "report"):
        assert whole.result["ours"]["seconds"][stage] > 0


def test_plain_loops_have_their_users_environment(whole: Run) -> None:
    assert "OMP_WAIT_POLICY" not in whole.result["memory"]["environment"]["settings"]
    assert "Environment of the plain loops: user's, torch" in whole.printed
    assert "OMP_WAIT_POLICY" not in whole.printed


def test_both_sides_measure_the_same(whole: Run) -> None:
    """Four metrics of the cells that both ran, from other random numbers and other code."""
    values = whole.result["values"]
    for name in study.SHARED:
        assert values["plain"][name] == pytest.approx(values["ours"][name], rel=0.15)


def test_a_study_that_was_not_the_same_work_is_marked(whole: Run) -> None:
    same = dict.fromkeys(study.SHARED, 1.0)
    result = {**whole.result, "values": {"ours": same, "plain": same}}
    assert study.sound(result)
    result["values"] = {"ours": same, "plain": {**same, "ssim": 0.5}}
    assert not study.sound(result)
    assert "BROKEN ssim: 0.5 by the plain loops, 1 by ablate run" in study.study_text(result)


def test_plain_loops_that_fail_are_shown_with_their_reason(whole: Run) -> None:
    result = {name: whole.result[name] for name in ("machine", "study", "ours")} | {"failed": "no memory is left"}
    assert not study.sound(result)
    assert "FAILED: no memory is left" in study.study_text(result)


def test_a_study_of_mnist_has_the_arms_of_the_bundled_one(tmp_path: Path) -> None:
    import tomllib

    from ablations.studies import table_of

    small = tomllib.loads(study.chosen(tmp_path, quick=False).toml())
    _, bundled = table_of("mnist")
    same = {name: sorted(values) for name, values in bundled["grid"].items()}
    assert {name: sorted(values) for name, values in small["grid"].items()} == same
    assert small["model"] == bundled["model"]
    assert small["claims"] == bundled["claims"]
    assert {name: small["training"][name] for name in ("batch_size", "learning_rate")} == {
        name: bundled["training"][name] for name in ("batch_size", "learning_rate")
    }


def test_the_programs_of_ours_are_found_wherever_the_bench_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code = "import ablations, json; print(json.dumps({'file': ablations.__file__}))"
    report = processes.reported(["-c", code], processes.our_environment())
    assert report == {"file": ablations.__file__}

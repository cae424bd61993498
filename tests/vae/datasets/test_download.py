"""torchvision's sets: read, fetched from a real server on this machine, and refused when they are not whole."""

from __future__ import annotations

import functools
import gzip
import hashlib
import re
import socket
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from torchvision import datasets

import vae.datasets.download as downloads
from tests.paths import REPOSITORY
from vae.datasets.load import load
from vae.errors import UserError


def idx(shape: tuple[int, ...]) -> bytes:
    """A file in the format of MNIST, whose values count up and wrap at 10."""
    header = bytes([0, 0, 8, len(shape)]) + b"".join(side.to_bytes(4, "big") for side in shape)
    count = torch.Size(shape).numel()
    return header + (bytes(range(10)) * (count // 10 + 1))[:count]


@pytest.fixture(scope="module")
def raw() -> dict[str, bytes]:
    """The four files of a set that has the size of MNIST and nothing of its contents."""
    shapes = [(60_000, 28, 28), (60_000,), (10_000, 28, 28), (10_000,)]
    return {file: idx(shape) for file, shape in zip(downloads.FILES, shapes)}


def store(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, contents in files.items():
        (folder / name).write_bytes(contents)


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def mirror(tmp_path: Path, raw: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder served over HTTP, as torchvision's only mirror of KMNIST."""
    archives = {f"{name}.gz": gzip.compress(contents, compresslevel=1, mtime=0) for name, contents in raw.items()}
    served = tmp_path / "served"
    store(served, archives)
    sums = [(name, hashlib.md5(contents).hexdigest()) for name, contents in archives.items()]
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(served))) as server:
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setattr(datasets.KMNIST, "mirrors", [f"http://127.0.0.1:{server.server_address[1]}/"])
        monkeypatch.setattr(datasets.KMNIST, "resources", sums)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield served
        server.shutdown()
        thread.join()


def test_files_in_place_are_read_without_a_network(tmp_path: Path, raw: dict[str, bytes]) -> None:
    store(tmp_path / "FashionMNIST" / "raw", raw)
    data = load("fashion-mnist", tmp_path, train=11, test=7, download=False)
    assert data.train.shape == (11, 28, 28)
    assert data.train_labels is not None
    assert data.train_labels.tolist() == [*range(10), 0]
    assert data.train.flatten()[:3].tolist() == [0, 1 / torch.tensor(255.0), 2 / torch.tensor(255.0)]
    assert data.classes[0] == "T-shirt/top"
    assert data.n_classes == 10


def test_a_missing_set_is_fetched_quietly(mirror: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "new" / "root"
    data = load("kmnist", root)
    assert (len(data.train), len(data.test)) == (60_000, 10_000)
    assert data.classes[:2] == ("o", "ki")
    assert sorted(path.name for path in (root / "KMNIST" / "raw").iterdir()) == sorted(downloads.FILES)
    assert capfd.readouterr() == ("", "")
    (mirror / "train-images-idx3-ubyte.gz").unlink()
    assert load("kmnist", root).digest == data.digest  # the second time nothing is fetched


def test_archives_that_lie_there_need_no_network(mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "root" / "KMNIST" / "raw"
    store(folder, {path.name: path.read_bytes() for path in mirror.iterdir()})
    monkeypatch.setattr(datasets.KMNIST, "mirrors", ["http://127.0.0.1:9/"])
    assert len(load("kmnist", tmp_path / "root", download=False).test) == 10_000


def test_archives_may_be_packed_by_anyone(tmp_path: Path, raw: dict[str, bytes]) -> None:
    folder = tmp_path / "KMNIST" / "raw"
    store(folder, {f"{name}.gz": gzip.compress(content, compresslevel=2, mtime=1) for name, content in raw.items()})
    assert len(load("kmnist", tmp_path, download=False).test) == 10_000


@pytest.mark.parametrize("packed", [False, True])
def test_a_set_is_known_by_its_pictures_and_not_by_its_folder(
    tmp_path: Path, raw: dict[str, bytes], packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if these files were MNIST's: the real ones are not everywhere."""
    monkeypatch.setattr(downloads, "MNIST", {name: hashlib.md5(raw[name]).hexdigest() for name in downloads.MNIST})
    files = {f"{name}.gz": gzip.compress(content, 1) for name, content in raw.items()} if packed else raw
    for kind in ("MNIST", "FashionMNIST"):
        store(tmp_path / kind / "raw", files)
    assert len(load("mnist", tmp_path, download=False).test) == 10_000
    before = sorted((tmp_path / "FashionMNIST").rglob("*"))
    with pytest.raises(UserError, match=r"holds MNIST's pictures, not those of FashionMNIST: put the four files"):
        load("fashion-mnist", tmp_path, download=False)
    assert sorted((tmp_path / "FashionMNIST").rglob("*")) == before


@pytest.mark.mnist
def test_the_real_mnist_is_known_by_its_digests(mnist_root: Path) -> None:
    for name, digest in downloads.MNIST.items():
        assert hashlib.md5((mnist_root / "MNIST" / "raw" / name).read_bytes()).hexdigest() == digest


@pytest.mark.parametrize("damage", ["truncated", "other contents", "absent"])
def test_a_download_that_goes_wrong_leaves_nothing(mirror: Path, tmp_path: Path, damage: str) -> None:
    archive = mirror / "t10k-images-idx3-ubyte.gz"
    contents = archive.read_bytes()
    if damage == "absent":
        archive.unlink()
    else:
        archive.write_bytes(contents[:-500] if damage == "truncated" else contents[::-1])
    root = tmp_path / "new" / "root"
    with pytest.raises(UserError, match=r"^dataset='kmnist' is not in '.*KMNIST/raw' and could not be downloaded \("):
        load("kmnist", root)
    assert not (tmp_path / "new").exists()
    archive.write_bytes(contents)
    assert len(load("kmnist", root).test) == 10_000


def test_a_mirror_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(downloads, "TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(datasets.KMNIST, "mirrors", [f"http://127.0.0.1:{silent.getsockname()[1]}/"])
        with pytest.raises(UserError, match=r"could not be downloaded \(.*timed out\)"):
            load("kmnist", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_set_names_folder_files_and_option(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        load("kmnist", tmp_path, download=False)
    message = str(caught.value)
    assert message.startswith(
        f"dataset='kmnist' is not in '{tmp_path}/KMNIST/raw' and could not be downloaded (downloading is switched off)"
    )
    assert all(file in message for file in downloads.FILES)
    assert message.endswith("or name the folder that holds KMNIST/ with --data-dir or ABLATE_DATA.")


@pytest.mark.parametrize("inside", ["KMNIST", "KMNIST/raw"])
def test_a_root_one_folder_too_deep_is_recognised(tmp_path: Path, raw: dict[str, bytes], inside: str) -> None:
    store(tmp_path / "KMNIST" / "raw", raw)
    with pytest.raises(UserError, match=re.escape(f"Did you mean --data-dir '{tmp_path}'?")):
        load("kmnist", tmp_path / inside, download=False)


def test_a_root_that_is_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"^--data-dir '.*/file' is a file, not the folder that holds KMNIST/\.$"):
        load("kmnist", tmp_path / "file")


@pytest.mark.parametrize("file", list(downloads.FILES))
def test_a_truncated_file_is_named_and_not_overwritten(tmp_path: Path, raw: dict[str, bytes], file: str) -> None:
    folder = tmp_path / "KMNIST" / "raw"
    store(folder, {**raw, file: raw[file][:1000]})
    size = f"{downloads.FILES[file]:,}"
    with pytest.raises(UserError, match=rf"{file}' is damaged \(it has 1,000 bytes instead of {size}\): delete it, "):
        load("kmnist", tmp_path)
    assert (folder / file).stat().st_size == 1000


def test_a_damaged_header_is_refused(tmp_path: Path, raw: dict[str, bytes]) -> None:
    name = "train-images-idx3-ubyte"
    store(tmp_path / "KMNIST" / "raw", {**raw, name: b"\xff" * len(raw[name])})
    with pytest.raises(UserError, match=r"KMNIST/raw' is damaged \(torchvision cannot read it: .*\): delete it, "):
        load("kmnist", tmp_path)


def test_labels_that_are_no_classes_are_refused(tmp_path: Path, raw: dict[str, bytes]) -> None:
    name = "train-labels-idx1-ubyte"
    store(tmp_path / "KMNIST" / "raw", {**raw, name: raw[name][:-1] + b"\x0a"})
    with pytest.raises(UserError, match=r"is damaged \(its pictures and labels do not fit each other\)"):
        load("kmnist", tmp_path)


def test_the_root_is_the_argument_then_the_environment_then_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ABLATE_DATA", "/from/environment")
    assert downloads.data_root("/given") == Path("/given")
    assert downloads.data_root() == Path("/from/environment")
    monkeypatch.setenv("ABLATE_DATA", "")
    assert downloads.data_root() == Path("data")
    assert downloads.data_root("~/sets") == Path.home() / "sets"


@pytest.fixture
def broken_torchvision(tmp_path: Path, raw: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a torchvision that takes the place of the real one, beside a set that is whole."""
    store(tmp_path / "KMNIST" / "raw", raw)
    (tmp_path / "site" / "torchvision").mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.delitem(sys.modules, "torchvision")
    return tmp_path / "site" / "torchvision" / "__init__.py"


def test_a_torchvision_for_another_torch_is_explained(broken_torchvision: Path, tmp_path: Path) -> None:
    """It fails at import, as the registry's does beside a CPU-only torch."""
    broken_torchvision.write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    message = (
        f"This torchvision was built for another torch than the {torch.__version__} installed here (operator "
        f"torchvision::nms does not exist): install a pair that fits, for example `{downloads.INSTALL}`."
    )
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        load("kmnist", tmp_path)


def test_any_other_failure_of_torchvision_is_its_own(broken_torchvision: Path, tmp_path: Path) -> None:
    broken_torchvision.write_text("raise RuntimeError('something else')")
    with pytest.raises(RuntimeError, match=r"^something else$"):
        load("kmnist", tmp_path)


def test_the_pair_to_install_is_the_pinned_one() -> None:
    pins = (REPOSITORY / "constraints.txt").read_text().split()
    named = downloads.INSTALL.removeprefix("pip install ").split()
    assert len(named) == 2
    assert set(named) <= set(pins)

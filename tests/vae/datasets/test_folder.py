"""A folder of pictures: a split that never moves, every kind of picture file, every refusal by name."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import unicodedata
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from vae.datasets.folder import TEST_SHARE, find, in_test, picture
from vae.datasets.load import load
from vae.errors import UserError

LEVELS = np.random.default_rng(0).integers(0, 256, (10, 13, 3), dtype=np.uint8)  # 13 wide, 10 high
GREY = LEVELS[..., 0]


def fill(folder: Path, names: Iterable[str], shape: tuple[int, int] = (10, 13)) -> Path:
    """Grey pictures, each with its own contents."""
    for i, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        levels = np.random.default_rng(i).integers(0, 256, shape, dtype=np.uint8)
        Image.fromarray(levels).save(path)
    return folder


def touch(folder: Path, names: Iterable[str]) -> None:
    """Empty files: `find` reads names only."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def in_test_split(folder: Path) -> dict[str, bool]:
    """Name of each picture, and whether it is in the test split."""
    listing = find(folder)
    splits = ((listing.train, False), (listing.test, True))
    return {path.relative_to(folder).as_posix(): test for split, test in splits for path in split}


FORTY = [f"{i:02}.png" for i in range(40)]
TESTED = ["00.png", "02.png", "03.png", "04.png", "06.png", "18.png", "33.png", "34.png", "38.png"]  # fixed for good
STEMS = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=20)


# The split


@settings(max_examples=40)
@given(st.sets(STEMS, max_size=12))
def test_adding_pictures_moves_none(new: set[str]) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        touch(folder, FORTY)
        before, order = in_test_split(folder), find(folder)
        touch(folder, {f"{stem}.jpg" for stem in new})
        after, listing = in_test_split(folder), find(folder)
        assert before.items() <= after.items()
        assert [path for path in listing.train if path in order.train] == order.train


def test_the_split_has_its_share_and_reads_names_alone() -> None:
    share = sum(in_test(f"class {i % 7}/{i}.png") for i in range(10_000)) / 10_000
    assert abs(share - TEST_SHARE) < 0.01
    assert [name for name in FORTY if in_test(name)] == TESTED


@given(STEMS)
def test_a_name_is_the_same_however_a_file_system_writes_it(stem: str) -> None:
    assert len({in_test(unicodedata.normalize(form, stem)) for form in ("NFC", "NFD")}) == 1


def test_the_split_does_not_depend_on_where_the_folder_lies(tmp_path: Path) -> None:
    here, there = fill(tmp_path / "a", FORTY), fill(tmp_path / "b" / "c", FORTY)
    assert load(here).digest == load(there).digest
    assert load(here).name == "a"


def test_the_first_n_are_a_sample_of_all_classes(tmp_path: Path) -> None:
    touch(tmp_path, [f"{name}/{i}.png" for name in ("cat", "dog", "elk") for i in range(50)])
    assert len({path.parent.name for path in find(tmp_path).train[:20]}) == 3


def test_limits_read_only_what_they_keep(tmp_path: Path) -> None:
    fill(tmp_path, FORTY)
    whole = load(tmp_path)
    last = find(tmp_path).train[-1]
    last.write_text("no picture")
    cut = load(tmp_path, train=30, test=1, held_out=4)
    assert torch.equal(torch.cat([cut.train, cut.held_out]), whole.train[:30])
    with pytest.raises(UserError, match=re.escape(f"'{last}' cannot be read as a picture")):
        load(tmp_path)


# Layout


def test_subfolders_are_classes_in_the_order_of_their_names(tmp_path: Path) -> None:
    names = [f"{name}/{i}.png" for name in ("dog", "cat") for i in range(30)]
    fill(tmp_path, names)
    data = load(tmp_path)
    assert data.classes == ("cat", "dog")
    listing = find(tmp_path)
    for split, labels in ((listing.train, data.train_labels), (listing.test, data.test_labels)):
        assert labels is not None
        assert [data.classes[int(label)] for label in labels] == [path.parent.name for path in split]
    expected = np.asarray(Image.open(listing.test[0])) / np.float32(255)
    assert np.array_equal(data.test[0].numpy(), expected)


def test_a_flat_folder_has_no_labels(tmp_path: Path) -> None:
    data = load(str(fill(tmp_path, FORTY)))
    assert data.train_labels is None
    assert data.test_labels is None
    assert data.n_classes == 0
    assert (len(data.train), len(data.test), data.image_shape) == (31, 9, (10, 13))


def test_other_files_and_links_in_a_circle_are_passed_over(tmp_path: Path) -> None:
    fill(tmp_path, FORTY)
    plain = in_test_split(tmp_path)
    touch(tmp_path, [".hidden.png", ".cache/x.png", "notes.txt", "Thumbs.db", "empty/readme.md", "a/b/deeper.png"])
    (tmp_path / "self").symlink_to(tmp_path)
    (tmp_path / "up").symlink_to(tmp_path.parent)
    (tmp_path / "here").symlink_to(tmp_path / "there")
    (tmp_path / "there").symlink_to(tmp_path / "here")
    os.mkfifo(tmp_path / "pipe.png")
    assert in_test_split(tmp_path) == plain
    assert load(tmp_path).image_shape == (10, 13)


def test_suffixes_are_read_in_any_case(tmp_path: Path) -> None:
    touch(tmp_path, [f"{i}{suffix}" for i in range(20) for suffix in (".PNG", ".JpG", ".tiff", ".webp")])
    assert len(in_test_split(tmp_path)) == 80


# Every kind of picture


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "tiff", "webp", "ppm", "gif", "jpg", "jpeg"])
def test_every_format_is_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x.{suffix}"
    smooth = np.asarray(Image.fromarray(LEVELS).resize((13, 10), Image.Resampling.BOX))
    Image.fromarray(smooth).save(path, **({"lossless": True} if suffix == "webp" else {}))
    colour, grey = picture(path, colour=True), picture(path)
    assert colour.shape == (10, 13, 3)
    assert grey.shape == (10, 13)
    assert colour.dtype == grey.dtype == np.uint8
    if suffix not in {"gif", "jpg", "jpeg"}:
        assert np.array_equal(colour, LEVELS)
        assert np.array_equal(grey, np.asarray(Image.fromarray(LEVELS).convert("L")))


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_sixteen_bits_are_scaled_to_eight(tmp_path: Path, suffix: str) -> None:
    levels = np.linspace(0, 65535, 130).reshape(10, 13).astype(np.uint16)
    Image.fromarray(levels).save(tmp_path / f"x.{suffix}")
    expected = np.rint(levels / 257).astype(np.uint8)
    assert np.array_equal(picture(tmp_path / f"x.{suffix}"), expected)
    assert np.array_equal(picture(tmp_path / f"x.{suffix}", colour=True)[..., 1], expected)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_laid_on_black(tmp_path: Path, mode: str) -> None:
    alpha = np.zeros((10, 13), np.uint8)
    alpha[:, 6:] = 255
    if mode == "P":
        image = Image.fromarray(np.where(alpha, 1, 0).astype(np.uint8)).convert("P")
        image.putpalette([255, 255, 255, 255, 255, 255])
        image.save(tmp_path / "x.png", transparency=0)
    else:
        image = Image.new(mode[:-1], (13, 10), "white")
        image.putalpha(Image.fromarray(alpha))
        image.save(tmp_path / "x.png")
    assert np.array_equal(picture(tmp_path / "x.png"), alpha)


def test_one_bit_palette_and_cmyk_become_levels(tmp_path: Path) -> None:
    Image.fromarray(GREY).convert("1").save(tmp_path / "one.png")
    assert set(np.unique(picture(tmp_path / "one.png"))) == {0, 255}
    Image.new("RGB", (13, 10), (200, 30, 60)).quantize(4).save(tmp_path / "palette.png")
    assert picture(tmp_path / "palette.png", colour=True)[0, 0].tolist() == [200, 30, 60]
    Image.new("CMYK", (13, 10), (0, 255, 255, 0)).save(tmp_path / "cmyk.tif")
    assert picture(tmp_path / "cmyk.tif", colour=True)[0, 0].tolist() == [255, 0, 0]
    assert picture(tmp_path / "cmyk.tif")[0, 0] == 76


@pytest.mark.parametrize("size", [None, 8])
def test_pictures_are_turned_upright(tmp_path: Path, size: int | None) -> None:
    """Orientation 6: the camera was turned, the right way up is a quarter clockwise."""
    image = Image.new("L", (400, 300))
    ImageDraw.Draw(image).rectangle((0, 0, 399, 149), fill=255)  # white above
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "x.jpg", exif=exif)
    upright = picture(tmp_path / "x.jpg", size=size)
    height, width = upright.shape
    assert (height, width) == ((8, 8) if size else (400, 300))
    assert upright[:, : width // 4].max() < 5
    assert upright[:, -width // 4 :].min() > 250


def test_an_animation_is_its_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("L", (13, 10), level) for level in (10, 200)]
    frames[0].save(tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    assert np.unique(picture(tmp_path / "x.gif")).tolist() == [10]


@pytest.mark.parametrize("colour", [False, True])
def test_a_folder_and_an_array_of_the_same_pictures_agree(tmp_path: Path, colour: bool) -> None:
    """Resized and turned grey or colour on two ways through the code."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i, name in enumerate(FORTY):
        Image.fromarray(np.roll(LEVELS, i, axis=1)).save(folder / name)
    listing = find(folder)
    splits = {"train": listing.train, "test": listing.test}
    arrays = {key: np.stack([np.asarray(Image.open(path)) for path in paths]) for key, paths in splits.items()}
    np.savez(tmp_path / "arrays.npz", **arrays)
    for size in (None, 8, 20):
        ours = load(folder, size=size, colour=colour)
        assert ours.digest == load(tmp_path / "arrays.npz", size=size, colour=colour).digest
        assert ours.image_shape == ((3,) if colour else ()) + ((size, size) if size else (10, 13))


# Refusals


def refused(folder: Path, message: str, **options: int) -> None:
    with pytest.raises(UserError, match=message):
        load(folder, **options)  # type: ignore[arg-type]


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, ["notes.txt", "a/b/deeper.png"])
    refused(tmp_path, rf"^dataset='{tmp_path}' holds no pictures: looked for \.bmp, .* one level deep\.$")


def test_a_folder_with_one_picture_is_refused(tmp_path: Path) -> None:
    refused(fill(tmp_path, ["a.png"]), r"holds one picture \('a\.png'\): there is nothing to learn from it\.$")


@pytest.mark.parametrize(("names", "empty"), [(["01.png", "05.png"], "test"), (TESTED[:2], "training")])
def test_a_split_without_pictures_is_refused(tmp_path: Path, names: list[str], empty: str) -> None:
    message = (
        rf"holds 2 pictures, none of which falls into the {empty} split \(15% are for the test, .*\): add pictures"
    )
    refused(fill(tmp_path, names), message)


def test_pictures_at_the_top_and_in_subfolders_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, [*FORTY, "cat/a.png"])
    refused(
        tmp_path, r"has pictures at its top \('00\.png'\) and in subfolders \('cat/a\.png'\): subfolders are classes"
    )


def test_splits_taken_for_classes_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, ["Train/a.png", "test/b.png"])
    refused(tmp_path, r"has the subfolders \['Train', 'test'\], which would be read as classes: .* `train` and `test`")


def test_mixed_sizes_need_a_size_and_are_named(tmp_path: Path) -> None:
    fill(tmp_path, FORTY)
    odd = find(tmp_path).train[7]
    first = find(tmp_path).train[0]
    Image.new("L", (12, 10)).save(odd)
    message = rf"^'{first}' has 13×10 pixels \(width×height\) and '{odd}' has 12×10: give a `size`"
    refused(tmp_path, message)
    assert load(tmp_path, size=9).image_shape == (9, 9)


def test_pictures_too_large_to_be_meant_need_a_size(tmp_path: Path) -> None:
    fill(tmp_path, FORTY, shape=(8, 1025))
    refused(tmp_path, r"pictures of 1025×8 pixels \(width×height\) are too large, .* at most 1024: give a `size`")
    assert load(tmp_path, size=8).image_shape == (8, 8)


def test_a_picture_too_small_to_be_measured_is_named(tmp_path: Path) -> None:
    fill(tmp_path, FORTY)
    tiny = find(tmp_path).test[0]
    Image.new("L", (6, 10)).save(tiny)
    refused(tmp_path, rf"^'{tiny}' has 6×10 pixels: each side must be at least 7\.$", size=28)


def damaged() -> dict[str, bytes]:
    """Contents of files that are no pictures, each in its own way."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "x")
        whole = {}
        for kind in ("png", "jpeg", "gif", "tiff", "webp", "bmp"):
            Image.fromarray(np.tile(LEVELS, (9, 9, 1))).save(path, format=kind)
            whole[kind] = path.read_bytes()
    cut = {f"cut {kind}": contents[: len(contents) // 2] for kind, contents in whole.items()}
    middle = len(whole["png"]) // 2
    flipped = whole["png"][:middle] + bytes([whole["png"][middle] ^ 0xFF]) + whole["png"][middle + 1 :]
    return {"empty": b"", "text": b"not a picture", "flipped png": flipped, **cut}


@pytest.mark.parametrize(("kind", "contents"), damaged().items(), ids=damaged())
def test_a_damaged_picture_is_named(tmp_path: Path, kind: str, contents: bytes) -> None:
    fill(tmp_path, FORTY, shape=(90, 117))
    bad = find(tmp_path).train[5]
    bad.write_bytes(contents)
    refused(tmp_path, rf"^'{bad}' cannot be read as a picture \(.+\)\.$")


@given(
    st.binary(max_size=200),
    st.sampled_from([b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"II*\x00", b"\xff\xd8\xff", b"P5"]),
)
def test_no_file_brings_down_the_reader(contents: bytes, magic: bytes) -> None:
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "x.png")
        path.write_bytes(magic + contents)
        with contextlib.suppress(UserError):
            assert picture(path).ndim == 2


def test_a_link_to_nowhere_is_named(tmp_path: Path) -> None:
    fill(tmp_path, FORTY)
    (tmp_path / "lost.png").symlink_to(tmp_path / "gone.png")
    refused(tmp_path, rf"^'{tmp_path}/lost.png' cannot be read as a picture \(.*No such file")


@pytest.mark.parametrize("times", [1, 3])
def test_a_decompression_bomb_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Pillow only warns up to twice its limit; here both are refused."""
    fill(tmp_path, FORTY)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 130 // times - 1)
    refused(
        tmp_path, r"^'.*\.png' has more pixels than Pillow opens without risk \(\d+\): it may be a decompression bomb"
    )


def test_pixels_without_a_known_range_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full((10, 13), 0.5, np.float32)).save(tmp_path / "float.tif")
    Image.fromarray(np.full((10, 13), 70_000, np.int32)).save(tmp_path / "int.tif")
    with pytest.raises(UserError, match=r"float\.tif' has floating-point pixels, whose range is unknown"):
        picture(tmp_path / "float.tif")
    with pytest.raises(UserError, match=r"int\.tif' has pixels of more than 16 bits: save it with 8 or 16\.$"):
        picture(tmp_path / "int.tif")

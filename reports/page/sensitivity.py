"""Which settings change the word of a claim: level, margin, epochs, seeds, luck, failed cells and readings.

One picture for each claim: a row for each setting, a tile for each of its values with the sign and the colour of the
word that it gives. Tiles of another word than the claim's are filled; the values that the claim was judged at are bold.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from reports.judging.decisions import alpha_at
from reports.judging.verdict import ALL_LUCK, AS_WORST, INSUFFICIENT, SEEDS_ALONE, Verdict
from reports.numbers import counted, listed, which_seeds
from reports.page.canvas import drawn
from reports.page.claim_sections import ClaimSection
from reports.page.claim_tables import names
from reports.page.palette import VERDICT_SIGNS, colour

_ALPHA, _MARGIN, _EPOCHS, _SEED = "alpha", "margin", "epochs", "leave_one_out"
_LUCK, _FAILED, _READING = "luck", "failed", "reading"
TITLES: Final[Mapping[str, str]] = {
    _ALPHA: "level",
    _MARGIN: "margin, times",
    _EPOCHS: "epochs",
    _SEED: "seed left out",
    _LUCK: "interval over",
    _FAILED: "failed cells",
    _READING: "reading",
}
_AS_JUDGED: Final = {_MARGIN: "1", _LUCK: ALL_LUCK, _FAILED: AS_WORST}
COLUMNS: Final = ("claim", "reading", "place", "comparison", "setting", "value", "word")
_OF_MARGIN: Final = {"0.5": "at half the margin", "2": "at twice the margin"}
_TALL: Final = 0.27  # inches of a tile
_STEP: Final = 0.37  # from one line of tiles to the next
_LEFT: Final = 1.25  # of the names of the rows
_WIDE: Final = 6.9
_GAP: Final = 0.07


@dataclass(frozen=True)
class Tile:
    """One value of a setting and the word that it gives. judged: whether the claim was judged at it."""

    value: str
    word: str
    judged: bool = False


@dataclass(frozen=True)
class Row:
    """One setting with its tiles. word: what they are compared with."""

    setting: str
    tiles: tuple[Tile, ...]
    word: str

    def changed(self, tile: Tile) -> bool:
        """Whether a tile has another word. One for which the seeds are too few has none."""
        return not tile.judged and tile.word not in (self.word, INSUFFICIENT)

    @property
    def title(self) -> str:
        return TITLES[self.setting]


def sensitivity_rows(section: ClaimSection) -> tuple[Row, ...]:
    """The settings under which the whole claim was judged again, with their words; none for a claim without data."""
    answer = section.answer
    if answer.sensitivity is None or answer.verdict == INSUFFICIENT:
        return ()
    settings = answer.sensitivity.settings
    rows = [Row(name, _tiles(name, words, answer), answer.verdict) for name, words in settings if words]
    if rows and section.readings:
        tiles = tuple(Tile(reading.reading, reading.verdict) for reading in section.readings)
        rows.append(Row(_READING, tiles, answer.verdict))
    return tuple(rows)


def _tiles(name: str, words: Mapping[str, str], answer: Verdict) -> tuple[Tile, ...]:
    last = list(words)[-1]

    def judged(value: str) -> bool:
        if name == _ALPHA:
            return math.isclose(alpha_at(float(value), answer.looks), answer.alpha)
        return value == (last if name == _EPOCHS else _AS_JUDGED.get(name))

    return tuple(Tile(value, word, judged(value)) for value, word in words.items())


def changing(section: ClaimSection) -> str:
    """Which settings change the word of a claim, in a sentence or two; empty where no setting was tried."""
    rows = sensitivity_rows(section)
    if not rows:
        return ""
    others: dict[str, list[str]] = {}
    for row in rows:
        for word, tiles in _by_word(row).items():
            others.setdefault(word, []).append(_PHRASES[row.setting]([tile.value for tile in tiles]))
    untested = _untested(rows, section)
    if not others:
        besides = "Beside the reading, none" if _differ(section) else "None"
        return f"{besides} of these settings changes the word.{untested}"
    clauses = [f"{word} {listed(phrases)}" for word, phrases in others.items()]
    return f"The word would be {'; '.join(clauses)}.{untested}"


def _differ(section: ClaimSection) -> bool:
    """Whether the readings of a claim have different words."""
    return len({reading.verdict for reading in section.readings}) > 1


def _by_word(row: Row) -> dict[str, list[Tile]]:
    """The tiles of a row that give another word; where the readings differ, that is the word itself."""
    if row.setting == _READING and len({tile.word for tile in row.tiles}) > 1:
        return {}
    words: dict[str, list[Tile]] = {}
    for tile in row.tiles:
        if row.changed(tile):
            words.setdefault(tile.word, []).append(tile)
    return words


def _untested(rows: Sequence[Row], section: ClaimSection) -> str:
    """The settings for which the seeds are too few, as a sentence; empty where they suffice for all."""
    lacking = {row.setting: [tile.value for tile in row.tiles if tile.word == INSUFFICIENT] for row in rows}
    clauses = [f"level {listed(lacking[_ALPHA])} cannot be tested"] if lacking.get(_ALPHA) else []
    clauses += ["no seed can be left out"] if lacking.get(_SEED) else []
    fewest = min((single.n for single in section.comparisons if single.counted and single.n), default=0)
    return f" With {counted(fewest, 'seed')}, {listed(clauses)}." if clauses else ""


def _times(values: Sequence[str]) -> str:
    return listed(_OF_MARGIN.get(value, f"at {value} times the margin") for value in values)


def _without_seeds(seeds: Sequence[str]) -> str:
    return f"without {'one of ' if len(seeds) > 1 else ''}{which_seeds(int(seed) for seed in seeds)}"


_PHRASES: Final[Mapping[str, Callable[[Sequence[str]], str]]] = {
    _ALPHA: lambda values: f"at level {listed(values)}",
    _MARGIN: _times,
    _EPOCHS: lambda values: f"after {listed(values)}",
    _SEED: _without_seeds,
    _LUCK: lambda values: f"over {listed(values)}",
    _FAILED: lambda values: f"with failed cells {listed(values)}",
    _READING: lambda values: f"read as {listed(f'‘{value}’' for value in values)}",
}


def described_rows(section: ClaimSection) -> str:
    """Every tile in words: what the picture shows, for who does not see it."""
    return " ".join(
        f"{row.title.capitalize()}: {'; '.join(f'{tile.value}, {tile.word}' for tile in row.tiles)}."
        for row in sensitivity_rows(section)
    )


def sensitivity_frame(sections: Iterable[ClaimSection]) -> pd.DataFrame:
    """Every word under every setting: of each claim as a whole (no comparison named), and of each comparison."""
    rows = []
    for section in sections:
        parts = [("", section.answer), *zip(names(section.comparisons), section.comparisons)]
        for name, verdict in parts:
            settings = () if verdict.sensitivity is None else verdict.sensitivity.settings
            where = (section.id, verdict.reading, verdict.place, name)
            rows += [(*where, kind, value, word) for kind, words in settings for value, word in words.items()]
    return pd.DataFrame(rows, columns=list(COLUMNS))


@drawn
def sensitivity_figure(rows: Sequence[Row], word: str) -> Figure:
    """The tiles of a claim. word: the claim's own."""
    placed, lines = _placed(rows)
    known = dict.fromkeys((word, *(tile.word for row in rows for tile in row.tiles)))
    height = (lines + 1) * _STEP + 0.04
    figure = Figure(figsize=(_WIDE, height))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, _WIDE), ylim=(0, height))
    ax.axis("off")
    for row, first, tiles in placed:
        ax.text(0.04, height - first, row.title, va="center", fontsize=9, color=colour("ink"))
        for tile, x, y, width in tiles:
            _draw_tile(figure, tile, (x, height - y), width, other=row.changed(tile))
    legend = "\u2003".join(f"{VERDICT_SIGNS[one][1]} {one}" for one in known)
    ax.text(_LEFT, 0.14, legend, va="center", fontsize=8.5, color=colour("muted"))
    return figure


_Tiles = list[tuple[Tile, float, float, float]]  # with left end, middle and width


def _placed(rows: Sequence[Row]) -> tuple[list[tuple[Row, float, _Tiles]], int]:
    """Where every row and tile lies, inches from the top left, and how many lines they take."""
    placed: list[tuple[Row, float, _Tiles]] = []
    line = 0
    for row in rows:
        x, first = _LEFT, (line + 0.5) * _STEP
        tiles: _Tiles = []
        for tile in row.tiles:
            width = 0.34 + 0.078 * len(_shown(tile))
            if x + width > _WIDE - 0.04 and tiles:
                x, line = _LEFT, line + 1
            tiles.append((tile, x, (line + 0.5) * _STEP, width))
            x += width + _GAP
        placed.append((row, first, tiles))
        line += 1
    return placed, line


def _shown(tile: Tile) -> str:
    """A tile's value as short as the name of its row allows."""
    return {SEEDS_ALONE: "seeds", ALL_LUCK: "seeds, images, classifiers"}.get(
        tile.value, tile.value.removesuffix(" epochs").removesuffix(" epoch")
    )


def _draw_tile(figure: Figure, tile: Tile, at: tuple[float, float], width: float, *, other: bool) -> None:
    ax, (x, y) = figure.axes[0], at
    tone, sign = VERDICT_SIGNS[tile.word]
    box = FancyBboxPatch(
        (x, y - _TALL / 2), width, _TALL, boxstyle="round,pad=0,rounding_size=0.05", facecolor=colour(tone), linewidth=0
    )
    box.set_alpha(1.0 if other else 0.13)
    ax.add_patch(box)
    text = colour("paper" if other else tone)
    ax.text(x + 0.08, y, sign, va="center_baseline", fontsize=9, fontweight="bold", color=text)
    ax.text(
        x + 0.26, y, _shown(tile), va="center_baseline", fontsize=8.5, color=text,
        fontweight="bold" if tile.judged else "normal",
    )  # fmt: skip

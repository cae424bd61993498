"""Colours, marks and dashes: one per loss everywhere, one per verdict, each in a light and a dark tone.

Hues are those of Okabe and Ito (2008), which differ under every common colour blindness; each loss also has its
own marker and dash and each verdict its own word and sign, so that colour is never the only cue. Verdicts are not
green and red: supported is not praise, and refuted is not an alarm.

Figures are drawn in the light tones. `themed` then names each tone inside an SVG, so that one picture is legible
on a light and on a dark background.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from reports.judging.verdict import DEPENDS, INCONCLUSIVE, INSUFFICIENT, REFUTED, SUPPORTED


@dataclass(frozen=True)
class Tone:
    """One colour as it looks on a light and on a dark background, `#rrggbb` in lower case."""

    light: str
    dark: str


@dataclass(frozen=True)
class Mark:
    """How a loss is drawn: its tone's name, matplotlib's marker, and its dash."""

    tone: str
    marker: str
    dash: tuple[float, ...] | str  # lengths on and off in line widths; "" is solid

    @property
    def linestyle(self) -> Any:
        """The dash as matplotlib takes it."""
        return (0, self.dash) if self.dash else "-"


TONES: Final[Mapping[str, Tone]] = {
    "paper": Tone("#fdfcf9", "#16181c"),
    "ground": Tone("#ffffff", "#16181c"),  # under a figure: white in a file, left out on a page
    "raised": Tone("#f6f4ee", "#1e2126"),
    "ink": Tone("#22262c", "#e4e2dc"),
    "muted": Tone("#5c636d", "#a3a8b0"),
    "rule": Tone("#dcd9d0", "#363b43"),
    "accent": Tone("#2f4b7c", "#9db8e8"),
    "bce": Tone("#0072b2", "#5ab4ea"),
    "mse": Tone("#008a65", "#3cc79b"),
    "mae": Tone("#cf5a00", "#f58b45"),
    "spare-1": Tone("#a8578a", "#dc92bf"),
    "spare-2": Tone("#8a6f00", "#d9bf3c"),
    "spare-3": Tone("#54616f", "#a9b7c6"),
    "supported": Tone("#4a42a0", "#b3adf5"),
    "refuted": Tone("#96254d", "#f09ab8"),
    "depends": Tone("#0b6470", "#74cfdb"),
    "inconclusive": Tone("#7d5c0a", "#e0bd62"),
    "insufficient": Tone("#596270", "#a8b1bd"),
    "region": Tone("#e6e3f3", "#2e2b4a"),
}

LOSS_MARKS: Final[Mapping[str, Mark]] = {
    "bce": Mark("bce", "o", ""),
    "mse": Mark("mse", "s", (5.0, 1.6)),
    "mae": Mark("mae", "^", (1.6, 1.2)),
}
_SPARE: Final = (
    Mark("spare-1", "D", (7.0, 1.5, 1.5, 1.5)),
    Mark("spare-2", "v", (3.0, 1.0, 1.0, 1.0)),
    Mark("spare-3", "P", (1.0, 3.0)),
)

# verdict -> (tone, sign). The word itself is always written beside the sign.
VERDICT_SIGNS: Final[Mapping[str, tuple[str, str]]] = {
    SUPPORTED: ("supported", "✓"),
    REFUTED: ("refuted", "✕"),
    DEPENDS: ("depends", "⇄"),
    INCONCLUSIVE: ("inconclusive", "≈"),
    INSUFFICIENT: ("insufficient", "…"),
}


def mark(loss: str) -> Mark:
    """How a loss is drawn; the same everywhere, also for losses that have no tone of their own."""
    if loss in LOSS_MARKS:
        return LOSS_MARKS[loss]
    # Python's hash() would differ from one process to the next.
    return _SPARE[sum(loss.encode()) % len(_SPARE)]


def colour(name: str) -> str:
    """The light tone of a loss, or of any name in `TONES`."""
    return TONES[name if name in TONES else mark(name).tone].light


def variables(theme: str) -> str:
    """All tones as CSS custom properties. theme: "light" or "dark"."""
    return "".join(f"--{name}:{getattr(tone, theme)};" for name, tone in TONES.items())


def themed(svg: str) -> str:
    """An SVG drawn in light tones, as one that follows its page's light or dark theme and has no background.

    Inside an SVG image `prefers-color-scheme` follows the `color-scheme` of the element that shows it, so a page
    can switch its pictures without a second copy of them.

    >>> themed('<svg x="1"><path style="stroke: #0072b2"/></svg>').count("var(--bce)")
    1
    """
    for name, tone in TONES.items():
        value = "none" if name == "ground" else f"var(--{name})"
        svg = svg.replace(f": {tone.light}", f": {value}")
    dark = f"@media(prefers-color-scheme:dark){{:root{{{variables('dark')}}}}}"
    head, opening, rest = svg.partition("<svg")
    attributes, _, body = rest.partition(">")
    return f"{head}{opening}{attributes}><style>:root{{{variables('light')}}}{dark}</style>{body}"

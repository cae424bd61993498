"""How numbers are written: every rounding rule of the report.

An interval is shown to two significant figures and its mean to the same place. An effect, in a table as in a sentence,
is shown no finer than a hundredth of its margin (`effect_decimals`); one arm beside a number, and what moved during
training, to the place of their effect. A column keeps one number of decimals, that of its wider intervals (the upper
quartile). A minus is a minus sign; what is missing is a dash, never a zero. Files for machines (CSV, JSON) carry full
precision.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

MISSING: Final = "–"
PURE: Final = ("", "1")  # units of what has none
_MOST_DECIMALS: Final = 6


def decimals(halves: Iterable[float], values: Iterable[float] = ()) -> int:
    """Decimals of a column: two significant figures of its wider intervals, else four of its largest value.

    halves: half-widths of intervals, NaN or 0 where there is none; their upper quartile counts, so that a few narrow
    ones do not add digits that the others do not have. values: used when no half is positive.

    >>> decimals([0.0041, 0.0038, float("nan")])
    4
    >>> decimals([], [105.61])
    1
    """
    widths = [half for half in halves if math.isfinite(half) and half > 0]
    sizes = [abs(value) for value in values if math.isfinite(value) and value != 0]
    places = 3 - _exponent(max(sizes)) if sizes else 2
    if widths:
        import numpy as np  # here, so that claims are checked without it

        places = 1 - _exponent(float(np.quantile(widths, 0.75)))
    return min(max(places, 0), _MOST_DECIMALS)


def effect_decimals(half: float, effect: float, margin: float | None) -> int:
    """Decimals of an effect beside its margin: as of a column, but not finer than a hundredth of the margin.

    >>> effect_decimals(0.00002, 0.00001, 0.5), effect_decimals(0.0012, 0.4, 0.02)
    (3, 4)
    """
    finest = 2 - _exponent(margin) if margin else _MOST_DECIMALS
    return min(decimals([half], [effect]), max(finest, 0))


def _exponent(size: float) -> int:
    return math.floor(math.log10(size))


def number(value: float, places: int, *, signed: bool = False) -> str:
    """A number to a fixed place, with a true minus sign.

    >>> number(-0.1234, 2), number(0.1234, 2, signed=True), number(-0.001, 2), number(float("nan"), 2)
    ('−0.12', '+0.12', '0.00', '–')
    """
    if not math.isfinite(value):
        return MISSING if math.isnan(value) else ("∞" if value > 0 else "−∞")
    rounded = round(value, places)
    body = f"{abs(rounded):,.{places}f}" if abs(rounded) >= 10_000 else f"{abs(rounded):.{places}f}"
    return ("−" if rounded < 0 else "+" if signed and rounded > 0 else "") + body


def plus_minus(mean: float, half: float, places: int) -> str:
    """A mean and the half-width of its interval; the mean alone when there is no interval.

    >>> plus_minus(0.79812, 0.00412, 4), plus_minus(0.79812, float("nan"), 2)
    ('0.7981 ± 0.0041', '0.80')
    """
    if math.isnan(mean) or math.isnan(half):
        return number(mean, places)
    return f"{number(mean, places)} ± {number(half, places)}"


def setting(value: float) -> str:
    """A value that was set, not measured (beta, a margin): as short as it can be written.

    >>> setting(1.0), setting(0.25), setting(39.2), setting(100352.0)
    ('1', '0.25', '39.2', '100,352')
    """
    if not math.isfinite(value):
        return number(value, 0)
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return text.replace("-", "−")


def with_unit(text: str, unit: str) -> str:
    """A number with its unit; a pure number stands alone.

    >>> with_unit("0.5", "nats"), with_unit("0.5", "1")
    ('0.5 nats', '0.5')
    """
    return text if unit in PURE else f"{text} {unit}"


def p_value(p: float | None) -> str:
    """A probability as it stands in prose.

    >>> p_value(0.0123), p_value(0.00001), p_value(1.0), p_value(None)
    ('0.012', '< 0.001', '1', '–')
    """
    if p is None or not math.isfinite(p):
        return MISSING
    if p < 0.001:
        return "< 0.001"
    return "1" if p > 0.995 else f"{p:.2g}"


def duration(seconds: float) -> str:
    """A time in words; below 0, as an estimate may come out, it is 0.

    >>> duration(8.42), duration(95), duration(5400), duration(float("nan"))
    ('8.4 s', '1 min 35 s', '1 h 30 min', '–')
    """
    if not math.isfinite(seconds):
        return MISSING
    if seconds < 59.95:
        return f"{max(seconds, 0.0):.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def counted(n: int, one: str, many: str | None = None) -> str:
    """A count with its noun.

    >>> counted(1, "cell"), counted(3, "cell"), counted(0, "loss", "losses")
    ('1 cell', '3 cells', '0 losses')
    """
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def listed(items: Iterable[str]) -> str:
    """Items as a sentence lists them.

    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    words = list(items)
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else "none"


def spans(seeds: Iterable[int]) -> str:
    """Whole numbers, runs of them as a range.

    >>> spans([0, 1, 2, 3, 7]), spans([5]), spans([])
    ('0–3, 7', '5', 'none')
    """
    runs: list[list[int]] = []
    for seed in sorted(set(seeds)):
        if runs and seed == runs[-1][-1] + 1:
            runs[-1].append(seed)
        else:
            runs.append([seed])
    return ", ".join(str(r[0]) if len(r) == 1 else f"{r[0]}–{r[-1]}" for r in runs) or "none"


def which_seeds(seeds: Iterable[int]) -> str:
    """Seeds by number, with their noun.

    >>> which_seeds([5]), which_seeds([0, 1, 2, 7])
    ('seed 5', 'seeds 0–2, 7')
    """
    numbers = list(seeds)
    return f"seed{'' if len(numbers) == 1 else 's'} {spans(numbers)}"


def sentence_case(text: str) -> str:
    """The text with its first letter large.

    >>> sentence_case("acutance ratio"), sentence_case("−ELBO")
    ('Acutance ratio', '−ELBO')
    """
    return text[:1].upper() + text[1:]


def finite(value: float) -> float | None:
    """A number, or None for NaN and infinity.

    >>> finite(1.5), finite(math.nan)
    (1.5, None)
    """
    return value if math.isfinite(value) else None

"""The reference page of the metrics, made from the catalogue: ``python -m vae.metrics.documentation`` prints it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from vae.metrics.catalogue import CATALOGUE, HEADLINE, Metric

_PLACES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "reconstructions": "Reconstructions",
        "likelihood": "Likelihood",
        "latents": "Latents",
        "samples": "Samples",
    }
)
_SEES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "original": "the picture beside its original (samples beside real images)",
        "picture": "the picture alone, or totals of the original",
        "latents": "the latents",
    }
)
_PREFACE: Final = """# Metrics

Every metric, with what fools it. A metric is *fooled* where its value changes, and what it is read for does not. The
name is the column of `results.csv`, and the word for `metric = "..."` in a claims file. `ablate metrics` prints the
same in a terminal. The functions stand in the [API](api.md).

*Better* says which values are better; *none* is a metric that only describes. An arm that is trained on a metric, or
on a monotone function of it, wins it by construction: it is shown, and it decides nothing between losses.

Read first:"""


def documentation() -> str:
    """The page as Markdown.

    >>> "### `ssim`" in documentation()
    True
    """
    parts = [_PREFACE + " " + ", ".join(f"[{CATALOGUE[name].label}](#{name})" for name in HEADLINE) + ".", ""]
    for where, title in _PLACES.items():
        parts += [f"## {title}", ""]
        for metric in (metric for metric in CATALOGUE.values() if metric.where == where):
            parts += [*_section(metric), ""]
    return "\n".join(parts)


def _section(metric: Metric) -> Iterator[str]:
    yield f"### `{metric.name}`"
    yield ""
    yield _safe(metric.about)
    yield ""
    yield f"| fooled by | {_safe(metric.fools)} |"
    yield "|---|---|"
    yield from (f"| {name} | {_safe(text)} |" for name, text in _facts(metric).items())


def _facts(metric: Metric) -> dict[str, str]:
    facts = {
        "label": metric.label,
        "unit": "none: a pure number" if metric.unit == "1" else metric.unit,
        "better": metric.direction,
        "range": f"{metric.low:g} to {metric.high:g}",
        "looks at": _SEES[metric.sees],
        "source": metric.source,
        "version": str(metric.version),
    }
    if metric.own_objective:
        facts["won by construction by"] = metric.own_objective
    if metric.by_classifier:
        facts["read by"] = "classifiers that are trained on the study's own images"
    if metric.depends_on_size:
        facts["size of images"] = "values of images of different size have no common scale"
    return facts


def _safe(text: str) -> str:
    """Text that a Markdown table takes as it is."""
    return text.replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;")


if __name__ == "__main__":
    print(documentation(), end="")

"""The reference page of study files, made from the types that check them and the registry of factors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from ablations.sections import GRID, MAX_MINUTES, Section
from ablations.studies import bundled, table_of
from ablations.study import SECTIONS, Study
from reports.numbers import listed
from vae.factors import Factor, Scope, factors
from vae.kinds import NONE
from vae.losses import LOSSES
from vae.objectives import REDUCTIONS
from vae.posteriors import POSTERIORS

_PREFACE: Final = """# Study files

A study file is TOML. It says what to train, on what, and what to measure. Every key may be left out. A key that is not
known is refused, and the error names the nearest one. On the command line, `--set training.epochs=5` overrides a key.
"""
# section -> key -> meaning; a key without one, or a meaning without a key, is a mistake that a test finds
MEANINGS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "": {
            "name": "the name under which runs are tracked; the name of the file if left out",
            "title": "the title of the report",
            "description": "a sentence or two below it",
            "dataset": "`digits`, `mnist`, `fashion-mnist`, `kmnist`, a folder of pictures, or an `.npz` file",
            "seeds": 'a list, or text such as `"0-7"`; the seed is the unit of every statistic',
            "claims": "claims files: bundled names, paths, or both; `[]` for none",
            "images": "a section: which images",
            "model": "a section: the base values of the model's factors",
            "training": "a section: the base values of the training's factors",
            "grid": "a section: the factors that vary, and their values",
            "evaluation": "a section: how much is measured",
            "storage": "a section: what is kept",
        },
        "images": {
            "train": "training images, the first so many; all if left out",
            "test": "test images, likewise",
            "held_out": "training images that are set aside, on which scales of likelihoods are fitted",
            "size": "sides in pixels, to which pictures are resized; as they are if left out",
            "colour": "true: three colours; false: grey",
        },
        "evaluation": {
            "per_epoch_images": "test images that are scored after every epoch",
            "points": "shares of training after which every metric is measured; the last is 1, and `[]` is none",
            "point_images": "test images that are measured there",
            "iwae_images": "test images of the importance-weighted bound",
            "iwae_samples": "draws for each of them, an even number",
            "generated": "samples that are drawn from the prior",
            "blur_images": "test images of the blur effect",
            "classifiers": "classifiers that read the pictures; each of their metrics is the mean over them",
            "kept_images": "test images whose own values are kept with each cell",
        },
        "storage": {
            "weights": '`"all"`; `"best"`, of the seed with the lowest −ELBO of each arm; or `"none"`',
        },
    }
)
FACTORS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "loss": f"{', '.join(f'`{name}`' for name in LOSSES)}, or your own as `package.module:function`",
        "reduction": f"how terms become one number: {', '.join(f'`{name}`' for name in REDUCTIONS)}",
        "beta": "the weight of the KL term, as the reduction counts it",
        "posterior": "how the encoder's second output is read: "
        + ", ".join(f"`{name}`, {reading.words}" for name, reading in POSTERIORS.items()),
        "model.family": "the kind of network",
        "model.latents": "latent dimensions",
        "model.conditional": "true: labels enter encoder and decoder, and samples are drawn by class",
        "model.hidden": "widths of the encoder's layers; the decoder mirrors them",
        "model.channels": "channels of the encoder's layers, each of which halves the sides; the decoder mirrors them",
        "training.epochs": "passes over the training images",
        "training.batch_size": "images of a batch",
        "training.learning_rate": "of Adam",
        "training.last_batch": '`"drop"` or `"keep"` the last batch of an epoch where it is smaller',
        "training.weight_decay": "of Adam (L2, added to the gradient)",
        "training.clip_norm": 'largest norm of an arm\'s gradient; `"none"` for no limit',
        "training.adam_eps": "Adam's eps",
        "training.precision": '`"float32"`, `"bfloat16"` (products alone are rounded) or `"float64"`',
        "training.log_every": "steps between logged values of the loss",
    }
)
_FACTORS: Final = """## Factors

A factor is a setting in which arms may differ. Its base value stands in `[model]` or `[training]`, without the first
part of its name. In `[grid]` it has a list of values, and every combination is an arm:

```toml
[model]
latents = 20

[grid]
loss = ["bce", "mse", "mae"]
beta = [0.25, 1, 4]
"model.latents" = [5, 20]
```

Arms that differ in objective or optimiser alone train side by side, in one stack. Of a factor that is neither in its
section nor in the grid, all arms have the default. `loss`, `reduction`, `beta` and `posterior` stand in `[grid]` alone;
a grid that leaves out `loss` has {losses}.

One key of `[training]` is no factor: `{minutes}`, after which a stack ends. It decides whether there are weights, and
not which.
"""
_SCOPES: Final[Mapping[Scope, str]] = MappingProxyType(
    {Scope.OBJECTIVE: "objective", Scope.OPTIMISER: "optimiser", Scope.SHAPE: "shape"}
)


def study_page() -> str:
    """The page as Markdown.

    >>> "| `beta` | objective | `1.0` |" in study_page()
    True
    """
    parts = [_PREFACE, *_table(Study, MEANINGS[""]), ""]
    for name, section in SECTIONS.items():
        parts += [f"## `[{name}]`", "", *_table(section, MEANINGS[name]), ""]
    losses = listed([f"`{loss}`" for loss in GRID["loss"]])
    parts += [_FACTORS.replace("{losses}", losses).replace("{minutes}", MAX_MINUTES)]
    parts += [
        "| factor | scope | default | meaning |",
        "|---|---|---|---|",
    ]
    parts += [_factor_row(one) for one in factors().values()]
    return "\n".join([*parts, "", *_bundled(), ""])


def _table(section: type[Section], meanings: Mapping[str, str]) -> Iterator[str]:
    yield "| key | default | meaning |"
    yield "|---|---|---|"
    for key, field in section.model_fields.items():
        default = "the file's name" if field.is_required() else _default(key, field.default)
        yield f"| `{key}` | {default} | {meanings[key]} |"


def _default(key: str, value: Any) -> str:
    """A default in a cell of a table; those of sections stand in the tables below."""
    if isinstance(value, Section | Mapping):
        return "see below"
    if key == "seeds":
        return f'`"{value[0]}-{value[-1]}"`'
    if value is None or value == "":
        return "–"
    return f"`{_toml(value)}`"


def _toml(value: Any) -> str:
    """A value as a study file writes it.

    >>> _toml((0.5, 1.0)), _toml("all"), _toml(False), _toml(None)
    ('[0.5, 1.0]', '"all"', 'false', '"none"')
    """
    if value is None:
        return f'"{NONE}"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return str(value)


def _factor_row(one: Factor) -> str:
    families = "" if one.families is None else f" (family {' or '.join(one.families)} alone)"
    return f"| `{one.name}` | {_SCOPES[one.scope]} | `{_toml(one.default)}` | {FACTORS[one.name]}{families} |"


def _bundled() -> Iterator[str]:
    yield "## Bundled studies"
    yield ""
    yield "`ablate run NAME` runs one. Their files lie in `ablations/studies`."
    yield ""
    yield "| name | data set | seeds | epochs | claims | about |"
    yield "|---|---|---|---|---|---|"
    for name in bundled():
        study = Study.model_validate(table_of(name)[1])
        seeds, epochs, claims = len(study.seeds), study.training["epochs"], ", ".join(study.claims) or "none"
        yield f"| `{name}` | {study.dataset} | {seeds} | {epochs} | {claims} | {study.description} |"

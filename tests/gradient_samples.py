"""The gradients of a step under the stack's names, however the engine lays out its leaves."""

from __future__ import annotations

from torch import Tensor

from vae.training.autograd import Gradients


def gradients(engine: Gradients) -> dict[str, Tensor]:
    """name -> (arms, *shape), of every weight whose leaf has a gradient: the part of it that is the weight's."""
    return {
        name: leaf.grad[:, rows]
        for name, view in engine.named.items()
        for leaf, rows in [_place(view, engine.leaves)]
        if leaf.grad is not None
    }


def _place(view: Tensor, leaves: list[Tensor]) -> tuple[Tensor, slice]:
    leaf = next(leaf for leaf in leaves if leaf.untyped_storage().data_ptr() == view.untyped_storage().data_ptr())
    start = (view.storage_offset() - leaf.storage_offset()) // leaf.stride(1)
    return leaf, slice(start, start + view.shape[1])

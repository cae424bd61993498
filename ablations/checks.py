"""Checks of a study that need none of its images. They import no torch, so that a mistake is reported at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ablations.study import Study
from reports.claims.load import load_claims
from reports.claims.model import check_base
from vae.datasets.request import check_request
from vae.errors import UserError

IMAGES = ("train=", "test=", "held_out=", "size=")  # how a mistake of the section [images] begins


def check_inputs(study: Study) -> None:
    """Refuse what the study names and no run can use: claims files, and images that no data set can give.

    Raises UserError. Claims are read again when the run is planned, which takes milliseconds.
    """
    claims = load_claims(*study.claims)
    with naming(study):
        check_request(study.dataset, **study.images.model_dump())
    check_base(claims, study.base)


@contextmanager
def naming(study: Study) -> Iterator[None]:
    """A mistake that shows only beside the data names the study and the section that it stands in."""
    try:
        yield
    except UserError as error:
        section = "[images] " if str(error).startswith(IMAGES) else ""
        raise UserError(f"study {study.name!r}: {section}{error}") from error

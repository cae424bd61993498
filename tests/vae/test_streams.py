"""Named streams: every draw belongs to its dataset, seed and purpose, and to nothing else."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vae import streams

names = st.tuples(st.text(max_size=8), st.integers(0, 10**6), st.text(max_size=8))


@given(names, names)
def test_streams_are_the_same_only_for_the_same_name(one: tuple[str, int, str], other: tuple[str, int, str]) -> None:
    assert (streams.stream_seed(*one) == streams.stream_seed(*other)) == (one == other)


@given(names)
def test_a_generator_starts_where_its_name_says(name: tuple[str, int, str]) -> None:
    first, second = (torch.rand(5, generator=streams.generator(*name)) for _ in range(2))
    assert torch.equal(first, second)


def test_seeds_fit_a_signed_integer_of_64_bits() -> None:
    assert all(0 <= streams.stream_seed("digits", seed, "noise/1") < 2**63 for seed in range(1000))


def test_the_seed_of_a_stream_never_changes() -> None:
    """A golden value: with another seed every cell of every store would be another cell."""
    assert streams.stream_seed("mnist", 0, "order/1") == 579631441930888290


def test_the_ambient_stream_is_put_back_also_after_an_error() -> None:
    def failing() -> None:
        with streams.ambient("digits", 0, "weights"):
            torch.rand(11)
            raise ZeroDivisionError

    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    with pytest.raises(ZeroDivisionError):
        failing()
    assert torch.equal(torch.rand(3), expected)


def test_the_ambient_stream_is_the_named_one() -> None:
    with streams.ambient("digits", 3, "weights"):
        drawn = torch.rand(4)
    assert torch.equal(drawn, torch.rand(4, generator=streams.generator("digits", 3, "weights")))


@pytest.mark.parametrize(
    "other",
    [
        {"a": torch.arange(6.0), "c": torch.ones(2)},  # a name
        {"a": torch.arange(6.0).view(2, 3), "b": torch.ones(2)},  # a shape
        {"a": torch.arange(6).double(), "b": torch.ones(2)},  # a type
        {"a": torch.arange(6.0).flip(0), "b": torch.ones(2)},  # a value
        {"a": torch.arange(6.0), "b": torch.ones(2), "c": torch.tensor(1)},  # one more
    ],
)
def test_fingerprints_tell_apart(other: dict[str, torch.Tensor]) -> None:
    base = {"a": torch.arange(6.0), "b": torch.ones(2)}
    assert streams.fingerprint(base) != streams.fingerprint(other)


def test_fingerprints_ignore_order_and_layout() -> None:
    value = torch.rand(3, 4)
    base = streams.fingerprint({"a": value, "b": torch.ones(2)})
    assert streams.fingerprint({"b": torch.ones(2), "a": value.T.contiguous().T}) == base

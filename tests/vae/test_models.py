"""Model families: what every one of them must do, and what each refuses."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from vae.arms import Arm
from vae.building import build
from vae.errors import UserError
from vae.families import FAMILIES
from vae.losses import LOSSES
from vae.models import VAE, ConvVAE, Reconstructor, one_hot, with_labels
from vae.training.stack import check_stackable


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


SHAPES = [(8, 8), (28, 28), (3, 32, 32), (9, 13), (3, 7, 10)]
IMAGES, LATENTS, CLASSES = 5, 3, 4

CLASSES_OF: dict[str, type[nn.Module]] = {"mlp": VAE, "conv": ConvVAE}

every_family = pytest.mark.parametrize("family", FAMILIES)
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
conditional_or_not = pytest.mark.parametrize("classes", [0, CLASSES])


def model(family: str, shape: Sequence[int], classes: int = 0, **options: Any) -> nn.Module:
    torch.manual_seed(0)
    return FAMILIES[family](shape, LATENTS, classes, **options)


def labels(classes: int) -> Tensor | None:
    return torch.tensor([0, 1, 3, 1, 2]) if classes else None


@every_family
@every_shape
@conditional_or_not
def test_shapes(family: str, shape: tuple[int, ...], classes: int) -> None:
    net, y = model(family, shape, classes), labels(classes)
    mean, spread = net.encode(torch.rand(IMAGES, *shape), y)
    assert mean.shape == spread.shape == (IMAGES, LATENTS)
    assert net.decode(mean, y).shape == (IMAGES, *shape)
    assert (net.image_shape, net.latents, net.classes) == (shape, LATENTS, classes)


@every_family
@conditional_or_not
def test_images_do_not_influence_each_other(family: str, classes: int) -> None:
    net, y, x = model(family, (8, 8), classes).double(), labels(classes), torch.rand(IMAGES, 8, 8).double()
    order = torch.tensor([3, 1, 4, 0, 2])
    mean, spread = net.encode(x, y)
    moved = net.encode(x[order], None if y is None else y[order])
    torch.testing.assert_close((mean[order], spread[order]), moved, rtol=1e-12, atol=1e-12)
    decoded = net.decode(mean, y)
    torch.testing.assert_close(decoded[2:3], net.decode(mean[2:3], None if y is None else y[2:3]))


@every_family
def test_labels_enter_the_encoder_and_the_decoder(family: str) -> None:
    net = model(family, (8, 8), CLASSES)
    x, one, other = torch.rand(IMAGES, 8, 8), torch.zeros(IMAGES).long(), torch.ones(IMAGES).long()
    mean, spread = net.encode(x, one)
    mean_other, spread_other = net.encode(x, other)
    assert not torch.equal(mean, mean_other)
    assert not torch.equal(spread, spread_other)
    assert not torch.equal(net.decode(mean, one), net.decode(mean, other))


@every_family
def test_every_weight_learns(family: str) -> None:
    net, y = model(family, (8, 8), CLASSES), labels(CLASSES)
    mean, spread = net.encode(torch.rand(IMAGES, 8, 8), y)
    net.decode(mean + spread, y).square().sum().backward()
    assert all(value.grad is not None and bool(value.grad.any()) for value in net.parameters())


@every_family
def test_a_conditional_model_asks_for_labels(family: str) -> None:
    net = model(family, (8, 8), CLASSES)
    with pytest.raises(UserError, match="a conditional model of 4 classes needs labels y"):
        net.encode(torch.rand(IMAGES, 8, 8))
    with pytest.raises(UserError, match="a conditional model of 4 classes needs labels y"):
        net.decode(torch.rand(IMAGES, LATENTS))


def test_the_notes_network_has_its_known_size() -> None:
    assert sum(value.numel() for value in VAE().parameters()) == 652_824  # pytorch/examples: 784-400-20


def test_hidden_layers_are_mirrored() -> None:
    net = VAE((4, 5), 3, hidden=(11, 7))
    widths = {name: tuple(value.shape) for name, value in net.named_parameters() if name.endswith("weight")}
    assert widths == {
        "encoder.0.weight": (11, 20),
        "encoder.1.weight": (7, 11),
        "mean.weight": (3, 7),
        "spread.weight": (3, 7),
        "decoder.0.weight": (7, 3),
        "decoder.1.weight": (11, 7),
        "output.weight": (20, 11),
    }


@every_family
@conditional_or_not
def test_a_model_is_built_as_its_arm_says(family: str, classes: int) -> None:
    built = build(Arm(family=family, latents=LATENTS, conditional=bool(classes)), (8, 9), CLASSES)
    expected = model(family, (8, 9), classes)
    assert type(built) is CLASSES_OF[family]
    assert (built.image_shape, built.latents, built.classes) == ((8, 9), LATENTS, classes)
    assert {n: v.shape for n, v in built.named_parameters()} == {n: v.shape for n, v in expected.named_parameters()}
    check_stackable(built)


@every_family
def test_a_family_has_the_options_of_its_class_with_their_defaults(family: str) -> None:
    """A study reads the function, which needs no torch; whoever calls the class meets the same."""
    of_function, of_class = (
        [one for one in inspect.signature(of).parameters.values() if one.kind is one.KEYWORD_ONLY]
        for of in (FAMILIES[family], CLASSES_OF[family])
    )
    assert of_class
    assert of_function == of_class  # names, types, defaults and their order


def test_a_model_has_the_options_of_its_arm() -> None:
    assert build(Arm(hidden=(11, 7)), (4, 5), 0).get_parameter("encoder.1.weight").shape == (7, 11)
    assert build(Arm(family="conv", channels=(2, 3)), (4, 5), 0).get_parameter("encoder.1.weight").shape[:2] == (3, 2)


def test_a_conditional_arm_needs_labelled_images() -> None:
    with pytest.raises(UserError, match="conditional=true needs a dataset with labels, and this one has none"):
        build(Arm(conditional=True), (8, 8), classes=0)


@given(st.integers(4, 40), st.integers(4, 40))
def test_convolutions_take_any_sides(height: int, width: int) -> None:
    net = ConvVAE((height, width), 2, channels=(2, 3))
    mean, _ = net.encode(torch.rand(2, height, width))
    assert net.decode(mean).shape == (2, height, width)


def test_labels_are_appended() -> None:
    values, y = torch.rand(3, 2), torch.tensor([2, 0, 1])
    assert torch.equal(with_labels(values, y, 3)[:, 2:], torch.eye(3)[y])
    assert with_labels(values, None, 0) is values
    assert one_hot(y, 3, torch.float64).dtype == torch.float64


@pytest.mark.parametrize(
    ("family", "arguments", "message"),
    [
        ("mlp", {"hidden": ()}, r"hidden=\(\) must list at least one layer's width, such as hidden=\(64,\)"),
        ("mlp", {"hidden": 400}, r"hidden=400 must list at least one layer's width"),
        ("mlp", {"hidden": (400, 0)}, r"hidden=0 must be a whole number, 1 or more"),
        ("mlp", {"latents": 0}, r"latents=0 must be a whole number, 1 or more"),
        ("mlp", {"latents": 2.0}, r"latents=2.0 must be a whole number"),
        ("mlp", {"classes": -1}, r"classes=-1 must be a whole number: 0 for a model without labels"),
        ("mlp", {"image_shape": (8, 0)}, r"image_shape=0 must be a whole number"),
        ("conv", {"channels": ()}, r"channels=\(\) must list at least one layer's width, such as channels=\(64,\)"),
        ("conv", {"channels": (8, True)}, r"channels=True must be a whole number"),
        ("conv", {"channels": (2, 2, 2, 2), "image_shape": (8, 9)}, r"4 times, too often for 8×9 pixels; .* most 3"),
        ("conv", {"latents": -3}, r"latents=-3 must be a whole number"),
    ],
)
def test_what_makes_no_model_is_refused(family: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        CLASSES_OF[family](**arguments)


def test_a_reconstructor_shows_the_mean_of_its_own_loss() -> None:
    model, x = VAE((8, 8), LATENTS, hidden=(5,)), torch.rand(IMAGES, 8, 8)
    logits = model.decode(model.encode(x)[0])
    assert torch.equal(Reconstructor(model)(x), torch.sigmoid(logits))
    own = LOSSES["continuous-bernoulli"].mean
    assert torch.equal(Reconstructor(model, own)(x), own(logits))
    assert not torch.allclose(own(logits), torch.sigmoid(logits))


@every_family
@conditional_or_not
def test_a_model_reconstructs_and_samples_as_it_is(family: str, classes: int) -> None:
    net, y, x = model(family, (9, 13), classes), labels(classes), torch.rand(IMAGES, 9, 13)
    assert torch.equal(net(x, y), torch.sigmoid(net.decode(net.encode(x, y)[0], y)))
    assert torch.equal(net.reconstruct(x, y), net(x, y))
    assert net(x, y).requires_grad
    assert not net.reconstruct(x, y).requires_grad
    samples = net.sample(IMAGES)
    assert samples.shape == (IMAGES, 9, 13)
    assert bool(((samples >= 0) & (samples <= 1)).all())


@every_family
def test_samples_are_those_of_their_seed_and_of_no_other_generator(family: str) -> None:
    net = model(family, (8, 8))
    samples = net.sample(IMAGES, seed=3)
    torch.manual_seed(77)
    assert torch.equal(net.sample(IMAGES, seed=3), samples)
    assert not torch.equal(net.sample(IMAGES, seed=4), samples)


@every_family
def test_samples_of_a_conditional_model_are_of_the_classes_asked_for(family: str) -> None:
    net = model(family, (8, 8), CLASSES)
    in_turn = torch.arange(IMAGES) % CLASSES
    assert torch.equal(net.sample(IMAGES), net.sample(IMAGES, in_turn))
    assert not torch.equal(net.sample(IMAGES), net.sample(IMAGES, in_turn * 0))


def test_a_double_model_takes_single_images_and_gives_doubles() -> None:
    net = VAE((8, 8), LATENTS, hidden=(5,)).double()
    assert net.reconstruct(torch.rand(2, 8, 8)).dtype == net.sample(2).dtype == torch.float64


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda net, _: net.reconstruct(torch.rand(8, 8)), r"x is \(8, 8\); this model takes .*: \(n, 8, 8\)"),
        (lambda net, _: net.reconstruct(255 + torch.zeros(2, 8, 8)), r"x reaches .* Did you mean x / 255\?"),
        (lambda net, _: net.reconstruct(torch.rand(2, 8, 8), torch.tensor([0, 1])), "takes no labels: leave y out"),
        (lambda net, _: net.sample(0), "count=0 must be a whole number, 1 or more"),
        (lambda net, _: net.sample(2, seed=-1), "seed=-1 must be a whole number, 0 or more"),
        (lambda _, net: net.reconstruct(torch.rand(2, 8, 8)), "conditional model of 4 classes needs labels"),
        (lambda _, net: net.sample(2, torch.tensor([1])), r"y is \(1,\); it must be one label for each of the 2"),
        (lambda _, net: net.sample(1, torch.tensor([4])), "y reaches from 4 to 4; allowed are the classes 0 to 3"),
    ],
)
def test_what_a_model_cannot_take_is_refused(call: Callable[..., Tensor], message: str) -> None:
    with pytest.raises(UserError, match=message):
        call(VAE((8, 8), LATENTS, hidden=(5,)), VAE((8, 8), LATENTS, CLASSES, hidden=(5,)))

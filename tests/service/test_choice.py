"""Which initialization the images of a call decide for."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from inkling.checkpoints.checkpoint import Checkpoint, load_checkpoint
from inkling.engine.handle import Handle
from inkling.errors import InvalidInput
from inkling.service.adapt import adapt
from inkling.service.add_images import add_images
from inkling.service.choice import Chosen, choose
from inkling.service.decoding import LOOKED_AT
from inkling.service.registry import AUTO, Registry
from inkling.service.values import (
    AdaptCall,
    Adapted,
    AdaptOptions,
    Choice,
    Keyed,
    Replayed,
    SentImage,
)
from PIL import Image

from ..photographs_checkpoint import STEPS, saved_for_photographs
from ..pictures import saved
from .conftest import House

Calls = Callable[..., AdaptCall]


@pytest.fixture(scope="module")
def of_photographs(tmp_path_factory: pytest.TempPathFactory, checkpoint: Checkpoint) -> Checkpoint:
    folder = tmp_path_factory.mktemp("initializations") / "photographs"
    return load_checkpoint(saved_for_photographs(folder, checkpoint))


@pytest.fixture
def both(house: House, of_photographs: Checkpoint) -> House:
    """A house with one initialization for drawings and one for photographs."""
    (drawings,) = house.service.registry.by_name.values()
    return replace(
        house,
        service=replace(
            house.service,
            registry=Registry([drawings, replace(drawings, checkpoint=of_photographs)]),
        ),
    )


@pytest.fixture
def groceries(photographs: list[bytes]) -> list[SentImage]:
    return [
        SentImage(content, "ab"[place % 2], place, "ab"[place % 2])
        for place, content in enumerate(photographs)
    ]


def with_all(house: House, handles: list[Handle], default: str | None = None) -> House:
    return replace(house, service=replace(house.service, registry=Registry(handles, default)))


def _reason(adapted: Adapted) -> str:
    return "" if adapted.choice is None else adapted.choice.reason


def chosen(house: House, images: list[SentImage]) -> Choice:
    found: Chosen = house.run(choose, images, "")
    return found.choice


def test_each_kind_of_picture_gets_its_own(
    both: House, call: Calls, groceries: list[SentImage]
) -> None:
    for images, name in ((call().images, "omniglot"), (groceries, "photographs")):
        adapted = both.run(adapt, AdaptCall(images))
        assert adapted.session.identity == both.service.registry.by_name[name].identity
        choice = adapted.choice
        assert choice.handle is adapted.handle
        assert f"resemble a {adapted.handle.preprocessing_name} most" in choice.reason
        shares = {each.handle.name: each.resemblance for each in choice.candidates}
        assert shares[name] > 0.9
        assert sum(shares.values()) == pytest.approx(1)


def test_a_named_one_or_a_default_is_used_whatever_the_images(
    both: House, call: Calls, groceries: list[SentImage]
) -> None:
    named = both.run(adapt, call(initialization="photographs"))
    assert (named.handle.name, named.choice) == ("photographs", None)
    handles = list(both.service.registry.by_name.values())
    fixed = with_all(both, handles, "omniglot")
    assert fixed.run(adapt, AdaptCall(groceries)).handle.name == "omniglot"
    asked = fixed.run(adapt, AdaptCall(groceries, AdaptOptions(initialization=AUTO)))
    assert asked.choice.handle.name == "photographs"


def test_no_order_and_no_label_has_a_say(both: House, drawings: dict[str, list[bytes]]) -> None:
    contents = [content for images in drawings.values() for content in images[:2]]
    assert len(contents) > LOOKED_AT
    images = [SentImage(content, "a", place) for place, content in enumerate(contents)]
    backwards = [
        SentImage(image.content, "b", place) for place, image in enumerate(reversed(images))
    ]
    assert chosen(both, images) == chosen(both, backwards)


def test_what_was_looked_at_is_not_decoded_again(
    both: House, call: Calls, groceries: list[SentImage]
) -> None:
    for images in (call().images, groceries):
        both.run(adapt, AdaptCall(images))
        given = both.engine.supports[-1].images
        assert isinstance(given, list)
        assert all(isinstance(image, torch.Tensor) for image in given)


def test_a_large_photograph_is_looked_at_small_and_a_large_drawing_anew(
    both: House, groceries: list[SentImage], call: Calls
) -> None:
    def enlarged(image: SentImage, place: int) -> SentImage:
        sheet = Image.open(io.BytesIO(image.content)).convert("RGB")
        return SentImage(saved(sheet.resize((1200, 1200)), "JPEG"), "a", place)

    photographs = both.run(choose, [enlarged(image, n) for n, image in enumerate(groceries)], "")
    assert photographs.choice.handle.name == "photographs"
    assert {max(rgba.shape) for rgba in photographs.pixels.values()} == {150}
    sheets = both.run(choose, [enlarged(image, n) for n, image in enumerate(call().images)], "")
    assert sheets.choice.handle.name == "omniglot"
    assert not sheets.pixels


def test_of_two_alike_the_first_is_taken(both: House, call: Calls) -> None:
    first = both.service.registry.by_name["omniglot"]
    second = replace(first, checkpoint=first.checkpoint.named("second"))
    choice = chosen(with_all(both, [second, first]), list(call().images))
    assert choice.handle is second
    assert choice.candidates[0].unlikeness == choice.candidates[1].unlikeness


def test_one_alone_is_taken_and_one_that_is_alone_is_the_default(house: House, call: Calls) -> None:
    assert house.service.registry.default == "omniglot"
    assert house.run(adapt, call()).choice is None
    asked = house.run(adapt, call(initialization=AUTO)).choice
    assert (asked.handle.name, asked.reason) == ("omniglot", "it is the only one that is loaded")


def test_bad_images_and_too_many_steps_are_listed_together(
    both: House, groceries: list[SentImage]
) -> None:
    images = [*groceries, SentImage(b"no image", "a", 9, "a")]
    with pytest.raises(InvalidInput) as refused:
        both.run(adapt, AdaptCall(images, AdaptOptions(steps=STEPS + 1)))
    codes = [problem.code for problem in refused.value.problems]
    assert codes == ["out_of_range", "not_an_image"]
    with pytest.raises(InvalidInput) as refused:
        both.run(adapt, AdaptCall([replace(image, content=b"") for image in groceries]))
    assert {problem.code for problem in refused.value.problems} == {"empty"}


def test_images_that_are_added_decide_nothing(
    both: House, call: Calls, groceries: list[SentImage]
) -> None:
    session = both.run(adapt, call()).session
    grown = both.run(add_images, session.id, AdaptCall(groceries))
    assert (grown.handle.name, grown.choice) == ("omniglot", None)


def test_a_keyed_call_is_repeated_with_its_choice(both: House, groceries: list[SentImage]) -> None:
    keyed = Keyed[Adapted]("once", "POST /adapt", 201, lambda adapted: _reason(adapted).encode())
    first = both.run(adapt, AdaptCall(groceries, keyed=keyed))
    assert both.run(adapt, AdaptCall(groceries, keyed=keyed)) == Replayed(201, first.answer)
    assert b"photograph" in first.answer

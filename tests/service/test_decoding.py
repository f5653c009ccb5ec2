"""Decoding in bounded memory and time, whatever calls come together."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest
import torch
from inkling.errors import BadImage, DeadlineExceeded, InvalidInput
from inkling.images.decode import DecodingStopped, decoding_bytes, pixels, read
from inkling.images.photograph import Photograph
from inkling.images.prepared import Prepared
from inkling.images.preprocessing import unpacked
from inkling.service.adapt import adapt
from inkling.service.chunks import WITHOUT_ASKING, chunk_of
from inkling.service.decoding import SMALL_CALL_BYTES, Decoder, DecodingRoom
from inkling.service.values import AdaptCall, SentImage
from PIL import Image

from ..pictures import huge_jpeg, saved
from .conftest import House

SEVERAL = 40


@pytest.fixture
def decoder() -> Iterator[Decoder]:
    room = DecodingRoom(2, 64 << 20)
    yield room.of("one")
    room.close()


@pytest.fixture(scope="module")
def large() -> bytes:
    """An image that takes much more memory than any thread may take without asking."""
    return saved(Image.linear_gradient("L").resize((2400, 2400)), "PNG")


def sent(*contents: bytes) -> list[SentImage]:
    return [SentImage(content, "image", place) for place, content in enumerate(contents)]


def test_photographs_wait_as_bytes_that_give_the_same_numbers(
    decoder: Decoder, photographs: list[bytes]
) -> None:
    prepared, _ = asyncio.run(decoder.prepare(sent(*photographs), Photograph()))
    assert prepared.images.dtype == torch.uint8
    decoded = [pixels(read(content), Photograph().useful_side) for content in photographs]
    expected = torch.cat([Photograph().prepare([rgba]).images for rgba in decoded])
    assert torch.equal(unpacked(Photograph(), prepared.images), expected)


def test_large_images_have_their_turns_and_small_ones_pass(
    decoder: Decoder, large: bytes, photographs: list[bytes]
) -> None:
    async def calls() -> tuple[list[int], list[int]]:
        many = asyncio.gather(
            *(decoder.prepare(sent(large, photographs[0]), Photograph()) for _ in range(4))
        )
        few = await decoder.prepare(sent(*photographs), Photograph())
        return [len(prepared) for prepared, _ in await many], [len(few[0])]

    assert decoding_bytes(read(large)) > 2 * WITHOUT_ASKING
    assert asyncio.run(calls()) == ([2] * 4, [len(photographs)])


def test_problems_are_told_in_the_order_of_the_images(decoder: Decoder, large: bytes) -> None:
    with pytest.raises(InvalidInput) as refused:
        asyncio.run(decoder.prepare(sent(large, b"text", large[:-500], b""), Photograph()))
    assert [(problem.code, problem.index) for problem in refused.value.problems] == [
        ("not_an_image", 1),
        ("damaged", 2),
        ("empty", 3),
    ]


def test_calls_of_many_photographs_wait_for_each_other(photographs: list[bytes]) -> None:
    contents = sent(*(photographs[place % len(photographs)] for place in range(SEVERAL)))
    # Room for one of them at once, and they all come to an end.
    room = DecodingRoom(2, int(1.5 * SEVERAL * 3 * 224**2 / (3 / 8)))
    decoder = room.of("one")
    assert SEVERAL * 3 * 224**2 > SMALL_CALL_BYTES

    async def one() -> int:
        prepared: Prepared | None = (await decoder.prepare(contents, Photograph()))[0]
        count = 0 if prepared is None else len(prepared)
        prepared = None
        gc.collect()
        return count

    async def all_at_once() -> list[int]:
        return await asyncio.wait_for(asyncio.gather(*(one() for _ in range(3))), 60)

    assert asyncio.run(all_at_once()) == [SEVERAL] * 3
    room.close()


def test_a_thread_stops_when_nobody_waits_any_more(large: bytes) -> None:
    gone = threading.Event()
    seen: list[int] = []

    def work(image: SentImage, _room: int, stopped: Callable[[], bool]) -> tuple[int, int]:
        seen.append(image.index)
        gone.set()
        pixels(read(image.content), None, stopped)
        raise AssertionError

    chunk = chunk_of(work, sent(large, large), 1 << 30, gone)
    assert (seen, chunk.parts, chunk.done) == ([0], (), 0)


def test_decoding_stops_between_two_pieces_of_a_file_and_of_an_image(large: bytes) -> None:
    for asked in (1, 3, 6, 8):
        left = iter([False] * asked)
        with pytest.raises(DecodingStopped):
            pixels(read(large), None, partial(next, left, True))


def test_a_call_that_takes_too_long_is_told_its_own_limit(
    open_house: Callable[..., House], call: Callable[..., AdaptCall]
) -> None:
    house = open_house(deadline_seconds=0.02)
    content = huge_jpeg(5000, 5000, "RGB", progressive=True)
    images = [*call().images, *sent(*[content] * 20)]
    images = [SentImage(each.content, "a", n, "ab"[n % 2]) for n, each in enumerate(images)]
    with pytest.raises(DeadlineExceeded) as late:
        house.run(adapt, AdaptCall(images))
    assert str(late.value) == "adapting took longer than 0.02 s"


def test_no_message_tells_of_a_library() -> None:
    noise = saved(Image.effect_noise((64, 64), 50).convert("RGB"), "PNG")
    for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP"):
        content = saved(Image.effect_noise((64, 64), 50), kind)
        for place in range(0, len(content) - 8, max(1, len(content) // 40)):
            for broken in (content[:place], content[:place] + noise[:8] + content[place + 8 :]):
                try:
                    pixels(read(broken))
                except BadImage as bad:
                    told = str(bad)
                    assert not any(word in told for word in ("Error", "Pillow", "PIL", "decoder"))
                    assert told.startswith(("the ", "expected ", "at least ", "at most ", "sides"))

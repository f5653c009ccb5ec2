from __future__ import annotations

import io
import os
import resource
import struct

import numpy as np
import pytest
import torch
from inkling.errors import BadImage
from inkling.images.decode import decode, read
from PIL import Image, ImageCms

from ..pictures import huge_jpeg, huge_png


def png(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return buffer.getvalue()


def refused(content: bytes) -> BadImage:
    with pytest.raises(BadImage) as caught:
        decode(content)
    return caught.value


def test_a_plain_image_keeps_its_pixels() -> None:
    pixels = np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3)
    found = decode(png(Image.fromarray(pixels)))
    assert found.shape == (20, 30, 4)
    assert torch.equal(found[..., :3], torch.from_numpy(pixels))
    assert bool((found[..., 3] == 255).all())


def test_sixteen_bit_grey_is_scaled_not_clipped() -> None:
    values = np.array([[0, 257, 32_896, 65_535]] * 8, dtype=np.uint16).repeat(2, axis=1)
    found = decode(png(Image.fromarray(values)))
    assert found[0, ::2, 0].tolist() == [0, 1, 128, 255]


def test_exif_orientation_is_applied() -> None:
    image = Image.new("RGB", (20, 10))
    image.putpixel((0, 0), (255, 255, 255))
    exif = Image.Exif()
    exif[0x0112] = 6  # the top of the picture is at the right of the stored rows
    found = decode(png(image, exif=exif))
    assert found.shape == (20, 10, 4)
    assert int(found[0, 9, 0]) == 255


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_exif_that_is_wrong_elsewhere_does_no_harm(kind: str) -> None:
    entries = struct.pack(">HHI4s", 0x0100, 2, 4, b"wide") + struct.pack(
        ">HHIHH", 0x0112, 3, 1, 6, 0
    )
    exif = b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 2) + entries + bytes(4)
    buffer = io.BytesIO()
    Image.new("RGB", (20, 10)).save(buffer, kind, exif=exif)
    assert decode(buffer.getvalue()).shape == (20, 10, 4)


def test_a_cmyk_image_with_a_broken_profile_is_taken_without_it() -> None:
    buffer = io.BytesIO()
    Image.new("CMYK", (20, 20)).save(buffer, "JPEG", icc_profile=b"no profile")
    assert decode(buffer.getvalue())[0, 0].tolist() == [255, 255, 255, 255]


def test_of_an_animation_the_first_frame_is_taken() -> None:
    frames = [Image.new("RGB", (10, 10), color) for color in ("red", "blue")]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    assert decode(buffer.getvalue())[0, 0].tolist() == [255, 0, 0, 255]


def test_a_file_that_is_no_image_is_told_what_was_expected() -> None:
    assert "got 11 bytes of text" in str(refused(b"hello world"))
    assert refused(b"").code == "empty"
    assert refused(os.urandom(1000)).code == "not_an_image"


def test_formats_outside_the_list_are_refused() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (20, 20)).save(buffer, "TIFF")
    assert refused(buffer.getvalue()).code == "not_an_image"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_a_truncated_file_is_refused(kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, kind)
    assert refused(buffer.getvalue()[: buffer.tell() // 2]).code in ("damaged", "not_an_image")


def test_a_huge_image_is_refused_before_it_is_decoded() -> None:
    content = huge_png(13_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert refused(content).code == "too_many_pixels"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000


@pytest.mark.parametrize("mode", ["1", "P", "RGBA", "I;16"])
def test_a_large_image_is_averaged_down(mode: str) -> None:
    image = Image.new("L", (4500, 3000), 255)
    image.paste(0, (0, 0, 2250, 3000))
    large = image.convert("I;16") if mode == "I;16" else image.convert(mode)
    found = decode(png(large))
    assert found.shape == (1000, 1500, 4)
    assert found[500, [0, 749, 750, 1499], 0].tolist() == [0, 0, 255, 255]


def test_images_too_small_or_too_narrow_to_show_anything_are_refused() -> None:
    assert refused(png(Image.new("L", (7, 100)))).code == "too_small"
    assert refused(png(Image.new("L", (10, 300)))).code == "too_narrow"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_the_size_that_a_header_tells_is_the_decoded_one(kind: str) -> None:
    written = io.BytesIO()
    Image.new("RGB", (40, 30)).save(written, kind)
    encoded = read(written.getvalue())
    assert (encoded.kind, encoded.width, encoded.height) == (kind, 40, 30)
    assert decode(written.getvalue()).shape[:2] == (30, 40)


def photograph(width: int, height: int, **options: object) -> bytes:
    """A JPEG of a smooth gradient."""
    across = np.linspace(0, 255, width, dtype=np.uint8)
    pixels = np.stack([np.tile(across, (height, 1))] * 3, 2)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("size", "decoded"),
    [((1024, 768), (256, 192)), ((400, 300), (200, 150)), ((299, 299), (299, 299))],
)
def test_a_large_jpeg_is_decoded_no_larger_than_is_of_use(
    size: tuple[int, int], decoded: tuple[int, int]
) -> None:
    assert decode(photograph(*size), useful_side=150).shape[:2] == decoded[::-1]
    assert decode(photograph(*size)).shape[:2] == size[::-1]


def test_other_formats_keep_their_size_whatever_is_of_use() -> None:
    assert decode(png(Image.new("RGB", (400, 300))), useful_side=20).shape[:2] == (300, 400)


def test_a_reduced_jpeg_is_turned_as_its_orientation_says() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    found = decode(photograph(800, 400, exif=exif), useful_side=100)
    assert found.shape[:2] == (200, 100)
    assert int(found[0, 50, 0]) < int(found[-1, 50, 0])


def swapped_profile() -> bytes:
    """sRGB with the red and the green primary exchanged."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    tags = {bytes(profile[at : at + 4]): at for at in range(132, 132 + 12 * profile[131], 12)}
    red, green = tags[b"rXYZ"] + 4, tags[b"gXYZ"] + 4
    profile[red : red + 8], profile[green : green + 8] = (
        profile[green : green + 8],
        profile[red : red + 8],
    )
    name = profile.find("sRGB".encode("utf-16-be"))
    profile[name : name + 8] = "test".encode("utf-16-be")
    return bytes(profile)


def test_colours_of_a_profile_become_those_of_srgb() -> None:
    red = Image.new("RGB", (20, 20), (255, 0, 0))
    shown = decode(png(red, icc_profile=swapped_profile()))[0, 0]
    assert int(shown[1]) > 200
    assert int(shown[0]) < 60


@pytest.mark.parametrize(
    "profile",
    [b"no profile", ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()],
    ids=["broken", "srgb"],
)
def test_a_profile_that_is_broken_or_srgb_changes_nothing(profile: bytes) -> None:
    image = Image.new("RGB", (20, 20), (200, 100, 50))
    assert decode(png(image, icc_profile=profile))[0, 0].tolist() == [200, 100, 50, 255]


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("useful_side", [256, None])
def test_a_jpeg_of_two_hundred_megapixels_is_decoded_at_a_fraction(
    mode: str, useful_side: int | None
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    content = huge_jpeg(16_384, 12_200, mode, exif=exif)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = decode(content, useful_side)
    assert found.shape == (2048, 1525, 4)
    tone = 64 if mode == "CMYK" else 128  # half of black over half of each colour
    assert bool((found == torch.tensor([tone, tone, tone, 255], dtype=torch.uint8)).all())
    # Its pixels alone would take 200 to 800 MB.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 160_000


@pytest.mark.parametrize("size", [(63_200, 3160), (27_000, 1350)])
def test_a_narrow_jpeg_keeps_no_more_than_is_decoded_of_any(size: tuple[int, int]) -> None:
    assert max(decode(huge_jpeg(*size), useful_side=1000).shape) <= 2048


def test_jpegs_that_are_too_large_or_need_all_their_coefficients_are_refused() -> None:
    for content in (huge_jpeg(16_384, 12_300), huge_jpeg(5200, 5000, progressive=True)):
        found = refused(content)
        assert found.code == "too_many_pixels"
        assert "200,000,000 of a JPEG that is not progressive" in str(found)
    assert refused(huge_jpeg(16_384, 12_200, progressive=True)).code == "too_many_pixels"

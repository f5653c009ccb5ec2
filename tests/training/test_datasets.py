"""Photographs in files in place of memory: the same classes, episodes, features and runs."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from inkling.checkpoints.checkpoint import Checkpoint
from inkling.data.episodes import ClassImages, EpisodeShape, draw_episode, in_parts, seeded
from inkling.data.sources import EncodedClass
from inkling.data.stored_images import StoredImages
from inkling.errors import BadData
from inkling.images.photograph import Photograph
from inkling.training.calibration import fit_likeness
from inkling.training.candidate import Inductive, embed
from inkling.training.datasets import normalized, preprocess_classes
from inkling.training.evaluation import Setting, evaluate
from inkling.training.recipes import NamedRecipe, load_recipe
from inkling.training.run import TrainingRun
from inkling.training.start import fresh_initialization, recipe_network
from PIL import Image

from .test_training import SMALL, losses, tensors_of

SIZE = 28
OF_PHOTOGRAPHS = SMALL.replace('"drawing"', f'"photograph"\nsize = {SIZE}').replace(
    "channels = 8", "channels = 8\nimage_channels = 3"
)
PREPROCESSING = Photograph(SIZE)


def crops(content: bytes) -> tuple[tuple[str, bytes], ...]:
    """Eight different parts of a photograph, as files."""
    whole = Image.open(io.BytesIO(content))
    width, height = whole.size
    files = []
    for number in range(8):
        buffer = io.BytesIO()
        box = (5 * number, 3 * number, width - 2 * number, height - 7 * number)
        whole.crop(box).save(buffer, "JPEG", quality=90)
        files.append((f"{number}.jpg", buffer.getvalue()))
    return tuple(files)


@pytest.fixture(scope="module")
def groceries(photographs: list[bytes]) -> tuple[EncodedClass, ...]:
    return tuple(
        EncodedClass(f"class{number}", "", crops(content))
        for number, content in enumerate(photographs)
    )


@pytest.fixture
def in_memory(groceries: tuple[EncodedClass, ...]) -> ClassImages:
    return preprocess_classes(groceries, PREPROCESSING)


@pytest.fixture
def in_files(groceries: tuple[EncodedClass, ...], tmp_path: Path) -> ClassImages:
    return preprocess_classes(groceries, PREPROCESSING, cache=tmp_path / "cache")


@pytest.fixture
def recipe(tmp_path: Path) -> NamedRecipe:
    path = tmp_path / "photographs.toml"
    path.write_text(OF_PHOTOGRAPHS)
    return load_recipe(str(path))


def assert_equal(found: ClassImages, expected: ClassImages) -> None:
    assert replace(found, images=()) == replace(expected, images=())
    for images, others in zip(found.images, expected.images, strict=True):
        assert torch.equal(images[:], others[:])


def test_photographs_in_files_are_those_in_memory(
    in_files: ClassImages, in_memory: ClassImages
) -> None:
    assert all(isinstance(images, StoredImages) for images in in_files.images)
    assert all(isinstance(images, torch.Tensor) for images in in_memory.images)
    assert_equal(in_files, in_memory)


def test_they_are_turned_mirrored_joined_and_placed_alike(
    in_files: ClassImages, in_memory: ClassImages
) -> None:
    def changed(classes: ClassImages) -> ClassImages:
        more = normalized(classes, PREPROCESSING).mirrored()
        return classes.joined(more).with_rotations().placed(torch.device("cpu"))

    found, expected = changed(in_files), changed(in_memory)
    assert_equal(found, expected)
    shape = EpisodeShape((2, 5), (1, 3), 3, uneven=True)
    for number in range(5):
        drawn, same = (
            draw_episode(classes, shape, seeded(number)) for classes in (found, expected)
        )
        assert torch.equal(drawn.support.images, same.support.images)
        assert torch.equal(drawn.query_images, same.query_images)
    means = found.computed(lambda images: images.mean((2, 3)), most=3)
    assert [tuple(images.shape) for images in means.images] == [(3, 3)] * len(found.names)
    torch.testing.assert_close(means.images[5][2], expected.images[5][2].mean((1, 2)))
    places = [(0, 1), (7, 0), (0, 1)]
    assert torch.equal(found.at(places), expected.at(places))


def test_a_part_holds_little_and_all_parts_are_all_images() -> None:
    large = torch.arange(5.0).view(5, 1, 1, 1).expand(5, 3, 400, 400)
    parts = list(in_parts(large))
    assert [len(part) for part in parts] == [2, 2, 1]
    assert torch.equal(torch.cat(parts), large)
    assert [len(part) for part in in_parts(large, 3)] == [2, 1]
    assert [len(part) for part in in_parts(large.repeat(1, 1, 3, 3))] == [1] * 5


def changed_file(encoded: EncodedClass, place: int, content: bytes) -> EncodedClass:
    files = list(encoded.files)
    files[place] = (files[place][0], content)
    return replace(encoded, files=tuple(files))


def test_a_changed_file_makes_its_class_anew_and_no_other(
    groceries: tuple[EncodedClass, ...], in_files: ClassImages, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    before = set(cache.iterdir())
    changed = changed_file(groceries[2], 3, groceries[0].files[0][1])
    again = preprocess_classes(
        (*groceries[:2], changed, *groceries[3:]), PREPROCESSING, cache=cache
    )
    assert len(set(cache.iterdir()) - before) == 1
    assert torch.equal(again.images[2][3], in_files.images[0][0])
    assert torch.equal(again.images[2][4], in_files.images[2][4])


def test_another_preprocessing_has_images_of_its_own(
    groceries: tuple[EncodedClass, ...], in_files: ClassImages, tmp_path: Path
) -> None:
    other = preprocess_classes(groceries, Photograph(SIZE, std=100.0), cache=tmp_path / "cache")
    assert not torch.equal(other.images[0][:], in_files.images[0][:])


def test_a_bad_file_is_named_and_the_classes_before_it_are_kept(
    groceries: tuple[EncodedClass, ...], tmp_path: Path
) -> None:
    bad = changed_file(groceries[1], 5, b"no photograph")
    with pytest.raises(BadData, match=r"class1/5.jpg: expected PNG"):
        preprocess_classes((groceries[0], bad), PREPROCESSING, cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 1


def test_drawings_stay_in_memory(
    encoded: Sequence[EncodedClass], checkpoint: Checkpoint, tmp_path: Path
) -> None:
    found = preprocess_classes(encoded[:2], checkpoint.preprocessing, cache=tmp_path / "cache")
    assert all(isinstance(images, torch.Tensor) for images in found.images)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("adapt", ["all", "last"])
def test_evaluations_and_likeness_are_the_same(
    in_files: ClassImages, in_memory: ClassImages, recipe: NamedRecipe, adapt: str
) -> None:
    table = recipe.recipe.inner_loop.model_copy(update={"adapt": adapt, "view_pairs": 1})
    adapted = recipe.recipe.model_copy(update={"inner_loop": table})
    network = recipe_network(adapted)
    initialization = fresh_initialization(adapted, network)
    setting = Setting(EpisodeShape.fixed(3, 2, 3), 4, 0)
    of_memory, of_files = (
        evaluate(Inductive(network, initialization, classes), setting)
        for classes in (in_memory, in_files)
    )
    assert of_files == of_memory
    assert_equal(
        embed(network, initialization, in_files), embed(network, initialization, in_memory)
    )
    assert fit_likeness(in_files, in_files, PREPROCESSING, 0) == fit_likeness(
        in_memory, in_memory, PREPROCESSING, 0
    )


def test_a_run_over_files_is_bit_equal(
    in_files: ClassImages, in_memory: ClassImages, recipe: NamedRecipe, tmp_path: Path
) -> None:
    runs = [
        TrainingRun(recipe, tmp_path / name, classes, classes, PREPROCESSING)
        for name, classes in (("memory", in_memory), ("files", in_files))
    ]
    told = [losses(list(run.run())) for run in runs]
    assert told[0] == told[1]
    made = [tensors_of(run.checkpoint().initialization) for run in runs]
    assert all(map(torch.equal, *made))

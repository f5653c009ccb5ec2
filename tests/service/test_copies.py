from __future__ import annotations

import torch
from inkling.images.fingerprints import unknown
from inkling.kernels.fingerprint import LENGTH
from inkling.service.copies import pictures_of


def of_numbers(numbers: list[int]) -> torch.Tensor:
    """A fingerprint for each number, unlike all others; zeros for 0."""
    drawn = torch.randint(-100, 101, (max(numbers) + 1, LENGTH), dtype=torch.int8)
    drawn[0] = 0
    return drawn[numbers]


def test_images_of_one_fingerprint_are_one_picture_in_the_order_sent() -> None:
    kept = torch.zeros(6, 1)
    assert pictures_of(of_numbers([1, 2, 1, 3, 2, 1]), kept) == [[0, 2, 5], [1, 4], [3]]


def test_images_that_differ_little_from_one_to_the_next_are_one_picture() -> None:
    values = 100 * torch.ones(400, LENGTH)
    for place, row in enumerate(values):
        row[:place] = -100
    chain = values.to(torch.int8)[torch.randperm(400)]
    assert pictures_of(chain, torch.zeros(400, 1)) == [list(range(400))]


def test_without_fingerprints_the_same_kept_is_the_same_picture() -> None:
    kept = torch.tensor([1.0, 2.0, 1.0, 3.0]).reshape(4, 1, 1, 1)
    assert pictures_of(unknown(4), kept) == [[0, 2], [1], [3]]
    # An image that has a fingerprint may be a copy of one from before there were any.
    assert pictures_of(of_numbers([0, 0, 1, 2]), kept) == [[0, 2], [1], [3]]


def test_images_with_fingerprints_are_not_compared_by_what_is_kept() -> None:
    assert pictures_of(of_numbers([1, 2]), torch.zeros(2, 1)) == [[0], [1]]

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from inkling.engine.work import Fold
from inkling.errors import InnerLoopDiverged, Unavailable
from inkling.service.adapt import adapt
from inkling.service.report import folds_of
from inkling.service.values import AdaptCall

from .conftest import House

Calls = Callable[..., AdaptCall]


def alone(number: int) -> list[list[int]]:
    """As many pictures, of one image each."""
    return [[position] for position in range(number)]


def test_up_to_fifty_images_are_held_out_one_by_one() -> None:
    labels = [str(i % 5) for i in range(50)]
    assert sorted(folds_of(labels, alone(50))) == [[i] for i in range(50)]
    assert folds_of(["a", "a", "b"], alone(3)) == [[0], [1]]


def test_beyond_fifty_there_are_ten_folds_with_every_class_left_in() -> None:
    labels = ["a"] * 30 + ["b"] * 2 + ["c"] * 25 + ["d"]
    folds = folds_of(labels, alone(58))
    assert len(folds) == 10
    assert sorted(i for fold in folds for i in fold) == list(range(57))
    for fold in folds:
        held_out = [labels[i] for i in fold]
        assert held_out.count("b") <= 1
        assert 2 <= held_out.count("a") <= 4


def test_copies_are_held_out_together_and_every_class_keeps_a_picture() -> None:
    labels = ["a", "b", "a", "a", "b", "c", "c", "d", "d"]
    # Of `c` there are copies alone, and all of `d` is in `a` too.
    pictures = [[0, 3], [1], [2, 7, 8], [4], [5, 6]]
    assert sorted(folds_of(labels, pictures)) == [[0, 3], [1], [4]]


def test_copies_do_not_make_a_small_support_set_a_large_one() -> None:
    labels = ["a"] * 30 + ["b"] * 30
    pictures = [[2 * pair, 2 * pair + 1] for pair in range(30)]
    assert sorted(folds_of(labels, pictures)) == pictures


def test_pictures_under_several_labels_leave_each_class_a_picture_in_ten_folds() -> None:
    labels = ["a"] * 40 + ["b"] * 40 + ["c", "c"]
    pictures = [[position, position + 40] for position in range(20)]
    pictures += [[position] for position in [*range(20, 40), *range(60, 80)]] + [[80], [81]]
    folds = folds_of(labels, pictures)
    assert len(folds) == 10
    assert sorted(i for fold in folds for i in fold) == list(range(82))
    for fold in folds:
        assert fold == sorted(fold), "an engine answers in the order of positions"
        assert fold[-2:] != [80, 81]
        assert all((position + 40 in fold) == (position in fold) for position in range(20))


def test_each_image_is_held_out_once_and_those_alone_in_their_class_never(
    house: House, call: Calls
) -> None:
    def guesses(fold: Fold) -> torch.Tensor:
        # All are taken for their own class but the third image.
        held_out = torch.tensor(fold.held_out)
        return torch.where(held_out == 2, 1, fold.labels[held_out])

    house.engine.fold_guesses = guesses
    sent = call(("a", "b", "c"), 4, report=True)
    alone = call(("d",), 1).images
    report = house.run(adapt, replace(sent, images=[*sent.images, *alone])).report
    assert sorted(list(fold.held_out) for fold in house.engine.folds) == [[i] for i in range(12)]
    assert (report.method, report.n_checked, report.not_checkable) == ("leave_one_out", 12, ("d",))
    assert report.accuracy == pytest.approx(11 / 12)
    (suspect,) = report.suspects
    assert (suspect.position, suspect.label, suspect.looks_like) == (2, "a", "b")
    assert suspect.image is sent.images[2]


@pytest.mark.parametrize("failure", [Unavailable("full", 1), InnerLoopDiverged(1, 0.0)])
def test_a_report_that_fails_leaves_the_session_and_says_why(
    house: House, call: Calls, failure: Exception
) -> None:
    house.engine.fold_failure = failure
    adapted = house.run(adapt, call(report=True))
    assert adapted.report is None
    assert "report_unfinished" in [notice.code for notice in adapted.warnings]
    assert house.service.sessions.read(adapted.session.id, "").version == 1


def test_copies_count_once_and_not_at_all_under_several_labels(house: House, call: Calls) -> None:
    house.engine.fold_guesses = lambda fold: fold.labels[torch.tensor(fold.held_out)]
    sent = call(("a", "b"), 3, report=True)
    original, contradicted = sent.images[0], sent.images[1]
    copies = [replace(original, index=3), replace(contradicted, field="b", index=3, label="b")]
    house.engine.fingerprinting = True
    report = house.run(adapt, replace(sent, images=[*sent.images, *copies])).report
    assert sorted(list(fold.held_out) for fold in house.engine.folds) == [
        [0, 6],
        [1, 7],
        [2],
        [3],
        [4],
        [5],
    ]
    assert (report.n_checked, report.accuracy, report.suspects) == (5, 1.0, ())
    assert report.confusion.counts == ((2, 0), (0, 3))

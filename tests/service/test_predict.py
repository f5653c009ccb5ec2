from __future__ import annotations

from collections.abc import Callable

import pytest
from inkling.errors import DeadlineExceeded, InvalidInput, SessionNotFound
from inkling.service.adapt import adapt
from inkling.service.evaluate import evaluate
from inkling.service.predict import predict
from inkling.service.values import AdaptCall, EvaluateCall, PredictCall, SentImage

from .conftest import Drawings, House

Calls = Callable[..., AdaptCall]


@pytest.fixture
def session_id(house: House, call: Calls) -> str:
    made: str = house.run(adapt, call(("a", "b", "c"), ttl_seconds=60)).session.id
    return made


def queries(drawings: Drawings, number: int = 2) -> list[SentImage]:
    contents = [images[9] for images in drawings.values()]
    return [SentImage(content, "image", place) for place, content in enumerate(contents[:number])]


def test_labels_come_by_probability_and_ties_by_name(
    house: House, session_id: str, drawings: Drawings
) -> None:
    house.engine.guess = 1
    predicted = house.run(predict, PredictCall(session_id, queries(drawings), top_k=2))
    labels = [[label for label, _ in ranked.labels] for ranked in predicted.predictions]
    assert labels == [["b", "a"], ["b", "a"]]


def test_predicting_extends_a_session_up_to_its_end(
    house: House, session_id: str, drawings: Drawings
) -> None:
    house.clock.now += 59
    predicted = house.run(predict, PredictCall(session_id, queries(drawings)))
    assert predicted.session.expires_at == house.clock.now + 60
    house.clock.now += 60
    with pytest.raises(SessionNotFound):
        house.run(predict, PredictCall(session_id, queries(drawings)))


def test_a_session_is_looked_for_before_its_images_are_decoded(house: House) -> None:
    with pytest.raises(SessionNotFound):
        house.run(predict, PredictCall("unknown", [SentImage(b"no image", "image", 0)]))


def test_problems_with_images_and_options_are_listed_together(
    house: House, session_id: str, drawings: Drawings
) -> None:
    images = [*queries(drawings), SentImage(b"no image", "image", 2)]
    with pytest.raises(InvalidInput) as refused:
        house.run(predict, PredictCall(session_id, images, top_k=0))
    assert [(p.code, p.index) for p in refused.value.problems] == [
        ("out_of_range", None),
        ("not_an_image", 2),
    ]


def test_a_prediction_that_takes_too_long_leaves_the_queue(
    open_house: Callable[..., House], call: Calls, drawings: Drawings
) -> None:
    house = open_house(deadline_seconds=0.05)
    session_id = house.run(adapt, call()).session.id
    house.engine.held = True
    with pytest.raises(DeadlineExceeded, match="predicting"):
        house.run(predict, PredictCall(session_id, queries(drawings)))
    assert house.engine.jobs[-1].cancelled()


def test_an_evaluation_counts_what_was_taken_for_what(
    house: House, session_id: str, drawings: Drawings
) -> None:
    contents = [images[9] for images in drawings.values()]
    images = [SentImage(contents[i], label, 0, label) for i, label in enumerate("aab")]
    evaluated = house.run(evaluate, EvaluateCall(session_id, images))
    assert evaluated.truth == ("a", "a", "b")
    assert evaluated.confusion.counts == ((2, 0, 0), (1, 0, 0), (0, 0, 0))
    assert evaluated.calibration_error == pytest.approx(0.9 - 2 / 3)


def test_a_label_that_is_none_of_the_session_is_refused(
    house: House, session_id: str, drawings: Drawings
) -> None:
    images = [SentImage(next(iter(drawings.values()))[9], "z", 0, "z")]
    with pytest.raises(InvalidInput, match="'z'"):
        house.run(evaluate, EvaluateCall(session_id, images))

"""A real server that lets images decide between drawings and photographs."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from inkling import Client
from inkling.checkpoints.checkpoint import Checkpoint
from inkling.cli.local_server import local_server
from inkling.errors import BadSetting
from inkling.main import create_app
from inkling.settings import Settings

from ..photographs_checkpoint import saved_for_photographs
from .test_conversation import NAMES, Drawings, adapt, form, predict


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, checkpoint: Checkpoint) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("initializations") / "photographs"
    names = ("omniglot", str(saved_for_photographs(folder, checkpoint)))
    settings = Settings(initializations=names, workers=1, session_store="memory")
    with local_server(create_app(settings)) as served:
        yield served


@pytest.fixture
def both(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture
def groceries(photographs: list[bytes]) -> Drawings:
    return {"a": photographs[:3], "b": photographs[3:]}


@pytest.fixture
def characters(drawings: Drawings) -> Drawings:
    return {name: drawings[name][:1] for name in NAMES}


def test_the_answer_tells_which_was_chosen_and_why(
    both: httpx.Client, groceries: Drawings, characters: Drawings
) -> None:
    kinds = {"omniglot": "drawing", "photographs": "photograph"}
    for support, name in ((groceries, "photographs"), (characters, "omniglot")):
        answer = adapt(both, support)
        choice = answer["choice"]
        assert answer["initialization"]["name"] == choice["chosen"] == name
        assert choice["reason"].startswith(f"the images resemble a {kinds[name]} most (")
        told = {entry["name"]: entry for entry in choice["candidates"]}
        assert {each: entry["preprocessing"] for each, entry in told.items()} == kinds
        assert told[name]["resemblance"] > 0.9
        assert told[name]["identity"] == answer["initialization"]["identity"]
        # Sessions go on with what was chosen, and may be asked for it by name as well.
        images = next(iter(support.values()))
        again = adapt(both, support, initialization=name)
        assert again["choice"] is None
        assert predict(both, answer["session_id"], images) == predict(
            both, again["session_id"], images
        )


def test_images_of_another_kind_are_added_to_what_the_session_has(
    both: httpx.Client, groceries: Drawings, characters: Drawings
) -> None:
    made = adapt(both, characters)
    added = both.post(
        f"/sessions/{made['session_id']}/support", files=form(("banana", groceries["a"][0]))
    ).json()
    assert added["initialization"] == made["initialization"]
    assert added["choice"] is None


def test_a_repeated_call_tells_the_same_choice(both: httpx.Client, groceries: Drawings) -> None:
    files = form(*((label, image) for label, images in groceries.items() for image in images))
    first, second = (
        both.post("/adapt", files=files, headers={"Idempotency-Key": "groceries"}) for _ in range(2)
    )
    assert second.headers["Idempotency-Replayed"] == "true"
    assert first.json() == second.json()
    assert first.json()["choice"]["chosen"] == "photographs"


def test_what_is_loaded_tells_that_images_decide(both: httpx.Client) -> None:
    listed = both.get("/initializations").json()
    assert listed["default"] == "auto"
    assert [entry["default"] for entry in listed["initializations"]] == [False, False]
    assert [entry["preprocessing"] for entry in listed["initializations"]] == [
        "drawing",
        "photograph",
    ]


def test_the_client_tells_what_was_chosen(url: str, groceries: Drawings) -> None:
    with Client(url) as client:
        for options in ({}, {"initialization": "auto"}):
            made = client.adapt(groceries, **options)
            assert made.initialization == "photographs"
            assert made.answer["choice"]["chosen"] == "photographs"


def test_an_unknown_name_is_refused_with_what_there_is(
    both: httpx.Client, groceries: Drawings
) -> None:
    files = form(*((label, image) for label, images in groceries.items() for image in images))
    refused = both.post("/adapt", files=files, data={"initialization": "portraits"})
    assert refused.status_code == 422
    (problem,) = refused.json()["problems"]
    assert problem["message"] == "expected auto or one of omniglot, photographs, got 'portraits'"


def test_a_server_without_settings_lets_images_decide(http: httpx.Client) -> None:
    listed = http.get("/initializations").json()
    assert listed["default"] == "auto"
    assert [entry["name"] for entry in listed["initializations"]] == ["photos", "omniglot"]


@pytest.mark.parametrize(
    ("names", "default", "told"),
    [
        (("auto=omniglot",), None, "expected no initialization of the name 'auto'"),
        (("omniglot",), "photos", "expected auto or one of omniglot, got 'photos'"),
    ],
)
def test_names_that_mean_something_else_are_refused_at_start(
    names: tuple[str, ...], default: str | None, told: str
) -> None:
    with pytest.raises(BadSetting, match=told):
        create_app(
            Settings(initializations=names, default_initialization=default, session_store="memory")
        )


@pytest.mark.parametrize(("default", "told"), [("auto", "auto"), (None, "omniglot")])
def test_auto_may_be_the_default_of_one(drawings: Drawings, default: str | None, told: str) -> None:
    settings = Settings(
        initializations=("omniglot",),
        default_initialization=default,
        workers=1,
        session_store="memory",
    )
    with (
        local_server(create_app(settings)) as served,
        httpx.Client(base_url=served, timeout=60, trust_env=False) as client,
    ):
        support = {name: drawings[name][:2] for name in NAMES[:2]}
        answer = adapt(client, support, initialization="auto")
        assert answer["choice"]["reason"] == "it is the only one that is loaded"
        assert client.get("/initializations").json()["default"] == told

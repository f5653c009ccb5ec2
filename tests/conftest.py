"""What tests share: real drawings, the shipped initialization, and a real server."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import torch
from inkling.checkpoints.catalogue import find_checkpoint
from inkling.checkpoints.checkpoint import Checkpoint, load_checkpoint
from inkling.cli.demo import SAMPLES
from inkling.cli.local_server import local_server
from inkling.data.episodes import ClassImages
from inkling.data.sources import EncodedClass
from inkling.main import create_app
from inkling.settings import Settings
from inkling.training.datasets import preprocess_classes

from .redis_server import MISSING, PROGRAM, RedisServer

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def encoded() -> tuple[EncodedClass, ...]:
    """The sample characters: 20 of unseen alphabets, 20 drawings of each."""
    return tuple(
        EncodedClass(
            folder.name,
            "",
            tuple((path.name, path.read_bytes()) for path in sorted(folder.glob("*.png"))),
        )
        for folder in sorted(SAMPLES["drawings"].iterdir())
        if folder.is_dir()
    )


@pytest.fixture(scope="session")
def drawings(encoded: tuple[EncodedClass, ...]) -> dict[str, list[bytes]]:
    """The sample characters as PNG bytes by name."""
    return {entry.name: [content for _, content in entry.files] for entry in encoded}


@pytest.fixture(scope="session")
def photographs() -> list[bytes]:
    """Photographs of groceries, one of each kind (JPEG)."""
    folder = Path(__file__).parent / "photographs"
    return [path.read_bytes() for path in sorted(folder.glob("*.jpg"))]


@pytest.fixture(scope="session")
def checkpoint() -> Checkpoint:
    """The initialization for drawings that ships."""
    return load_checkpoint(find_checkpoint("omniglot"))


@pytest.fixture(scope="session")
def classes(encoded: tuple[EncodedClass, ...], checkpoint: Checkpoint) -> ClassImages:
    """The sample characters as the shipped network reads them."""
    return preprocess_classes(iter(encoded), checkpoint.preprocessing)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of a real server with the shipped initializations."""
    settings = Settings(
        workers=2, body_timeout_seconds=2, session_folder=tmp_path_factory.mktemp("sessions")
    )
    with local_server(create_app(settings)) as url:
        yield url


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real Redis, which tests share under prefixes of their own."""
    if PROGRAM is None:
        pytest.skip(MISSING)
    redis = RedisServer(tmp_path_factory.mktemp("redis"))
    redis.start()
    yield redis.url
    redis.kill()


@pytest.fixture
def http(server: str) -> Iterator[httpx.Client]:
    """A connection to the server."""
    with httpx.Client(base_url=server, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture
def chooser() -> random.Random:
    """Random choices that are the same in every run."""
    return random.Random(0)


@pytest.fixture
def samples() -> Path:
    """The folder of the sample characters."""
    return SAMPLES["drawings"]

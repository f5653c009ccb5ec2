"""What the opponents' servers do for a request, whatever their framework."""

from __future__ import annotations

import io
import uuid
from collections.abc import Mapping

import numpy as np
import torch
from inkling.checkpoints.catalogue import find_checkpoint
from inkling.checkpoints.checkpoint import load_checkpoint
from PIL import Image

from ..plain import Classifier, PlainLearner
from .processes import Json

CHECKPOINT = "omniglot"


class PlainService:
    """Sessions in a dict: a copy of the module that adapts for each.

    Images are decoded by Pillow alone, without inkling's checks, and preprocessed by inkling's
    own function. Nothing is written to disk, validated or ever forgotten.
    """

    def __init__(self, *, torch_threads: int, channels_last: bool) -> None:
        torch.set_num_threads(torch_threads)
        checkpoint = load_checkpoint(find_checkpoint(CHECKPOINT))
        self._preprocess = checkpoint.preprocessing
        self._learner = PlainLearner(checkpoint, channels_last=channels_last)
        self._sessions: dict[str, tuple[Classifier, list[str]]] = {}

    def adapt(self, drawings: Mapping[str, bytes]) -> Json:
        """Make a session of one image for each label."""
        labels = sorted(drawings)
        images = torch.stack([self._read(drawings[label]) for label in labels])
        classifier = self._learner.adapt(images, torch.arange(len(labels)), len(labels))
        session_id = uuid.uuid4().hex
        self._sessions[session_id] = classifier, labels
        return {"session_id": session_id, "labels": labels}

    def predict(self, session_id: str, image: bytes) -> Json:
        """The probabilities of one image by label. Raises KeyError for an unknown session."""
        classifier, labels = self._sessions[session_id]
        (row,) = self._learner.predict(classifier, self._read(image).unsqueeze(0)).tolist()
        probabilities = dict(zip(labels, row, strict=True))
        return {"label": max(probabilities, key=probabilities.__getitem__)} | {
            "probabilities": probabilities
        }

    def _read(self, content: bytes) -> torch.Tensor:
        """An image file as the network's `(channel, height, width)` input."""
        with Image.open(io.BytesIO(content)) as image:
            return self._preprocess(torch.from_numpy(np.array(image.convert("RGBA"))))

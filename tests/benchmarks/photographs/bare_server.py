"""How services of this kind are written today: FastAPI, PyTorch, and a linear probe or a loop.

With `--kind probe` a session is scikit-learn's LogisticRegression on the backbone's pooled
features, with `--kind loop` the same inner loop as Inkling's, by plain PyTorch. Nothing is checked
or written to disk.
"""

from __future__ import annotations

import argparse
import uuid
from collections import Counter
from dataclasses import replace
from typing import Annotated, Any

import torch
import uvicorn
from fastapi import FastAPI, Form, UploadFile
from inkling.checkpoints.catalogue import find_checkpoint
from inkling.checkpoints.checkpoint import Checkpoint, load_checkpoint
from inkling.images.decode import decode
from inkling.meta.episode import Support
from inkling.meta.head import unit
from inkling.meta.inner_loop import frozen_features, logits, trajectory_from_frozen
from inkling.meta.views import with_views
from inkling.training.metric import network_with_metric
from sklearn.linear_model import LogisticRegression

Json = dict[str, Any]


def _views(checkpoint: Checkpoint, n_views: int) -> torch.Tensor:
    """Those that an image is looked at in beside itself."""
    return torch.cat([checkpoint.initialization.views, checkpoint.further_views])[: n_views - 1]


class Probe:
    """A linear probe a session, on the mean of the unit features of an image's views."""

    def __init__(self, checkpoint: Checkpoint, n_views: int) -> None:
        self._views = _views(checkpoint, n_views)
        self._network, self._params = checkpoint.network, checkpoint.initialization.params
        self._last = network_with_metric(checkpoint).metric.last

    def adapt(self, images: torch.Tensor, labels: list[int]) -> Any:
        """The session of some images."""
        fitted = LogisticRegression(C=10.0, max_iter=1000)
        return fitted.fit(self._features(images), labels)

    def probabilities(self, session: Any, image: torch.Tensor) -> list[float]:
        """Of one image, by class."""
        row: list[float] = session.predict_proba(self._features(image))[0].tolist()
        return row

    def _features(self, images: torch.Tensor) -> Any:
        seen = with_views(images, self._views).flatten(0, 1)
        stop = len(self._network.parts) - 1
        # Alone, as convolutions of one image stay in the cache: twice as fast as a batch.
        hidden = [self._network.through(self._params, row.unsqueeze(0), 0, stop) for row in seen]
        units = unit(torch.cat(hidden)[:, : self._last]).view(len(images), -1, self._last)
        return unit(units.mean(1)).numpy()


class Loop:
    """The definition of Inkling's inner loop."""

    def __init__(self, checkpoint: Checkpoint, n_views: int) -> None:
        self._network = checkpoint.network
        self._initialization = replace(checkpoint.initialization, views=_views(checkpoint, n_views))

    def adapt(self, images: torch.Tensor, labels: list[int]) -> Any:
        """The session of some images."""
        frozen = [
            frozen_features(self._network, self._initialization, image.unsqueeze(0))
            for image in images
        ]
        support = Support(torch.cat(frozen), torch.tensor(labels), len(set(labels)))
        *_, last = trajectory_from_frozen(self._network, self._initialization, support)
        return last.fast_weights

    def probabilities(self, session: Any, image: torch.Tensor) -> list[float]:
        """Of one image, by class."""
        found = logits(self._network, self._initialization, session, image)
        row: list[float] = found.softmax(1)[0].tolist()
        return row


def make_app(checkpoint: Checkpoint, kind: str, n_views: int) -> FastAPI:
    """Adapt and predict, by "def" endpoints, which FastAPI runs in a pool of threads."""
    learner: Probe | Loop = (Probe if kind == "probe" else Loop)(checkpoint, n_views)
    sessions: dict[str, tuple[Any, list[str]]] = {}
    app = FastAPI()

    def prepared(files: list[UploadFile]) -> torch.Tensor:
        rgba = [decode(each.file.read(), checkpoint.preprocessing.useful_side) for each in files]
        return checkpoint.preprocessing.prepare(rgba).images

    @app.post("/adapt", status_code=201)
    def to_adapt(images: list[UploadFile]) -> Json:
        names = [str(image.filename).split("/")[0] for image in images]
        labels = list(Counter(names))
        with torch.no_grad():
            made = learner.adapt(prepared(images), [labels.index(name) for name in names])
        session_id = uuid.uuid4().hex
        sessions[session_id] = made, labels
        return {"session_id": session_id}

    @app.post("/predict")
    def to_predict(session_id: Annotated[str, Form()], image: UploadFile) -> Json:
        made, labels = sessions[session_id]
        with torch.no_grad():
            row = learner.probabilities(made, prepared([image]))
        return {"probabilities": dict(zip(labels, row, strict=True))}

    @app.get("/health")
    async def health() -> Json:
        return {}

    return app


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--kind", choices=["probe", "loop"], required=True)
    parser.add_argument("--torch-threads", type=int, default=1)
    parser.add_argument("--views", type=int, default=1, help="of each image")
    given = parser.parse_args()
    torch.set_num_threads(given.torch_threads)
    checkpoint = load_checkpoint(find_checkpoint(given.checkpoint))
    uvicorn.run(make_app(checkpoint, given.kind, given.views), port=given.port, access_log=False)


if __name__ == "__main__":
    main()

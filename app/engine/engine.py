"""The owner of the device: every call takes the one road through its queue.

A job is decoded where its images are not yet, then computed, with others of its batch key.
"""

from __future__ import annotations

from concurrent.futures import Future

import torch

from ..checkpoints.checkpoint import Checkpoint
from ..meta.placement import placed
from .compute import ADAPTING, FREEZING, HOLDING_OUT, LAYING_OUT, PREDICTING, Compute
from .device import describe_device
from .executors import executor_of
from .handle import Handle
from .helper_pool import HelperPool
from .process import compute_alone
from .queue import BatchKey, BatchStats, ComputeQueue
from .work import Adaptation, Classification, Fold, Layout, Queries, SupportSet

FEW_SUPPORT, FEW_QUERIES = (32, 4), (8, 8)
"""Images of a job up to which it gains from company on a CPU, and of how many jobs."""


class Engine:
    """Adapts and predicts on one device."""

    def __init__(self, *, device: torch.device, workers: int, queue_limit: int) -> None:
        """``workers`` are compute threads on a CPU; ``queue_limit`` bounds the jobs that wait."""
        self._device = device
        self.device_name = describe_device(device)
        threads = workers if device.type == "cpu" else 1
        self._queue = ComputeQueue(threads, queue_limit, Compute(device), compute_alone)
        self._helpers = HelperPool(threads - 1, self._queue.idle, on_start=compute_alone)

    def load(self, checkpoint: Checkpoint) -> Handle:
        """Bring an initialization to the device, with the executor that serves it best."""
        initialization = placed(checkpoint.initialization, self._device)
        return Handle(
            checkpoint,
            executor_of(checkpoint.network, initialization, self._device, self._helpers),
            checkpoint.scoring,
            torch.cat([initialization.views, checkpoint.further_views.to(self._device)]),
        )

    def warm_up(self, handle: Handle) -> None:
        """Look, adapt, predict and hold out once: no caller waits for what is made once."""
        handle.executor.warm_up()
        blank = torch.zeros((8, 8, 4), dtype=torch.uint8)
        handle.preprocessing.resemblance(blank)
        prepared = handle.preprocessing.prepare([blank, blank])
        labels = torch.tensor([0, 1])
        adaptation = self.adapt(handle, SupportSet([blank, blank], labels, 2)).result()
        self.predict(handle, Queries(prepared, adaptation.adapted, (1, 1))).result()
        frozen = self.freeze(handle, torch.cat([adaptation.kept, adaptation.kept])).result()
        self.hold_out(handle, Fold(frozen, labels.repeat(2), 2, (3,))).result()

    def adapt(
        self, handle: Handle, support: SupportSet, steps: int | None = None, tenant: str = ""
    ) -> Future[Adaptation]:
        """Run the inner loop on a tenant's support set.

        The future raises InnerLoopDiverged, and BadImages for images that cannot be decoded.
        Raises Unavailable.
        """
        shape, most = self._batch(handle, support.n_way, len(support.labels), adapting=True)
        shape = (support.n_views or handle.n_views, *shape)
        key = BatchKey(ADAPTING, handle, _wanted(handle, steps), shape, most)
        return self._queue.submit(key, support, tenant, len(support.labels))

    def predict(self, handle: Handle, queries: Queries, tenant: str = "") -> Future[Classification]:
        """Classify each image by itself. The future raises BadImages. Raises Unavailable."""
        n_way = len(queries.image_counts)
        shape, most = self._batch(handle, n_way, len(queries.images), adapting=False)
        # Scores are computed for sessions of one number of classes together.
        shape = (queries.n_views or handle.n_views, n_way, *shape)
        key = BatchKey(PREDICTING, handle, 0, shape, most)
        return self._queue.submit(key, queries, tenant, len(queries.images))

    def freeze(self, handle: Handle, kept: torch.Tensor, tenant: str = "") -> Future[torch.Tensor]:
        """`(image, 1 + view, ...)` frozen features of what was kept. Raises Unavailable."""
        return self._queue.submit(BatchKey(FREEZING, handle), kept, tenant, len(kept))

    def hold_out(
        self, handle: Handle, fold: Fold, steps: int | None = None, tenant: str = ""
    ) -> Future[torch.Tensor]:
        """`(held out, n_way)` logits of a fold, by adapting to the other images.

        The future raises InnerLoopDiverged. Raises Unavailable.
        """
        key = BatchKey(HOLDING_OUT, handle, _wanted(handle, steps))
        return self._queue.submit(key, fold, tenant, len(fold.labels))

    def lay_out(self, handle: Handle, layout: Layout, tenant: str = "") -> Future[torch.Tensor]:
        """`(support, 2)` places in -1..1 of a session's images, see `plane`. Raises Unavailable."""
        key = BatchKey(LAYING_OUT, handle)
        return self._queue.submit(key, layout, tenant, len(layout.kept))

    def stats(self) -> dict[str, BatchStats]:
        """What was computed so far, by task."""
        return self._queue.stats()

    def waiting(self) -> int:
        """How many jobs wait to be computed."""
        return self._queue.waiting()

    def has_room(self, tenant: str) -> bool:
        """Whether a further job of a tenant would be taken."""
        return self._queue.has_room(tenant)

    def close(self) -> None:
        """Finish what runs and stop."""
        self._queue.close()
        self._helpers.close()

    def _batch(
        self, handle: Handle, n_way: int, n_images: int, *, adapting: bool
    ) -> tuple[tuple[int | str, ...], int]:
        """What has to be equal for a batch, and how many jobs gain from being in one."""
        executor = handle.executor
        if self._device.type == "cpu":
            few, most = FEW_SUPPORT if adapting else FEW_QUERIES
            # One call of a large trunk is work for every thread.
            alone = executor.max_frozen_bytes is None or n_images > few
            return (("many",), 1) if alone else (("few",), most)
        most = executor.max_adapt_batch if adapting else executor.max_predict_batch
        return (n_way, executor.bucket(n_images)), most


def _wanted(handle: Handle, steps: int | None) -> int:
    return handle.steps if steps is None else steps

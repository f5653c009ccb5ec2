"""The opponent LitServe: the same work for a request in its worker processes.

One endpoint does both, since worker processes share no sessions: a form with a session's id is
a prediction, one without an adaptation. Predictions need a single worker.
"""

# No postponed annotations here: LitServe compares that of `decode_request` with `Request` itself.

import argparse
from typing import Any

import litserve  # type: ignore[import-not-found, import-untyped, unused-ignore]
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

from .processes import HOST, Json


class PlainAPI(litserve.LitAPI):  # type: ignore[misc, unused-ignore]
    """The opponents' work as LitServe calls it, in a worker."""

    def __init__(self, torch_threads: int, *, channels_last: bool) -> None:
        super().__init__()
        self._torch_threads, self._channels_last = torch_threads, channels_last

    def setup(self, device: str) -> None:
        """Load the checkpoint in the worker process."""
        # Only processes that compute pay for loading torch.
        from .work import PlainService

        del device
        self._service = PlainService(
            torch_threads=self._torch_threads, channels_last=self._channels_last
        )

    def decode_request(self, request: Request, **_context: Any) -> tuple[str, dict[str, bytes]]:
        """The session's id, empty for an adaptation, and the images by file name."""
        form: FormData = request  # type: ignore[assignment]
        files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
        images = {str(file.filename): file.file.read() for file in files}
        return str(form.get("session_id", "")), images

    def predict(self, x: tuple[str, dict[str, bytes]], **_context: Any) -> Json:
        """Adapt, or predict."""
        session_id, images = x
        if not session_id:
            return self._service.adapt(images)
        (image,) = images.values()
        return self._service.predict(session_id, image)

    def encode_response(self, output: Json, **_context: Any) -> Json:
        """The answer is JSON already."""
        return output


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--torch-threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--channels-last", action="store_true", help="not torch's own format")
    parser.add_argument("--fast-queue", action="store_true", help="answers by ZeroMQ")
    given = parser.parse_args()
    server = litserve.LitServer(
        PlainAPI(given.torch_threads, channels_last=given.channels_last),
        accelerator="cpu",
        workers_per_device=given.workers,
        fast_queue=given.fast_queue,
    )
    server.run(
        host=HOST,
        port=given.port,
        generate_client_file=False,
        access_log=False,
    )


if __name__ == "__main__":
    main()

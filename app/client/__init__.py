"""A client of an Inkling server; needs httpx and nothing of the server.

>>> with Client("http://127.0.0.1:8000") as inkling:
...     with inkling.adapt({"cat": ["1.png", "2.png"], "dog": ["3.png"]}) as session:
...         print(session.predict(["4.png"])[0].label)
cat

`AsyncClient` has the same methods, which are awaited.
"""

from .awaiting import AsyncClient, AsyncSession
from .exchange import NO_RETRIES, Retries
from .refusals import (
    AnswerLost,
    Conflict,
    InputRefused,
    LimitReached,
    NotFound,
    ServerBusy,
    ServerFault,
    TimedOut,
    TookTooLong,
    Unauthorised,
)
from .results import (
    Adaptation,
    Evaluation,
    InitializationInfo,
    LabelProbability,
    LeftOut,
    Limits,
    Notice,
    Prediction,
    Predictions,
    Report,
    SessionInfo,
)
from .sources import Support
from .waiting import Client, Session

__all__ = [
    "NO_RETRIES",
    "Adaptation",
    "AnswerLost",
    "AsyncClient",
    "AsyncSession",
    "Client",
    "Conflict",
    "Evaluation",
    "InitializationInfo",
    "InputRefused",
    "LabelProbability",
    "LeftOut",
    "LimitReached",
    "Limits",
    "NotFound",
    "Notice",
    "Prediction",
    "Predictions",
    "Report",
    "Retries",
    "ServerBusy",
    "ServerFault",
    "Session",
    "SessionInfo",
    "Support",
    "TimedOut",
    "TookTooLong",
    "Unauthorised",
]

"""What goes over the wire as JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from ..service.validation import MAX_LABEL_LENGTH, MIN_CLASSES
from .session_ids import PATTERN

MAX_IMAGES = 10_000
"""The most that a setting may allow; a call over its setting is refused by the service."""
Probability = Annotated[float, Field(ge=0, le=1)]

LABEL_SCHEMA = {
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_LABEL_LENGTH,
    "pattern": r"^[^\s\x00-\x1f\x7f-\x9f]([^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f])?$",
}
STEPS_SCHEMA = {"type": "integer", "minimum": 0}
TTL_SCHEMA = {"type": "number", "minimum": 1}
FROM_ONE_SCHEMA = {"type": "integer", "minimum": 1}

# What the service refuses with its own words is told to readers of the schema alone.
Label = Annotated[str, WithJsonSchema(LABEL_SCHEMA)]
Image = Annotated[
    str,
    WithJsonSchema({"type": "string", "minLength": 1, "contentEncoding": "base64"}),
    Field(description="base64, or a data URL that holds base64"),
]
SessionId = Annotated[str, WithJsonSchema({"type": "string", "pattern": PATTERN})]
Steps = Annotated[int, WithJsonSchema(STEPS_SCHEMA)]
TtlSeconds = Annotated[float, WithJsonSchema(TTL_SCHEMA)]
FromOne = Annotated[int, WithJsonSchema(FROM_ONE_SCHEMA)]


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Out(BaseModel):
    model_config = ConfigDict(frozen=True)


class LabelledImageBody(_In):
    """One support image."""

    label: Label
    image: Image


class AdaptBody(_In):
    """A support set as JSON."""

    support: Annotated[
        list[LabelledImageBody],
        Field(
            max_length=MAX_IMAGES,
            description="of two labels at least",
            json_schema_extra={"minItems": MIN_CLASSES},
        ),
    ]
    initialization: Annotated[
        str | None,
        Field(description="the name of one that is loaded, or `auto`: the images decide"),
    ] = None
    steps: Steps | None = None
    ttl_seconds: TtlSeconds | None = None
    keep_support: Annotated[
        bool | None,
        Field(description="keep the images or their features, so that more can be added"),
    ] = None
    report: Annotated[
        bool | None, Field(description="check each image by what the others make of its class")
    ] = None
    views: Annotated[
        FromOne | None,
        Field(description="how many views of each image to look at, itself among them"),
    ] = None


class SupportBody(_In):
    """Images to add to a session as JSON."""

    support: Annotated[
        list[LabelledImageBody], Field(max_length=MAX_IMAGES, json_schema_extra={"minItems": 1})
    ]
    steps: Annotated[Steps | None, Field(description="the session's own unless given")] = None
    report: bool | None = None


class ReportBody(_In):
    """What a report is to tell, as JSON."""

    steps: Annotated[Steps | None, Field(description="the session's own unless given")] = None
    embedding: Annotated[
        bool | None, Field(description="lay the support images out in a plane, too")
    ] = None


class EvaluateBody(_In):
    """Queries with their labels as JSON."""

    queries: Annotated[
        list[LabelledImageBody], Field(max_length=MAX_IMAGES, json_schema_extra={"minItems": 1})
    ]


class PredictBody(_In):
    """Query images as JSON."""

    session_id: SessionId
    images: Annotated[list[Image], Field(max_length=MAX_IMAGES, json_schema_extra={"minItems": 1})]
    top_k: FromOne | None = None


class InitializationRef(_Out):
    """Which initialization an answer comes from."""

    name: Annotated[str | None, Field(description="null where it is not loaded")]
    identity: Annotated[str, Field(description="sha256 over what its answers depend on")]


class ClassInfo(_Out):
    """One class of a session."""

    label: str
    images: Annotated[int, Field(description="support images of this class")]


class TimingInfo(_Out):
    """Milliseconds a call spent on each part."""

    decode_ms: float
    queue_ms: float
    compute_ms: float
    store_ms: float


class WarningInfo(_Out):
    """Something to know that was no reason to refuse."""

    code: Annotated[
        str,
        Field(
            description="few_images, same_image, copied_image, blank_image, one_class_wins, "
            "unlike_training_data, report_unfinished or support_not_kept"
        ),
    ]
    message: str


class SessionInfo(_Out):
    """A session."""

    session_id: str
    initialization: InitializationRef
    classes: list[ClassInfo]
    steps: int
    version: Annotated[int, Field(description="one more with each change; the ETag")]
    views: Annotated[
        int | None,
        Field(description="of each image, itself among them; null in sessions of older versions"),
    ]
    keeps_support: Annotated[bool, Field(description="images can be added")]
    created_at: datetime
    expires_at: Annotated[datetime, Field(description="moves with every prediction")]
    ends_at: Annotated[datetime, Field(description="the latest that expires_at can become")]
    ttl_seconds: float


class SessionList(_Out):
    """Some of the caller's sessions, the newest first."""

    sessions: list[SessionInfo]
    next: Annotated[
        str | None, Field(description="ask with `after` for those behind them; null at the end")
    ]


class ConfusionInfo(_Out):
    """How images were classified: `counts[i][j]` of label `i` as label `j`."""

    labels: list[str]
    counts: list[list[int]]


class ConfusedInfo(_Out):
    """How many images of a label were taken for another one."""

    label: str
    taken_for: str
    images: int


class SuspectInfo(_Out):
    """A support image that the others of its class do not speak for."""

    position: Annotated[int, Field(description="among the session's support images, as sent")]
    field: Annotated[str | None, Field(description="null if it came with an earlier call")]
    index: Annotated[int | None, Field(description="among the images of that field")]
    label: str
    looks_like: str
    margin: Annotated[float, Field(description="of the other label's logit above its own", gt=0)]
    probability: Annotated[Probability, Field(description="of the other label")]


class ReportInfo(_Out):
    """How the support set classifies its own images when they are held out in turn.

    `leave_one_out` up to 50 pictures, `ten_fold` beyond. Copies of a picture are held out together.
    """

    method: Literal["leave_one_out", "ten_fold"]
    n_checked: Annotated[
        int,
        Field(
            description="images that accuracy and confusion are of: copies of a picture in a class "
            "count as one, and those under several labels as none"
        ),
    ]
    accuracy: Probability | None
    confusion: ConfusionInfo
    confused: Annotated[list[ConfusedInfo], Field(description="most often first")]
    suspects: Annotated[
        list[SuspectInfo], Field(description="likely mislabelled images, most likely first")
    ]
    not_checkable: Annotated[list[str], Field(description="classes of which no image is")]


class CandidateInfo(_Out):
    """An initialization that could have been chosen, and what spoke for it."""

    name: str
    identity: str
    preprocessing: Annotated[str, Field(description="the kind of picture that it is for")]
    resemblance: Annotated[
        Probability | None,
        Field(description="how much the images are of that kind; null if not looked at"),
    ]
    unlikeness: Annotated[
        float | None,
        Field(
            ge=0,
            description="how far off its training images they are, 1 being its limit; null where "
            "the kind of picture decided or where it does not tell",
        ),
    ]


class ChoiceInfo(_Out):
    """Which initialization the images decided for, and why."""

    chosen: str
    reason: str
    candidates: list[CandidateInfo]


class RestoredAnswer(SessionInfo):
    """A session that was made of a file."""

    warnings: list[WarningInfo]


class PlaceInfo(_Out):
    """Where a support image lies in a plane, near those that look alike to the session."""

    position: Annotated[int, Field(description="among the session's support images, as sent")]
    label: str
    x: Annotated[float, Field(ge=-1, le=1)]
    y: Annotated[float, Field(ge=-1, le=1)]


class EmbeddingInfo(_Out):
    """The support images in the plane of the two principal components of their features."""

    points: list[PlaceInfo]


class ReportAnswer(_Out):
    """How a session's support set classifies its own images."""

    session_id: str
    initialization: InitializationRef
    version: int
    expires_at: datetime
    report: ReportInfo
    embedding: Annotated[EmbeddingInfo | None, Field(description="null unless asked for")]
    device: str
    executor: str
    timing: TimingInfo


class AdaptAnswer(SessionInfo):
    """A session and how its adaptation went."""

    loss: Annotated[
        list[float],
        Field(description="support loss in nats before each inner step and after the last"),
    ]
    support_accuracy: Annotated[
        Probability,
        Field(description="share of support images classified right after adaptation"),
    ]
    choice: Annotated[
        ChoiceInfo | None,
        Field(description="null unless the images decided for the initialization: `auto`"),
    ]
    warnings: list[WarningInfo]
    report: Annotated[
        ReportInfo | None, Field(description="null unless asked for and finished in time")
    ]
    device: str
    executor: str
    timing: TimingInfo


class LabelProbability(_Out):
    """A label with its probability."""

    label: str
    probability: Probability


class NoneOfThese(_Out):
    """Whether an image is of none of the session's classes."""

    score: Annotated[
        float,
        Field(ge=0, description="distance to the nearest class, 1 being the limit of its images"),
    ]
    likely: Annotated[bool, Field(description="the score is above 1")]


class Prediction(_Out):
    """The prediction for one image; `probabilities` has the most probable label first.

    They are calibrated on classes that training has not seen, and are among the session's classes
    alone: `none_of_these` tells whether the image is of another one.
    """

    label: str
    probability: Probability
    probabilities: list[LabelProbability]
    none_of_these: Annotated[
        NoneOfThese | None,
        Field(description="null where the initialization was not calibrated for it"),
    ]


class PredictAnswer(_Out):
    """Predictions in the order of the images sent."""

    session_id: str
    initialization: InitializationRef
    expires_at: datetime
    predictions: list[Prediction]
    warnings: list[WarningInfo]
    device: str
    executor: str
    timing: TimingInfo


class ClassResult(_Out):
    """How the queries of one class were classified."""

    label: str
    images: int
    precision: Annotated[Probability | None, Field(description="null if nothing was taken for it")]
    recall: Annotated[Probability | None, Field(description="null if no image had this label")]


class Mistake(_Out):
    """A query that was classified as another label."""

    field: str
    index: int
    label: str
    predicted: str
    probability: Annotated[Probability, Field(description="of the predicted label")]


class EvaluateAnswer(_Out):
    """What labelled queries tell of a session."""

    session_id: str
    initialization: InitializationRef
    expires_at: datetime
    n_images: int
    accuracy: Probability
    classes: list[ClassResult]
    confusion: ConfusionInfo
    mistakes: list[Mistake]
    log_loss: Annotated[
        float, Field(description="mean of the right labels, in nats; at most 27.6", ge=0)
    ]
    calibration_error: Annotated[
        Probability, Field(description="expected calibration error over 15 bins")
    ]
    none_of_these: Annotated[
        Probability | None,
        Field(description="share of the queries that count as none of the classes"),
    ]
    warnings: list[WarningInfo]
    device: str
    executor: str
    timing: TimingInfo


class Measured(_Out):
    """A measured accuracy in 0..1 with the half-width of its 95 % interval."""

    split: str
    n_way: int
    n_shot: int
    episodes: int
    accuracy: float
    interval: float


class InitializationInfo(_Out):
    """A loaded initialization."""

    name: str
    identity: str
    default: Annotated[bool, Field(description="false of all where the default is `auto`")]
    description: str
    network: str
    preprocessing: Annotated[str, Field(description="the kind of picture that it is for")]
    learned_from: str
    licence: str
    steps: int
    max_steps: int
    views: Annotated[
        int, Field(description="of each image, itself among them, unless a call says otherwise")
    ]
    max_views: Annotated[int, Field(description="the most that a call may ask for")]
    max_classes: int
    executor: Annotated[str, Field(description="what computes: see app/README.md")]
    input_shape: Annotated[
        list[int], Field(description="channels, height, width after preprocessing")
    ]
    measured: list[Measured]


class LimitsInfo(_Out):
    """What one call and one session may have."""

    max_body_bytes: Annotated[int, Field(description="of a call")]
    max_support_images: Annotated[int, Field(description="of a call, and of a session")]
    max_query_images: Annotated[int, Field(description="of a call")]
    max_classes: Annotated[int, Field(description="of a session")]
    default_ttl_seconds: float
    max_ttl_seconds: float
    may_keep_support: Annotated[bool, Field(description="false: no session keeps its support set")]


class InitializationList(_Out):
    """All loaded initializations."""

    initializations: list[InitializationInfo]
    default: Annotated[
        str,
        Field(description="what a call gets that names none; `auto`: its images decide"),
    ]
    limits: LimitsInfo
    device: str


class Status(_Out):
    """How the process is."""

    status: str


class ProblemItem(_Out):
    """One thing wrong with the input."""

    code: str
    message: str
    field: str | None = None
    index: int | None = None


class ProblemAnswer(BaseModel):
    """RFC 9457 problem details."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: str
    title: str
    status: int
    detail: str | None = None
    request_id: str | None = None
    problems: list[ProblemItem] | None = None

"""Inkling: few-shot image classification over REST, by MAML's inner loop per request."""

from .client import AdaptedSession, Client, LabelProbability, Prediction, Support
from .errors import InklingError, RequestRefused, ServerUnreachable
from .files.left_out import FilesLeftOut
from .given_images import Image
from .support_files import support_of

__all__ = [
    "AdaptedSession",
    "Client",
    "FilesLeftOut",
    "Image",
    "InklingError",
    "LabelProbability",
    "Prediction",
    "RequestRefused",
    "ServerUnreachable",
    "Support",
    "support_of",
]

"""Inkling: few-shot image classification over REST, by MAML's inner loop per request."""

from .client import AdaptedSession, Client, Image, LabelProbability, Prediction, Support
from .errors import InklingError, RequestRefused, ServerUnreachable
from .support_files import support_of

__all__ = [
    "AdaptedSession",
    "Client",
    "Image",
    "InklingError",
    "LabelProbability",
    "Prediction",
    "RequestRefused",
    "ServerUnreachable",
    "Support",
    "support_of",
]

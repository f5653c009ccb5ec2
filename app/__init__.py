"""Inkling: few-shot image classification over REST, by MAML's inner loop per request."""

from .client import Adapted, Client, Image, LabelProbability, Prediction
from .errors import InklingError, RequestRefused, ServerUnreachable

__all__ = [
    "Adapted",
    "Client",
    "Image",
    "InklingError",
    "LabelProbability",
    "Prediction",
    "RequestRefused",
    "ServerUnreachable",
]

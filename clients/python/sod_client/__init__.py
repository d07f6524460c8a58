"""Client of triton-sod: small-object detection with PaddleX's interface.

from sod_client import create_pipeline

pipeline = create_pipeline(pipeline="small_object_detection")
for res in pipeline.predict(input="img.jpg", threshold={0: 0.5, 1: 0.35}):
    res.print()
    res.save_to_img("./output/")
    res.save_to_json("./output/")
"""

from sod_client._calls.in_flight import OnError
from sod_client._inputs.sources import ImageInput
from sod_client._results.data import Box, Model
from sod_client._streams.options import WatchOptions
from sod_client._streams.result import FrameResult
from sod_client._thresholds import Threshold
from sod_client.errors import (
    AuthenticationError,
    BadReplyError,
    ConnectionFailedError,
    DependencyError,
    EncryptedPDFError,
    InvalidArrayError,
    InvalidConfigError,
    InvalidInputError,
    InvalidThresholdError,
    LocalServerError,
    MissingFileError,
    NoGeoreferenceError,
    NoImageError,
    NoImagesError,
    ServerBusyError,
    ServerError,
    SodError,
    SodWarning,
    UnreadableFileError,
    UnreadablePDFError,
    UnsupportedDeviceError,
)
from sod_client.pipeline import AsyncPipeline, Pipeline, create_pipeline
from sod_client.result import Result

__version__ = "0.2.0"
"""The version of this package, which is that of triton-sod. pyproject.toml reads it from here."""

__all__ = [
    "AsyncPipeline",
    "AuthenticationError",
    "BadReplyError",
    "Box",
    "ConnectionFailedError",
    "DependencyError",
    "EncryptedPDFError",
    "FrameResult",
    "ImageInput",
    "InvalidArrayError",
    "InvalidConfigError",
    "InvalidInputError",
    "InvalidThresholdError",
    "LocalServerError",
    "MissingFileError",
    "Model",
    "NoGeoreferenceError",
    "NoImageError",
    "NoImagesError",
    "OnError",
    "Pipeline",
    "Result",
    "ServerBusyError",
    "ServerError",
    "SodError",
    "SodWarning",
    "Threshold",
    "UnreadableFileError",
    "UnreadablePDFError",
    "UnsupportedDeviceError",
    "WatchOptions",
    "create_pipeline",
]

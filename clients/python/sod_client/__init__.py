"""Client of triton-sod: small-object detection with PaddleX's calls.

from sod_client import create_pipeline

pipeline = create_pipeline(pipeline="small_object_detection")
for res in pipeline.predict(input="img.jpg", threshold={0: 0.5, 1: 0.35}):
    res.print()
    res.save_to_img("./output/")
    res.save_to_json("./output/")
"""

from sod_client._inputs.sources import ImageInput
from sod_client._thresholds import Threshold
from sod_client._transport.window import OnError
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
from sod_client.result import Box, Model, Result

__all__ = [
    "AsyncPipeline",
    "AuthenticationError",
    "BadReplyError",
    "Box",
    "ConnectionFailedError",
    "DependencyError",
    "EncryptedPDFError",
    "ImageInput",
    "InvalidArrayError",
    "InvalidConfigError",
    "InvalidInputError",
    "InvalidThresholdError",
    "LocalServerError",
    "MissingFileError",
    "Model",
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
    "create_pipeline",
]

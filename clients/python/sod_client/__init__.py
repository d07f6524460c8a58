"""Client of triton-sod: small-object detection with PaddleX's calls, over HTTP.

from sod_client import create_pipeline

pipeline = create_pipeline(url="http://127.0.0.1:8080")
for res in pipeline.predict(input="img.jpg", threshold={0: 0.5, 1: 0.35}):
    res.print()
    res.save_to_img("./output/")
"""

from sod_client._inputs import Picture, Threshold
from sod_client.errors import (
    BadReplyError,
    ConnectionFailedError,
    InvalidInputError,
    NoImageError,
    ServerError,
    SodError,
)
from sod_client.pipeline import Pipeline, create_pipeline
from sod_client.result import Box, Model, Result

__all__ = [
    "BadReplyError",
    "Box",
    "ConnectionFailedError",
    "InvalidInputError",
    "Model",
    "NoImageError",
    "Picture",
    "Pipeline",
    "Result",
    "ServerError",
    "SodError",
    "Threshold",
    "create_pipeline",
]

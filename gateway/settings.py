"""Every setting of the gateway, in one class; each is an environment variable with the prefix `SOD_`."""

import json
from collections.abc import Iterator
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from sod.draw import JPEG_QUALITY
from sod.image import DEFAULT_MAX_PIXELS

ENV_PREFIX = "SOD_"
_MIB = 1024 * 1024


class Settings(BaseSettings):
    """Settings of the gateway. An empty variable counts as absent."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, env_ignore_empty=True, extra="ignore", frozen=True)

    host: str = Field("127.0.0.1", description="Address the gateway listens on.")
    port: int = Field(8080, ge=0, le=65535, description="Port the gateway listens on; 0 takes a free one.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Lowest level that is logged to stderr."
    )
    access_log: bool = Field(False, description="Log one line a request.")
    shutdown_timeout: int = Field(
        30, gt=0, description="Seconds that requests under way may take to finish after SIGTERM."
    )

    triton_url: str = Field("127.0.0.1:8001", description="Triton's gRPC address, `host:port`.")
    model: str | None = Field(
        None,
        description="Ensemble to serve; unset takes the first READY one of L, S, largesize-L, demo, then by name.",
    )
    model_info_ttl: float = Field(
        5.0, ge=0, description="Seconds that the model's name and class labels are kept before Triton is asked again."
    )
    request_timeout: float = Field(
        60.0,
        gt=0,
        description="Seconds from a complete body to the answer; a later one is answered 504, its work cancelled.",
    )

    default_threshold: float = Field(
        0.5, ge=0, le=1, description="Score threshold where the request names none; an object's score is greater."
    )
    visualize: bool = Field(True, description="Return the picture with its boxes drawn where the request does not say.")
    jpeg_quality: int = Field(JPEG_QUALITY, ge=1, le=100, description="JPEG quality of the drawn picture.")
    worker_threads: int = Field(
        4, ge=1, le=256, description="Threads that read, decode, draw and encode pictures beside the event loop."
    )

    max_body_bytes: int = Field(
        64 * _MIB, gt=0, description="Largest request body; a longer one is answered 413 while it is read."
    )
    max_image_bytes: int = Field(
        48 * _MIB, gt=0, description="Largest encoded picture, sent or fetched; a longer one is answered 413."
    )
    max_image_pixels: int = Field(
        DEFAULT_MAX_PIXELS, gt=0, description="Most pixels of a picture, by its header; more are answered 422."
    )

    max_concurrency: int = Field(
        8, ge=1, description="Pictures in work at once: inferred, decoded and drawn; further ones wait."
    )
    max_queue: int = Field(
        32, ge=0, description="Requests let in beyond `SOD_MAX_CONCURRENCY`; further ones are answered 503 at once."
    )
    max_buffered_bytes: int = Field(
        256 * _MIB, gt=0, description="Bytes that all requests together may hold: bodies, fetched pictures, answers."
    )
    body_grace: float = Field(
        5.0, ge=0, description="Seconds after which a request gives its place back until its body is complete."
    )
    body_idle_timeout: float = Field(
        10.0, gt=0, description="Seconds a body may pause; a longer pause is answered 408."
    )
    body_timeout: float = Field(
        60.0, gt=0, description="Seconds for a whole body, and for a request's headers; a later body is answered 408."
    )
    send_timeout: float = Field(
        60.0, gt=0, description="Seconds for a client to take its answer; then the connection is cut."
    )

    fetch_connect_timeout: float = Field(3.0, gt=0, description="Seconds to connect to an image URL's host.")
    fetch_read_timeout: float = Field(5.0, gt=0, description="Seconds an image URL's host may stay silent.")
    fetch_total_timeout: float = Field(15.0, gt=0, description="Seconds for the whole fetch, redirects included.")
    fetch_max_redirects: int = Field(3, ge=0, description="Redirects followed when an image URL is fetched.")
    fetch_max_connections: int = Field(32, ge=1, description="Fetches under way at once; further ones wait.")

    ready_ttl: float = Field(
        2.0, ge=0, description="Seconds that one readiness check, or a real inference, speaks for the next ones."
    )
    ready_timeout: float = Field(
        20.0,
        gt=0,
        description="Seconds the readiness check's inference may take in an idle Triton; largesize-L on a small CPU "
        "takes ten.",
    )


def setting_rows() -> Iterator[tuple[str, str, str]]:
    """Yield (environment variable, default as it would be written, description) of every setting."""
    for name, field in Settings.model_fields.items():
        default = field.default
        shown = "" if default is None else default if isinstance(default, str) else json.dumps(default)
        yield ENV_PREFIX + name.upper(), shown, field.description or ""


def settings_markdown() -> str:
    """The settings as the Markdown table of docs/gateway.md."""
    lines = ["| variable | default | meaning |", "| --- | --- | --- |"]
    for variable, default, description in setting_rows():
        lines.append(f"| `{variable}` | {f'`{default}`' if default else 'unset'} | {description} |")
    return "\n".join(lines) + "\n"

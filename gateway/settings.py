"""Every setting of the gateway, in one class; each is an environment variable with the prefix `SOD_`."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from pydantic import Field, HttpUrl
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
    log_format: Literal["text", "json"] = Field("text", description="Lines of text, or one JSON object a line.")
    access_log: bool = Field(False, description="Log one line a request, whatever the log level.")
    workers: int = Field(
        1, ge=1, le=64, description="Processes that serve; limits on concurrency and rate are for each of them."
    )
    drain_delay: float = Field(
        0.0,
        ge=0,
        description="Seconds after SIGTERM in which requests are still taken and readiness is 503, so that load "
        "balancers notice.",
    )
    shutdown_timeout: int = Field(
        30, gt=0, description="Seconds that requests under way may take to finish after SIGTERM and `SOD_DRAIN_DELAY`."
    )

    triton_url: str = Field("127.0.0.1:8001", description="Triton's gRPC address, `host:port`.")
    model: str | None = Field(
        None,
        description="Ensemble to serve; unset takes the first READY one of L, S, largesize-L, demo, then by name.",
    )
    model_info_ttl: float = Field(
        5.0, ge=0, description="Seconds that the model's name and class labels are kept before Triton is asked again."
    )
    request_timeout: float = Field(60.0, gt=0, description="Deadline in seconds of one inference in Triton.")

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
        description="Seconds the readiness check's inference may take; largesize-L on a small CPU takes ten.",
    )

    triton_metrics_url: HttpUrl | None = Field(
        None, description="Triton's metrics, appended to `/metrics`; the launcher sets it."
    )
    otlp_endpoint: HttpUrl | None = Field(
        None, description="Base URL of an OTLP/HTTP receiver of traces (`/v1/traces` is added); unset for none."
    )
    trace_ratio: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Share of requests that are traced; those with a `traceparent` follow it instead.",
    )


# The title of each group of settings, by its first one.
_SECTIONS = {
    "host": "Process",
    "triton_url": "Triton",
    "default_threshold": "Answers",
    "max_body_bytes": "Limits",
    "fetch_connect_timeout": "Pictures from URLs",
    "ready_ttl": "Readiness",
    "triton_metrics_url": "Metrics and traces",
}


@dataclass(frozen=True, slots=True)
class SettingRow:
    """A setting as it is shown; the default is as it would be written."""

    section: str
    variable: str
    default: str
    description: str


def setting_rows() -> Iterator[SettingRow]:
    """Yield every setting, in the order of the class."""
    section = ""
    for name, field in Settings.model_fields.items():
        section = _SECTIONS.get(name, section)
        default = field.default
        shown = "" if default is None else default if isinstance(default, str) else json.dumps(default)
        yield SettingRow(section, ENV_PREFIX + name.upper(), shown, field.description or "")


def settings_markdown() -> str:
    """The settings as the Markdown tables of docs/gateway.md."""
    tables = []
    for section, rows in groupby(setting_rows(), key=lambda row: row.section):
        lines = [f"### {section}\n", "| variable | default | meaning |", "| --- | --- | --- |"]
        for row in rows:
            default = f"`{row.default}`" if row.default else "unset"
            lines.append(f"| `{row.variable}` | {default} | {row.description} |")
        tables.append("\n".join(lines) + "\n")
    return "\n".join(tables)

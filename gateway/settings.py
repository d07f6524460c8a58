"""Every setting of the gateway, in one class; each is an environment variable with the prefix `SOD_`."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_network
from itertools import groupby
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, HttpUrl, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from gateway.images.addresses import AllowList
from gateway.limits.rate_limit import Rate, parse_rates
from gateway.security.api_keys import ApiKey, parse_api_keys
from sod.encode import JPEG_QUALITY
from sod.image import DEFAULT_MAX_PIXELS

ENV_PREFIX = "SOD_"
_MIB = 1024 * 1024


def _parse_origins(value: object) -> object:
    """Origins from a comma-separated text, as browsers write them."""
    if not isinstance(value, str):
        return value
    origins = [origin.strip() for origin in value.split(",") if origin.strip()]
    for origin in origins:
        parts = urlsplit(origin)
        wanted = f"{parts.scheme}://{parts.netloc}"
        fits = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc
        if origin != "*" and (not fits or origin != wanted.lower()):
            raise ValueError(
                f"{origin!r} is no origin: send `https://app.example.com` (lower case, no path or slash after it), "
                "several with commas, or `*` for all"
            )
    return tuple(origins)


def _check_allow_list(value: str) -> str:
    AllowList.parse(value)
    return value


def _check_proxies(value: str | None) -> str | None:
    for proxy in (value or "*").split(","):
        if proxy.strip() != "*":
            try:
                ip_network(proxy.strip())
            except ValueError as error:
                raise ValueError(f"{error}: send addresses or networks with commas between them, or `*`") from None
        elif value not in (None, "*"):
            raise ValueError("`*` stands alone: it is everybody")
    return value


class Settings(BaseSettings):
    """Settings of the gateway. An empty variable counts as absent."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

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
    request_timeout: float = Field(
        60.0,
        gt=0,
        description="Seconds from a complete body to the answer; a later one is answered 504, its work cancelled.",
    )

    default_threshold: float = Field(
        0.5, ge=0, le=1, description="Score threshold where the request names none; an object's score is greater."
    )
    visualize: bool = Field(True, description="Return the image with its boxes drawn where the request does not say.")
    jpeg_quality: int = Field(
        JPEG_QUALITY, ge=1, le=100, description="Quality of the drawn image where the request says none."
    )
    max_batch_images: int = Field(32, ge=1, le=1000, description="Most images of one batch; more are answered 422.")
    batch_concurrency: int = Field(
        4, ge=1, le=64, description="Images of one batch that are fetched, asked about and drawn at once."
    )
    max_batch_overlay_bytes: int = Field(
        128 * _MIB,
        gt=0,
        description="Drawn images that one batch may hold, all together; one that is over it is answered 413.",
    )
    worker_threads: int = Field(
        4,
        ge=1,
        le=256,
        description="Threads that read, decode, draw and encode images, beside the event loop.",
    )

    max_body_bytes: int = Field(
        64 * _MIB, gt=0, description="Largest request body; a longer one is answered 413 while it is read."
    )
    max_image_bytes: int = Field(
        48 * _MIB, gt=0, description="Largest encoded image, sent or fetched; a longer one is answered 413."
    )
    max_image_pixels: int = Field(
        DEFAULT_MAX_PIXELS, gt=0, description="Most pixels of an image, by its header; more are answered 422."
    )

    max_concurrency: int = Field(
        8, ge=1, description="Images in work at once: inferred, decoded and drawn; further ones wait."
    )
    max_queue: int = Field(
        32, ge=0, description="Requests let in beyond `SOD_MAX_CONCURRENCY`; further ones are answered 503 at once."
    )
    max_buffered_bytes: int = Field(
        256 * _MIB, gt=0, description="Bytes that all requests together may hold: bodies, fetched images, answers."
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

    fetch_enabled: bool = Field(True, description="Fetch images that requests name by URL.")
    fetch_allow: Annotated[str, AfterValidator(_check_allow_list)] = Field(
        "",
        description="Hosts fetched from although their addresses are not public, separated by commas: names, "
        "`*.suffix`, addresses, CIDR networks.",
    )
    fetch_connect_timeout: float = Field(
        3.0, gt=0, description="Seconds to look an image URL's host up and connect to it."
    )
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

    api_keys: Annotated[tuple[ApiKey, ...], NoDecode, BeforeValidator(parse_api_keys)] = Field(
        (),
        description="Keys that clients must send: `name:sha256hex` with commas between them, or a JSON list; "
        "`python -m gateway --new-api-key NAME` makes one. Unset asks for none.",
    )
    rate_limit: Annotated[tuple[Rate, ...], NoDecode, BeforeValidator(parse_rates)] = Field(
        (),
        description="Detection requests a client may make, such as `10/second` or `10/second; 600/hour`; more are "
        "answered 429. Unset is without limit.",
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_parse_origins)] = Field(
        (), description="Origins whose pages may ask from a browser, with commas between them, or `*`. Unset is none."
    )
    forwarded_allow_ips: Annotated[str | None, AfterValidator(_check_proxies)] = Field(
        None,
        description="Proxies, addresses or networks, whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed; "
        "`*` believes anybody. Unset believes nobody.",
    )
    tls_certificate: Path | None = Field(
        None, description="PEM file of the certificate chain; with `SOD_TLS_KEY` the gateway speaks https only."
    )
    tls_key: Path | None = Field(None, validate_default=True, description="PEM file of the certificate's private key.")
    tls_key_password: SecretStr | None = Field(
        None, description="Password of that file; better by the environment than as an option, which others may see."
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

    @field_validator("tls_key")
    @classmethod
    def _both_or_neither(cls, key: Path | None, info: ValidationInfo) -> Path | None:
        if "tls_certificate" in info.data and (key is None) != (info.data["tls_certificate"] is None):
            raise ValueError("TLS needs the certificate and its key: set both, or neither")
        return key


# The title of each group of settings, by its first one.
_SECTIONS = {
    "host": "Process",
    "triton_url": "Triton",
    "default_threshold": "Answers",
    "max_body_bytes": "Limits",
    "fetch_enabled": "Images from URLs",
    "ready_ttl": "Readiness",
    "api_keys": "Security",
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
        shown = "" if default in (None, ()) else default if isinstance(default, str) else json.dumps(default)
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

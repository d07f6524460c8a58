"""The settings of the gateway; each is an environment variable with the prefix `SOD_`."""

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
from gateway.limits.moving_windows import Rate
from gateway.limits.rate_limit import parse_rates
from gateway.security.api_keys import ApiKey, parse_api_keys
from sod.encode import JPEG_QUALITY
from sod.image import DEFAULT_LIMITS
from sod.thread_pool import DEFAULT_TASK_TIMEOUT_S
from sod.triton_addresses import TritonAddresses

ENV_PREFIX = "SOD_"
_MIB = 1024 * 1024


def _parse_origins(value: object) -> object:
    """Parse a comma-separated list of origins as browsers send them."""
    if not isinstance(value, str):
        return value
    origins = [origin.strip() for origin in value.split(",") if origin.strip()]
    for origin in origins:
        parts = urlsplit(origin)
        expected = f"{parts.scheme}://{parts.netloc}"
        valid = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc
        if origin != "*" and (not valid or origin != expected.lower()):
            raise ValueError(
                f"{origin!r} is not an origin: use `https://app.example.com` (lower case, without path or trailing "
                "slash), several separated by commas, or `*` for all"
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
                raise ValueError(f"{error}: use addresses or networks separated by commas, or `*`") from None
        elif value not in (None, "*"):
            raise ValueError("`*` trusts everybody and must be the only entry")
    return value


def _check_storage(value: SecretStr | None) -> SecretStr | None:
    parts = urlsplit(value.get_secret_value() if value else "")
    if value is not None and (parts.scheme not in ("redis", "rediss") or not parts.hostname):
        raise ValueError(
            "give redis://host:port, or rediss://host:port with TLS; a password as redis://:password@host:port"
        )
    return value


def _check_triton_url(value: str) -> str:
    TritonAddresses.parse(value)
    return value


class Settings(BaseSettings):
    """Settings of the gateway. An empty variable counts as absent."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(8080, ge=0, le=65535)
    """Port to listen on; 0 takes a free one."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Lowest level that is logged to stderr."""
    log_format: Literal["text", "json"] = "text"
    """Lines of text, or one JSON object per line."""
    access_log: bool = False
    """Log one line per request, whatever the log level."""
    workers: int = Field(1, ge=1, le=64)
    """Worker processes; the limits on concurrency and, without a shared storage, on rate apply to each of them."""
    worker_timeout: float = Field(30.0, ge=5)
    """With several workers: seconds without a heartbeat of a worker's event loop after which it is killed and
    replaced."""
    drain_delay: float = Field(0.0, ge=0)
    """Seconds after SIGTERM in which requests are still accepted while readiness is 503, so that load balancers
    notice."""
    shutdown_timeout: int = Field(30, gt=0)
    """Seconds for requests in progress to finish after SIGTERM and `SOD_DRAIN_DELAY`."""

    triton_url: Annotated[str, AfterValidator(_check_triton_url)] = "127.0.0.1:8001"
    """Triton's gRPC address, `host:port`. Several that serve the same models are separated by commas; with
    `dns:///host:port` every address that the name has is a Triton."""
    triton_resolve_interval: float = Field(5.0, ge=0.1)
    """Seconds between two lookups of the names in `SOD_TRITON_URL` that begin with `dns:///`."""
    model: str | None = None
    """Default ensemble; unset takes the first READY one of L, S, largesize-L, demo, then by name."""
    model_info_ttl: float = Field(5.0, ge=0)
    """Seconds to cache the model's name and class labels before asking Triton again."""
    request_timeout: float = Field(60.0, gt=0)
    """Seconds from the complete body to the start of the response; then it is 504 and the work is cancelled."""

    default_threshold: float = Field(0.5, ge=0, le=1)
    """Score threshold if the request has none; objects with greater scores are returned."""
    visualize: bool = True
    """Return the image with its boxes drawn if the request does not say."""
    edge_dir: Path | None = None
    """Folder of the web app at `/edge/`, which detects on the device itself; unset is where `make edge` writes it."""
    jpeg_quality: int = Field(JPEG_QUALITY, ge=1, le=100)
    """Quality of the drawn image if the request has none."""
    max_batch_images: int = Field(32, ge=1, le=1000)
    """Largest number of images in a batch; else 422."""
    batch_concurrency: int = Field(4, ge=1, le=64)
    """Images of one batch that are processed at once."""
    max_batch_overlay_bytes: int = Field(128 * _MIB, gt=0)
    """Total size of the drawn images of one batch; an image that would exceed it is 413."""
    max_slices: int = Field(512, ge=1)
    """Largest number of slices of an image; else 422."""
    slice_concurrency: int = Field(4, ge=1, le=64)
    """Slices of one image that are processed at once."""
    max_sliced_bytes: int = Field(256 * _MIB, gt=0)
    """Memory for the decoded pixels of all sliced images, 3 bytes each; further images wait, a larger one is 413."""
    worker_threads: int = Field(4, ge=1, le=256)
    """Threads that read, decode, draw and encode images, besides the event loop."""

    max_body_bytes: int = Field(64 * _MIB, gt=0)
    """Largest request body; else 413."""
    max_image_bytes: int = Field(48 * _MIB, gt=0)
    """Largest encoded image, sent or fetched; else 413."""
    max_image_pixels: int = Field(DEFAULT_LIMITS.pixels, gt=0)
    """Largest number of pixels of an image, by its header; else 422."""

    max_image_scans: int = Field(DEFAULT_LIMITS.scans, ge=1)
    """Largest number of scans of a JPEG, each of which passes over all pixels; else 422."""
    max_image_metadata_bytes: int = Field(DEFAULT_LIMITS.metadata_bytes, ge=0)
    """Largest total of an image's metadata: EXIF, XMP, colour profiles, comments; else 422."""
    task_timeout: float = Field(DEFAULT_TASK_TIMEOUT_S, gt=0)
    """Seconds for decoding, drawing or encoding one image; then it is 422, and its thread is replaced."""
    max_header_bytes: int = Field(64 * 1024, ge=1024)
    """Size of a request's line and headers, else 431; also of its trailers, and of the framing of a chunked body."""

    max_concurrency: int = Field(8, ge=1)
    """Images that are processed at once; further ones wait."""
    max_queue: int = Field(32, ge=0)
    """Requests accepted beyond `SOD_MAX_CONCURRENCY`; further ones are 503 at once."""
    max_buffered_bytes: int = Field(256 * _MIB, gt=0)
    """Memory for the bodies, fetched images and responses of all requests together."""
    body_grace: float = Field(5.0, ge=0)
    """Seconds after which a request with an incomplete body releases its slot."""
    body_idle_timeout: float = Field(10.0, gt=0)
    """Longest pause of a request body in seconds; else 408."""
    body_timeout: float = Field(60.0, gt=0)
    """Seconds for a whole request body, else 408; and for the request headers, else the connection is closed."""
    send_timeout: float = Field(60.0, gt=0)
    """Seconds for a client to read its response; then the connection is closed."""

    keep_alive_timeout: int = Field(75, ge=1)
    """Seconds for which an idle connection is kept; longer than every `Retry-After`."""

    fetch_enabled: bool = True
    """Fetch images whose URL is in the request."""
    fetch_allow: Annotated[str, AfterValidator(_check_allow_list)] = ""
    """Hosts to fetch from although their addresses are not public, separated by commas: names, `*.suffix`, addresses,
    CIDR networks."""
    fetch_connect_timeout: float = Field(3.0, gt=0)
    """Seconds for the DNS lookup of an image URL's host and the connection to it."""
    fetch_read_timeout: float = Field(5.0, gt=0)
    """Longest time in seconds without data from that host."""
    fetch_total_timeout: float = Field(15.0, gt=0)
    """Seconds for the whole fetch, redirects included."""
    fetch_max_redirects: int = Field(3, ge=0)
    """Redirects to follow."""
    fetch_max_connections: int = Field(32, ge=1)
    """Fetches at once; further ones wait."""

    ready_ttl: float = Field(2.0, ge=0)
    """Seconds for which the result of a readiness check or of a real inference is reused."""
    ready_timeout: float = Field(20.0, gt=0)
    """Seconds for the readiness check's inference in an idle Triton; largesize-L on a small CPU takes ten."""

    api_keys: Annotated[tuple[ApiKey, ...], NoDecode, BeforeValidator(parse_api_keys)] = ()
    """Keys of which clients must send one: `name:sha256hex` separated by commas, or a JSON list; `python -m gateway
    --new-api-key NAME` makes one. Unset requires none."""
    api_keys_file: Path | None = None
    """File of further keys, an entry a line, which is read again when it changes."""
    rate_limit: Annotated[tuple[Rate, ...], NoDecode, BeforeValidator(parse_rates)] = ()
    """Detection requests per client, such as `10/second` or `10/second; 600/hour`, each slice counted; else 429. Unset
    is unlimited."""
    rate_limit_storage: Annotated[SecretStr | None, AfterValidator(_check_storage)] = None
    """Where requests are counted: `redis://[[user]:password@]host:port[/database]`, or `rediss://` with TLS, which all
    workers and gateways share. Unset counts in each worker. Prefer the environment variable, as for passwords."""
    rate_limit_failure: Literal["allow", "refuse"] = "allow"
    """What becomes of requests while that Redis cannot be asked: `allow` them, uncounted, or `refuse` them with 429."""
    cors_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_parse_origins)] = ()
    """Origins whose pages may send requests from a browser, separated by commas, or `*`. Unset allows none."""
    forwarded_allow_ips: Annotated[str | None, AfterValidator(_check_proxies)] = None
    """Proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are trusted: addresses or networks separated by commas,
    or `*`. Unset trusts none."""
    tls_certificate: Path | None = None
    """PEM file of the certificate chain; with `SOD_TLS_KEY` the gateway serves https only."""
    tls_key: Path | None = Field(None, validate_default=True)
    """PEM file of the certificate's private key."""
    tls_key_password: SecretStr | None = None
    """Password of the key file. Prefer the environment variable: other users may see the options of a process."""

    triton_metrics_url: HttpUrl | None = None
    """URL of Triton's metrics, which are appended to `/metrics`; the launcher sets it."""
    otlp_endpoint: HttpUrl | None = None
    """Base URL of an OTLP/HTTP receiver of traces (`/v1/traces` is appended); unset for no traces."""
    trace_ratio: float = Field(1.0, ge=0, le=1)
    """Share of requests that are traced; requests with a `traceparent` follow its sampled flag instead."""

    @field_validator("tls_key")
    @classmethod
    def _both_or_neither(cls, key: Path | None, info: ValidationInfo) -> Path | None:
        if "tls_certificate" in info.data and (key is None) != (info.data["tls_certificate"] is None):
            raise ValueError("TLS needs the certificate and its key: set both, or neither")
        return key


# Titles of the groups of settings, by the first setting of each.
_SECTIONS = {
    "host": "Process",
    "triton_url": "Triton",
    "default_threshold": "Detection",
    "max_body_bytes": "Limits",
    "fetch_enabled": "Images from URLs",
    "ready_ttl": "Readiness",
    "api_keys": "Security",
    "triton_metrics_url": "Metrics and traces",
}


@dataclass(frozen=True, slots=True)
class SettingRow:
    """A setting as documented; the default is written as in the environment."""

    section: str
    variable: str
    default: str
    description: str


def setting_rows() -> Iterator[SettingRow]:
    """Yield the settings in the order of the class."""
    section = ""
    for name, field in Settings.model_fields.items():
        section = _SECTIONS.get(name, section)
        default = field.default
        shown = "" if default in (None, ()) else default if isinstance(default, str) else json.dumps(default)
        description = " ".join((field.description or "").split())
        yield SettingRow(section, ENV_PREFIX + name.upper(), shown, description)


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

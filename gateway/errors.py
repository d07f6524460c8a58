"""The exceptions of the gateway. Their texts may be shown to the client; HTTP status and envelope are added later."""

from collections.abc import Sequence

_MAX_SHOWN_NAME = 100


class GatewayError(Exception):
    """Base of the errors whose text may be shown to the client."""


class InputError(GatewayError):
    """The request is well-formed, but it cannot be fulfilled; the text says why."""


class FieldError(InputError):
    """The value of one field cannot be used.

    Attributes:
        field: Name of the field.
        code: Identifier of the problem for programs, like the error types of Pydantic.
    """

    def __init__(self, field: str, code: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.code = code


class UnknownModelError(FieldError):
    """The requested model is not loaded; the text lists the loaded ones."""

    def __init__(self, name: str, loaded: Sequence[str]) -> None:
        shown = name if len(name) <= _MAX_SHOWN_NAME else name[:_MAX_SHOWN_NAME] + "…"
        available = f"loaded are {', '.join(loaded)}" if loaded else "none is loaded"
        super().__init__("model", "model_unknown", f"there is no model {shown!a}; {available}")


class TooManyBytesError(GatewayError):
    """The body or the image is larger than its limit."""


class NotAcceptableError(GatewayError):
    """The client accepts only image formats that are not available for this request."""


class UnsupportedBodyError(GatewayError):
    """The body is compressed, or this endpoint does not read its type."""


class DetectorUnavailableError(GatewayError):
    """The inference server cannot respond now; the same request may succeed later."""


class NotReadyError(DetectorUnavailableError):
    """Readiness failed. Logged once by the checker, not per probe."""


class OverloadedError(GatewayError):
    """There is no capacity for the request now. The load shedder counts these and logs a summary.

    Attributes:
        retry_after_s: When to try again, in seconds.
    """

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class BodyTimeoutError(GatewayError):
    """The body did not arrive in time."""


class GatewayTimeoutError(GatewayError):
    """The response was not ready in time."""

"""Triton's errors over gRPC as errors for the client, whose texts contain no internal names."""

import re
from typing import Any

import grpc

from gateway.errors import DetectorUnavailableError, GatewayTimeoutError, InputError, TooManyBytesError
from gateway.observability import metrics
from sod import interface

# Prefixes that Triton and its Python backend add to the message of a stage.
_PREFIX = re.compile(
    r"\s*(?:\[StatusCode\.\w+\]"
    r"|\[request id: [^\]]*\]"
    r"|in ensemble '[^']*',"
    r"|Failed to process the request\(s\) for model (?:instance )?'[^']*', message:"
    r"|TritonModelException:)\s*"
)
# Triton's core rejects a request that does not match the model with the same status as a damaged image.
_MISMATCH = re.compile(
    r"for model '|data-type is|batch-size must|unexpected (?:shape|inference input|datatype)|expected \d+ inputs?"
    rf"|^{interface.SCORE_THRESHOLD} has \d+ values"
)
# The Python backend could not enlarge the region of shared memory to the size that this and all other tensors need.
_SHARED_MEMORY_FULL = re.compile(r"Failed to increase the shared memory pool size for key '[^']*' to (\d+) bytes")
_REGION_STEP = 2 * 2**20  # by which a region grows beyond what a tensor needs
_STUB_DEAD = re.compile(r"stub process.*not healthy", re.IGNORECASE | re.DOTALL)
_QUEUE_FULL = "Exceeds maximum queue size"
_MAX_MESSAGE = 500


def client_error(
    error: Any, model: str | None, timeout: float, size: int = 0
) -> InputError | TooManyBytesError | DetectorUnavailableError | GatewayTimeoutError:
    """The error for the client; Triton's own message is for the log.

    Args:
        error: The `grpc.RpcError`.
        model: Name of the ensemble, if the call concerned one.
        timeout: Deadline of the call in seconds.
        size: Bytes of the image that was sent, if one was.
    """
    status, text = error.code(), str(error.details() or "")
    if status is grpc.StatusCode.INVALID_ARGUMENT and not _MISMATCH.search(clean_message(text)):
        return undecodable(text)
    if too_large := _too_large(text, size):
        return too_large
    if status is grpc.StatusCode.DEADLINE_EXCEEDED:  # Triton is busy, not broken
        return GatewayTimeoutError(f"The inference server did not answer within {timeout:g} s; try again")
    if _STUB_DEAD.search(text):
        sentence = "A stage of the model has died in the inference server"
    elif is_not_loaded(error):
        sentence = f"{'The model' if model is None else f'The model {model}'} is not loaded in the inference server"
    elif status is grpc.StatusCode.UNAVAILABLE:
        sentence = "The inference server cannot be reached or is not ready"
    elif status is grpc.StatusCode.INVALID_ARGUMENT:
        sentence = "The model changed while the request was under way"
    else:
        sentence = "The inference server failed on this request"
    return DetectorUnavailableError(f"{sentence}; try again")


def undecodable(text: str) -> InputError:
    """The error for an image that a stage cannot decode; `text` is the stage's message."""
    metrics.record_rejection("undecodable")
    return InputError(clean_message(text))


def _too_large(text: str, size: int) -> TooManyBytesError | None:
    """The error if shared memory is too small for the image; None if it would fit if it were the only one."""
    full = _SHARED_MEMORY_FULL.search(text)
    if not full or size + _REGION_STEP < (region := int(full[1]) - size):  # about the size that it has now
        return None
    metrics.record_rejection("shared_memory")
    return TooManyBytesError(
        f"The image has {size:,} bytes; the inference server's shared memory has room for about {region:,}: send a "
        "smaller image, or enlarge /dev/shm there (docker run --shm-size)"
    )


def clean_message(text: str) -> str:
    """The message of a stage about an image, without the prefixes and traceback that Triton adds."""
    end = 0
    while match := _PREFIX.match(text, end):
        end = match.end()
    message = text[end:].strip().split("\n", 1)[0].strip()
    return message[:_MAX_MESSAGE] or "The model cannot read this image"


def is_not_loaded(error: Any) -> bool:
    """Whether the `grpc.RpcError` says that there is no such model, or no version of it is loaded."""
    text = str(error.details() or "")
    return error.code() is grpc.StatusCode.NOT_FOUND or "is not found" in text or "has no available versions" in text


def is_refused(error: Any) -> bool:
    """Whether Triton has not worked on the request of this `grpc.RpcError`, so that another Triton may do it."""
    return is_broken(error) or is_not_loaded(error) or error.code() is grpc.StatusCode.UNAVAILABLE


def is_broken(error: Any) -> bool:
    """Whether the `grpc.RpcError` says that this Triton cannot do any request now."""
    text = str(error.details() or "")
    if _STUB_DEAD.search(text):
        return True
    return error.code() is grpc.StatusCode.UNAVAILABLE and not is_not_loaded(error) and _QUEUE_FULL not in text

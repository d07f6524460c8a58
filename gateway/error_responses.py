"""Exceptions to HTTP responses with the envelope that every error has."""

from fastapi import Response

from gateway.errors import GatewayError, error_response

__all__ = ["error_response", "response_to"]


def response_to(error: GatewayError) -> Response:
    """The response to an exception, without logging it."""
    return error_response(error.status, str(error), error.headers)

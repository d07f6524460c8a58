"""The gateway in this process before a Triton that only answers, as the gateway's own tests have it."""

from tests.gateway.conftest import gateway, make_gateway, triton

__all__ = ["gateway", "make_gateway", "triton"]

"""The order of the middleware."""

from gateway.app import create_app
from gateway.settings import Settings
from tests.gateway.security.test_api_keys import entry


def test_the_order_of_the_middleware() -> None:
    """Telemetry sees every response, every response has its headers, and access control precedes the work."""
    settings = {"api_keys": entry("a", "1"), "rate_limit": "1/second", "cors_origins": "*"}
    app = create_app(Settings(**settings))
    assert [getattr(middleware.cls, "__name__", "") for middleware in app.user_middleware] == [
        "Telemetry",
        "SecurityHeaders",
        "CORSMiddleware",
        "DrainMiddleware",
        "CatchAll",
        "ApiKeys",
        "RateLimit",
        "RequestLimits",
    ]

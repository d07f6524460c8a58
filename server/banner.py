"""What the launcher says once images are answered."""

from typing import Any

from server.cpu import AMX, cpu_flags
from server.ready import setting


def banner(url: str, profile: str, served: tuple[str, ...], not_served: dict[str, str]) -> str:
    """The text for a terminal.

    Args:
        url: of the gateway on this machine.
        profile: of the detectors.
        served: names of the ensembles that are ready.
        not_served: name → reason of the other ensembles of the repository.
    """
    lines = [
        f"\n  ready (profile {profile}): open {url}/ and drop an image on it",
        f"  the API: {url}/small-object-detection, described at {url}/docs\n",
    ]
    lines += ["  served:", *(f"    {name}" for name in served)]
    if not_served:
        lines += ["  not served:", *(f"    {name}: {reason}" for name, reason in not_served.items())]
    if profile == "cpu_high_performance" and AMX in cpu_flags():
        lines += ["\n  faster on this CPU, which has AMX: PROFILE=cpu_bf16"]
    # The certificate need not be for this machine's own address.
    curl = f"curl -s{'k' if url.startswith('https') else ''} {url}/small-object-detection"
    key = ' -H "X-API-Key: $KEY"' if setting("api_keys") else ""
    lines += [
        "\n  try, with an image of yours:",
        f"""    (printf '{{"image": "'; base64 -w0 image.jpg; printf '"}}') |"""
        f" {curl}{key} -H 'content-type: application/json' -d @-",
        "\n  Ctrl-C stops it.",
    ]
    return "\n".join(lines)


def banner_fields(url: str, profile: str, served: tuple[str, ...], not_served: dict[str, str]) -> dict[str, Any]:
    """The same as fields of one JSON line."""
    return {"message": "ready", "url": url, "profile": profile, "served": list(served), "notServed": not_served}

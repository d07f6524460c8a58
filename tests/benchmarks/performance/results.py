"""Invented results of a run, in the format of the sections."""

from typing import Any


def turn(throughput: float, p50: float, **changes: Any) -> dict[str, Any]:
    """One measurement of the section load."""
    return {
        "throughput": throughput,
        "p50": p50,
        "p95": 1.2 * p50,
        "p99": 1.5 * p50,
        "mean": p50,
        "requests": 50,
        "errors": 0,
        "first_error": "",
        "cpu_ms": {"gateway": 14.0, "triton": 2.0, "preprocess": 6.0, "postprocess": 1.0, "detector": 160.0},
        "client_cpu_ms": 1.0,
        "others": 0.01,
        "rss_mib": {"gateway": 200.0, "detector": 500.0},
        "pss_mib": 600.0,
        **changes,
    }


def clients(throughput: float, overlay: float, *, names: tuple[str, ...] = ("ensemble", "gateway", "gateway, overlay")):
    """Three rounds at 1, 8 and 16 clients; the last name is the one with the overlay."""
    return {
        name: {
            str(concurrency): [turn(rate * noise, 1e3 * concurrency / (rate * noise)) for noise in (1.0, 0.5, 1.1)]
            for concurrency in (1, 8, 16)
        }
        for name in names
        for rate in [overlay if name == names[-1] else throughput]
    }


def profile(engine_only: float, ensemble: float, overlay: float, **changes: Any) -> dict[str, Any]:
    """One profile; in the second round the machine was half as fast for every participant."""
    return {
        "precision": "FP32",
        "backend": "openvino",
        "engine_only": {
            "throughput": {
                str(concurrency): [engine_only * noise for noise in (1.0, 0.5, 1.1)] for concurrency in (1, 8, 16)
            },
            "best_throughput": [engine_only],
            "latency_ms": [1e3 / engine_only, 2e3 / engine_only, 1e3 / engine_only / 1.1],
            "memory_mib": 300.0,
        },
        "clients": clients(ensemble, overlay),
        **changes,
    }


def document(**sections: Any) -> dict[str, Any]:
    """A whole run of one model."""
    return {
        "started": "2026-01-31T12:00:00+00:00",
        "command": "sod bench",
        "machine": {
            "cpu": "A CPU",
            "cores": 2,
            "cpu_flags": ["avx2"],
            "virtual": True,
            "memory_gib": 16.0,
            "gpu": "",
            "system": "Linux",
            "python": "3.11.9",
            "packages": {"openvino": "1.2"},
            "commit": "abc",
            "load_average": [0.1, 0.1, 0.1],
        },
        "options": {"rounds": 3, "seconds": 6.0, "threshold": 0.5, "quick": False},
        "images": [{"name": "a.jpg", "width": 1360, "height": 765, "bytes": 200_000}],
        "models": {"PP-YOLOE_plus_SOD-S": sections},
    }


def load(**profiles: Any) -> dict[str, Any]:
    """The section."""
    return {"profiles": profiles, "paddlex": None, "others": [0.01, 0.02]}

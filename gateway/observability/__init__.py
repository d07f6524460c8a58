"""Observability: logs, metrics, traces, and the context of the current request."""

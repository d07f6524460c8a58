"""Keeping Triton and the gateway alive: liveness of each process, readiness of both together, restarts."""

"""Limits: body sizes and times, concurrency, reserved memory, request rates, worker threads."""

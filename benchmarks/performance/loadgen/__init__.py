"""Generating load and measuring under it: closed loop, clients, perf_analyzer, Triton traces, resource usage."""

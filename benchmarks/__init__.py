"""Benchmarks: speed (`sod bench`) and accuracy (`sod eval`) of a running server."""

"""The `tritonserver` process: its command line, its HTTP API, its shared memory."""

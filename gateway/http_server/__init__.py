"""The HTTP server: uvicorn with connection limits, graceful shutdown, and worker processes."""

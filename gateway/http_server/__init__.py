"""The uvicorn side: listening, connections, worker processes, memory."""

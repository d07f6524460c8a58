"""The Triton model repository: configuration, installation, loading into a running server. Knows nothing of Paddle."""

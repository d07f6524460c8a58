"""The ways to a server: HTTP to a gateway, gRPC to Triton; retries, bounded concurrency."""

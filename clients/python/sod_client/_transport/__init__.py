"""Transports to a server: JSON over HTTP to a gateway, gRPC to Triton; with retries."""

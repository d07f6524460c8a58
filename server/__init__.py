"""The embedded server: real Triton from a wheel, its Python-based backends, and the gateway before it."""

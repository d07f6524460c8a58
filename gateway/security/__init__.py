"""Security: API keys, security headers, TLS, listener configuration."""

"""Who may ask and how: API keys, security headers, TLS, listener configuration."""

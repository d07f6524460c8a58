"""`sod watch`."""

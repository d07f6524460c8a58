"""The demo page and what serves it."""

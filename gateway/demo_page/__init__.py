"""The demo page, the API documentation, and the routes that serve them."""

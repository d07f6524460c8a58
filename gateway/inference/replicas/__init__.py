"""Several Tritons that serve the same models: their addresses, which of them gets a request, and which are left out."""

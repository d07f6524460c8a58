"""A stand-in for a gateway, which answers after a pause, for measurements of clients."""

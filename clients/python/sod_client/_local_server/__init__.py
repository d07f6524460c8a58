"""The server that a pipeline starts on this machine when no address is given."""

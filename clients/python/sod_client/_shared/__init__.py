"""Links to the modules of the server that slice images and merge their objects, so that both give the same result."""

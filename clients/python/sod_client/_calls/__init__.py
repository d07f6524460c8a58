"""Calls of `predict`: the session that they share, the images in flight, the threads that send them."""

"""Detects scenes: images that are read in windows, of any size, in constant memory."""

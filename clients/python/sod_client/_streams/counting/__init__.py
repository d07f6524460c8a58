"""Counts of tracked objects: crossings of lines, and occupancy of zones."""

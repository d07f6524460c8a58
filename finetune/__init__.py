"""The way to the demo model: its data, the images drawn for it, and its training."""

"""The way to the demo model: its data, the pictures drawn for it, and its training."""

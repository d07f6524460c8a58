"""The overlay: boxes and labels drawn into an image."""

"""File formats of images: what their bytes say before anything is decoded."""

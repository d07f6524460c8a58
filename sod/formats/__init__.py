"""File formats: what the bytes of images say before anything is decoded, and the files that hold weights."""

"""The images of an archive, as a stream that never holds all names."""

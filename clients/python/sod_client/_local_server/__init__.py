"""A local server started for a pipeline."""

"""The Parquet dataset of an archive's results."""

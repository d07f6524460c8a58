"""The parts of the `sod` command; `sod_client.cli` is its entrance."""

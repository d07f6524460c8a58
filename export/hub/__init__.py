"""Official models by name: resumable download, checksums, safe unpacking. Knows no engine."""

"""`sod bench batch`: throughput, processor time, memory, kills and Ray nodes of `sod batch`."""

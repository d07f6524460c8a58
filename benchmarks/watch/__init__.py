"""`sod bench watch`: tracking, counting, throughput and processor time of `sod watch`."""

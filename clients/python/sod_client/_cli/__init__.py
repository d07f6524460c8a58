"""The command line `sod`."""

"""Labelled pictures to train on: read, checked, shown."""

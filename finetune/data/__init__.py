"""Labelled images to train on: read, checked, shown."""

"""Synthetic street scenes with objects of all ten classes and exact labels."""

"""Turns the input of `predict` into encoded images."""

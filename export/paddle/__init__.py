"""Reads, truncates and runs Paddle inference models; reads their configuration and PaddleX pipeline files."""

"""The detector and its training in PyTorch, twice as fast on a CPU as Paddle."""

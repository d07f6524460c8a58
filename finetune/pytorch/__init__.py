"""The detector in PyTorch, to train where Paddle is slow or absent."""

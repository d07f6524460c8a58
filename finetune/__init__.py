"""Training detectors: reading and checking data, drawing scenes, training with PaddleDetection or PyTorch."""

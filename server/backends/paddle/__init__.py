"""The backend on Paddle Inference."""

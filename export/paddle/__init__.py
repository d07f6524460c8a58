"""Reading Paddle inference models, their configuration and PaddleX pipeline files."""

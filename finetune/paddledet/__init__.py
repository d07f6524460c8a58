"""Training with PaddleDetection's `ppdet`; runs in the environment that `finetune.environment` creates."""

"""What both training programs use: augmentation, settings, learning-rate schedule, log, curves."""

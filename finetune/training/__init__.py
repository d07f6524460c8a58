"""What both trainers share: crops, settings, schedule, log, curves."""

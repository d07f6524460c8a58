"""What is written of a stream: videos, text, events, metrics and a live page."""

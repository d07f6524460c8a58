"""Tracking by association of boxes (ByteTrack)."""

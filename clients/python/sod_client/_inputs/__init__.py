"""From what a caller passes to encoded images."""

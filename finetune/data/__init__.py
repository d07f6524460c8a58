"""Training data: splits and their checks, a contact sheet, and the openly licensed sources of the demo."""

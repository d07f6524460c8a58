"""Results in other tools' formats, and local drawing."""

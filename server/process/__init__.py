"""What the launcher needs of Linux: processes, their output, and the files that they leave behind."""

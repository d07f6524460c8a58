"""What is made of a dataset: a report, and files of other formats."""

"""`sod batch`: detects the objects of archives of images into a Parquet dataset."""

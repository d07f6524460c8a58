"""`sod bench gpu-day`: everything that is to be measured on a GPU machine that is lent for some minutes."""

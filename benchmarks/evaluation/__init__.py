"""`sod eval`: COCO accuracy of what is served, measured through Triton or through the gateway."""

"""`sod eval`: COCO accuracy of a served model, through Triton or through the gateway."""

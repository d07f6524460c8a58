"""Training data: COCO and YOLO data sets, what is wrong with them, and the openly licensed sources of the demo."""

"""What the parts of triton-sod share: images, boxes, drawing, and the models that run inside Triton.

Pure functions of NumPy arrays; nothing here knows of HTTP, and only `sod.triton` knows of Triton.
"""

"""What the parts of triton-sod share: images, boxes, drawing, and the models that run inside Triton.

Pure functions of NumPy arrays; nothing here knows of HTTP, and only `sod.triton` knows of Triton.
"""

__version__ = "0.2.0"
"""The version of triton-sod. pyproject.toml, the gateway and the image's label read it from here."""

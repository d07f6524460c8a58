"""Reads windows of raster files that are too large to be decoded whole; needs rasterio."""

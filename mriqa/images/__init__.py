"""Pixels: reading NIfTI, geometry, the Zarr store."""

"""Decode the bytes of images into rows of `image_tensors`."""

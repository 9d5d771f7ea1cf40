"""Decoding: from the bytes of an image to its row of `image_tensors`."""

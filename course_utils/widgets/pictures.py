"""Pictures as the bytes that a widget shows."""

import io

import numpy as np
import torch
from PIL import Image

ZOOM = 8  # screen pixels for each pixel of an image
GAP = 16  # screen pixels between two images


def png(*pictures: torch.Tensor) -> bytes:
    """Grey pictures (1, H, W) in [0, 1], side by side and enlarged, as PNG."""
    squares = []
    for picture in pictures:
        pixels = picture.clamp(0, 1).mul(255).round().squeeze(0).cpu().numpy().astype(np.uint8)
        squares += [np.kron(pixels, np.ones((ZOOM, ZOOM), np.uint8))]
        squares += [np.full((len(squares[0]), GAP), 255, np.uint8)]
    file = io.BytesIO()
    Image.fromarray(np.hstack(squares[:-1])).save(file, "png", compress_level=1)
    return file.getvalue()

"""ICC profiles: what makes the colours of an image sRGB."""

import functools
import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageCms

from zoofuse.data.containers import MAX_PROFILE

_NEAR = 3  # of 255: a profile that changes no colour by more is sRGB
_INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC
MODES = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK"}


def conversion(profile: bytes, mode: str) -> tuple[Callable | None, str]:
    """What makes the colours of an image of this mode sRGB, if anything, and what became of the profile."""
    if not profile:
        return None, ""
    if len(profile) > MAX_PROFILE or len(profile) < 128:
        return None, "ignored"
    space = MODES.get(profile[16:20])
    grey = mode in ("1", "L", "LA") or mode.startswith("I")
    fits = {"RGB": mode != "CMYK", "L": grey, "CMYK": mode == "CMYK"}.get(space, False)
    transform = _transform(profile, space) if fits else "ignored"
    if isinstance(transform, str):
        return None, transform

    def convert(image: Image.Image) -> Image.Image:
        return ImageCms.applyTransform(image if image.mode == space else image.convert(space), transform)

    return convert, "converted"


@functools.lru_cache(32)
def _transform(profile: bytes, space: str) -> ImageCms.ImageCmsTransform | str:
    """From a profile to sRGB, by LittleCMS; "" where it changes next to nothing, "ignored" where it is absurd."""
    try:
        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            space,
            "RGB",
            _INTENT,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        levels = np.linspace(0, 255, 17).round().astype(np.uint8)
        grid = levels[:, None] if space == "L" else np.stack(np.meshgrid(*[levels] * 3, indexing="ij"), -1)
        if space == "CMYK":
            grid = np.concatenate([grid, np.zeros_like(grid[..., :1])], -1)
        shape = (-1, 1) if space == "L" else (-1, 1, grid.shape[-1])
        image = Image.fromarray(grid.reshape(shape), mode=space)
        seen = np.asarray(ImageCms.applyTransform(image, transform)).reshape(-1, 3).astype(int)
    except Exception:  # PyCMSError, and what Pillow says of a profile that is none
        return "ignored"
    black, white = (seen[-1], seen[0]) if space == "CMYK" else (seen[0], seen[-1])
    if white.min() < 160 or black.max() > 100:
        return "ignored"
    if space != "CMYK" and abs(seen - grid.reshape(len(seen), -1)).max() <= _NEAR:
        return ""
    return transform

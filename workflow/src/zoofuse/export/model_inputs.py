"""What `Model.predict` is given, as batches of pixels: files, PIL images, arrays and tensors, one or many of them."""

import io
import itertools
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Set
from typing import TypeAlias

import numpy as np
from PIL import Image

from zoofuse.core import regular, text
from zoofuse.data import images
from zoofuse.data.decoding import ImageError

Images: TypeAlias = "str | bytes | os.PathLike | Image.Image | np.ndarray | torch.Tensor | Iterable"  # noqa: F821

_PNG = ("1", "L", "LA", "P", "RGB", "RGBA")  # modes that a PNG keeps as they are
_THROUGH = {"RGBa": "RGBA", "La": "LA"}  # alpha that is multiplied in is taken out again


def batches(pictures: Images, size: int, most: int) -> Iterator[np.ndarray]:
    """At most `most` images at a time: uint8 (b, size, size, 3), contiguous, never the caller's own memory.

    Args:
        pictures: as `Model.predict` takes them.
        size: rows and columns of the model's images.
        most: images in one batch.

    Raises:
        ImageError: an image cannot be read, or an array has another dtype or shape.
    """
    array = _array(pictures, size)
    if array is not None and array.dtype.kind in "OSTU" and array.ndim <= 1:  # names, as pandas and NumPy hold them
        pictures, array = array.tolist(), None
    if array is not None:
        array = _pixels(array, size, _is_tensor(pictures))
        for start in range(0, len(array), most):
            yield np.array(array[start : start + most], order="C")
        return
    if isinstance(pictures, Mapping | Set):
        raise ImageError(f"Images are wanted in an order, such as a list, not as a {type(pictures).__name__}.")
    one = isinstance(pictures, str | bytes | bytearray | os.PathLike | Image.Image) or hasattr(pictures, "read")
    if one or not isinstance(pictures, Iterable):
        pictures = [pictures]
    each = (_one(picture, size, place) for place, picture in enumerate(pictures))
    while part := list(itertools.islice(each, most)):
        yield np.stack(part)


def _one(picture, size: int, place: int) -> np.ndarray:
    """One image of an iterable: uint8 (size, size, 3)."""
    array = _array(picture, size)
    if array is not None:
        pixels = _pixels(array, size, _is_tensor(picture))
        if array.ndim != 3:
            raise ImageError(
                f"Image {place} of the list is an array {array.shape}, which is {len(pixels)} images; pass it alone, "
                f"or one image (size, size, 3) for each entry."
            )
        return pixels[0]
    if isinstance(picture, Image.Image):
        name, found = f"image {place} (a PIL image, {picture.mode})", _from_pil(picture, size)
    elif isinstance(picture, bytes | bytearray) and (b"\0" in picture or not picture):  # no file's name has one
        name, found = f"image {place} ({len(picture):,} bytes)", images.attempt(bytes(picture), size)
    elif isinstance(picture, str | bytes | os.PathLike):
        name, found = _from_file(picture, size)
    else:
        raise ImageError(
            f"Image {place} is of type {type(picture).__name__}. Pass files (str or Path), PIL images, or uint8 "
            f"arrays or tensors ({size}, {size}, 3)."
        )
    if isinstance(found, str):
        raise ImageError(f"{name}: {found}")
    return found


def _from_file(path: str | bytes | os.PathLike, size: int) -> tuple[str, np.ndarray | str]:
    try:
        path = os.fsdecode(os.fsencode(path))
    except UnicodeEncodeError:
        return ascii(path), "not a name that a file can have"
    if not path:
        return "''", "no such file: the name is empty"
    cause = regular.fault(path)
    if cause and not os.path.lexists(path) and path.startswith("~"):
        path = os.path.expanduser(path)
        cause = regular.fault(path)
    if cause and cause.startswith("a folder"):
        cause += "; pass its files, such as sorted(Path(folder).glob('*.jpg'))"
    return text.printable(path), cause or images.attempt(path, size)


def _from_pil(image: Image.Image, size: int) -> np.ndarray | str:
    """As the file that it was opened from: stored without loss, with its orientation, and read as files are."""
    try:
        orientation = _orientation(image)
        profile = image.info.get("icc_profile")
        if image.mode.startswith("I"):
            grey = np.asarray(image)
            if grey.size and (grey.min() < 0 or grey.max() > 65535):
                return "holds values that are not from 0 to 65535; pass it as RGB"
            image = Image.fromarray(grey.astype(np.uint16))
        elif image.mode == "F":
            return "holds floating-point values, whose range is not known; pass it as RGB"
        elif image.mode == "LAB":
            return "is not RGB; convert it by ImageCms.profileToProfile"
        elif image.mode == "PA":
            image = image.convert("RGBA")
        elif image.mode in _THROUGH:
            image = _without_premultiplied(image)
        elif image.mode not in _PNG:
            image, profile = image.convert("RGB"), None  # the profile is of the other colours
        exif = Image.Exif()
        if orientation is not None:
            exif[0x0112] = orientation
        packed = io.BytesIO()
        image.save(packed, "PNG", compress_level=1, icc_profile=profile, exif=exif if orientation else None)
    except Exception as error:  # whatever Pillow says about an image that cannot be loaded
        return f"cannot be read ({text.visible(str(error))[:200]})"
    return images.attempt(packed.getvalue(), size)


def _orientation(image: Image.Image) -> int | None:
    image.load()
    try:
        orientation = image.getexif().get(0x0112)
    except Exception:  # odd EXIF is not a reason to lose the image
        return None
    return orientation if orientation in range(1, 9) else None


def _without_premultiplied(image: Image.Image) -> Image.Image:
    """La as LA; Pillow itself converts RGBa only."""
    if image.mode == "RGBa":
        return image.convert("RGBA")
    grey, alpha = image.split()
    return Image.merge("RGBa", [grey, grey, grey, alpha]).convert("RGBA")


def _array(value, size: int) -> np.ndarray | None:
    """The value as an array where it is one (NumPy's, a tensor, pandas'), without a copy where there need be none."""
    if isinstance(value, str | bytes):  # np.str_ among them, which is an array too
        return None
    if isinstance(value, np.ndarray):
        return np.asarray(value)
    if _is_tensor(value):
        if str(value.dtype) != "torch.uint8":  # NumPy has no array for some of the others
            raise _unwanted(str(value.dtype), value.shape, size)
        try:
            return value.detach().cpu().numpy()
        except (RuntimeError, TypeError, NotImplementedError) as error:
            cause = str(error).splitlines()[0][:200]
            raise ImageError(f"The tensor cannot be read ({cause}). Pass a dense uint8 tensor.") from None
    if hasattr(value, "__array__") and hasattr(value, "dtype"):
        return np.asarray(value)
    return None


def _is_tensor(value) -> bool:
    torch = sys.modules.get("torch")  # whoever has a tensor has imported it
    return torch is not None and isinstance(value, torch.Tensor)


def _pixels(array: np.ndarray, size: int, tensor: bool) -> np.ndarray:
    """uint8 (m, size, size, 3), a view of `array`; tensors may have their channels first, as PyTorch has them."""
    many = array[None] if array.ndim == 3 else array
    if array.dtype == np.uint8 and many.ndim == 4:
        if many.shape[1:] == (size, size, 3):
            return many
        if tensor and many.shape[1:] == (3, size, size):
            return many.transpose(0, 2, 3, 1)
    raise _unwanted(str(array.dtype), array.shape, size)


def _unwanted(dtype: str, shape: tuple[int, ...], size: int) -> ImageError:
    hint = ""
    if "uint8" not in dtype:
        hint = " Convert them first: (x * 255).round() where values lie from 0 to 1, then to uint8."
    elif len(shape) in (3, 4) and tuple(shape)[-3:] == (3, size, size):
        hint = " Put the channels last: np.moveaxis(x, -3, -1)."
    elif len(shape) == 3 and shape[-1] in (3, 4):
        hint = " Pass PIL.Image.fromarray(x), which is resized as a file is."
    return ImageError(
        f"Images are wanted as uint8 (m, {size}, {size}, 3), as one image ({size}, {size}, 3), or as files or PIL "
        f"images of any size, and not as {dtype} {tuple(shape)}.{hint}"
    )

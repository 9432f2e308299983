"""The inputs of `Model.predict` (files, PIL images, arrays and tensors, one or many) as batches of pixels."""

import io
import itertools
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Set
from typing import TypeAlias

import numpy as np
from PIL import Image

from zoofuse.core import regular, text
from zoofuse.data.decoding import ImageError
from zoofuse.data.images import attempt

Images: TypeAlias = "str | bytes | os.PathLike | Image.Image | np.ndarray | torch.Tensor | Iterable"  # noqa: F821

_PNG = ("1", "L", "LA", "P", "RGB", "RGBA")  # modes that a PNG stores unchanged


def batches(images: Images, size: int, max_batch: int) -> Iterator[np.ndarray]:
    """Convert images to batches of pixels.

    Args:
        images: as for `Model.predict`.
        size: rows and columns of the model's images.
        max_batch: images in a batch.

    Yields:
        uint8 (b, size, size, 3), contiguous, never the caller's memory.

    Raises:
        ImageError: an image can't be read, or an array has another dtype or shape.
    """
    array = _array(images, size)
    if array is not None and array.dtype.kind in "OSTU" and array.ndim <= 1:  # names, as pandas and NumPy hold them
        images, array = array.tolist(), None
    if array is not None:
        array = _pixels(array, size, _is_tensor(images))
        for start in range(0, len(array), max_batch):
            yield np.array(array[start : start + max_batch], order="C")
        return
    if isinstance(images, Mapping | Set):
        raise ImageError(f"A {type(images).__name__} of images has no order; pass a list.")
    single = isinstance(images, str | bytes | bytearray | os.PathLike | Image.Image) or hasattr(images, "read")
    if single or not isinstance(images, Iterable):
        images = [images]
    decoded = (_one(image, size, number) for number, image in enumerate(images))
    while batch := list(itertools.islice(decoded, max_batch)):
        yield np.stack(batch)


def _one(image, size: int, number: int) -> np.ndarray:
    """An image of an iterable: uint8 (size, size, 3)."""
    array = _array(image, size)
    if array is not None:
        pixels = _pixels(array, size, _is_tensor(image))
        if array.ndim != 3:
            raise ImageError(
                f"Image {number} of the list is an array {array.shape}, which is {len(pixels)} images; pass it alone, "
                f"or one image (size, size, 3) for each entry."
            )
        return pixels[0]
    if isinstance(image, Image.Image):
        name, pixels = f"image {number} (a PIL image, {image.mode})", _from_pil(image, size)
    elif isinstance(image, bytes | bytearray) and (b"\0" in image or not image):  # no file's name has one
        name, pixels = f"image {number} ({len(image):,} bytes)", attempt(bytes(image), size)
    elif isinstance(image, str | bytes | os.PathLike):
        name, pixels = _from_file(image, size)
    else:
        raise ImageError(
            f"Image {number} is of type {type(image).__name__}. Pass files (str or Path), PIL images, or uint8 "
            f"arrays or tensors ({size}, {size}, 3)."
        )
    if isinstance(pixels, str):
        raise ImageError(f"{name}: {pixels}")
    return pixels


def _from_file(path: str | bytes | os.PathLike, size: int) -> tuple[str, np.ndarray | str]:
    try:
        path = os.fsdecode(os.fsencode(path))
    except UnicodeEncodeError:
        return ascii(path), "not a valid file name"
    if not path:
        return "''", "no such file: the name is empty"
    cause = regular.fault(path)
    if cause and not os.path.lexists(path) and path.startswith("~"):
        path = os.path.expanduser(path)
        cause = regular.fault(path)
    if cause and cause.startswith("a folder"):
        cause += "; pass its files, such as sorted(Path(folder).glob('*.jpg'))"
    return text.printable(path), cause or attempt(path, size)


def _from_pil(image: Image.Image, size: int) -> np.ndarray | str:
    """Like the file that it was opened from: stored losslessly, with its orientation, and read as a file."""
    try:
        orientation = _orientation(image)
        profile = image.info.get("icc_profile")
        if image.mode.startswith("I"):
            grey = np.asarray(image)
            if grey.size and (grey.min() < 0 or grey.max() > 65535):
                return "holds values that are not between 0 and 65535; pass it as RGB"
            image = Image.fromarray(grey.astype(np.uint16))
        elif image.mode == "F":
            return "holds floating-point values of unknown range; pass it as RGB"
        elif image.mode == "LAB":
            return "is not RGB; convert it with ImageCms.profileToProfile"
        elif image.mode == "PA":
            image = image.convert("RGBA")
        elif image.mode in ("RGBa", "La"):
            image = _unpremultiplied(image)
        elif image.mode not in _PNG:
            image, profile = image.convert("RGB"), None  # the profile describes the original mode
        exif = Image.Exif()
        if orientation is not None:
            exif[0x0112] = orientation
        packed = io.BytesIO()
        image.save(packed, "PNG", compress_level=1, icc_profile=profile, exif=exif if orientation else None)
    except Exception as error:  # Pillow raises many types for images that it can't load
        return f"can't be read ({text.visible(str(error))[:200]})"
    return attempt(packed.getvalue(), size)


def _orientation(image: Image.Image) -> int | None:
    image.load()
    try:
        orientation = image.getexif().get(0x0112)
    except Exception:  # corrupt EXIF must not prevent reading the image
        return None
    return orientation if orientation in range(1, 9) else None


def _unpremultiplied(image: Image.Image) -> Image.Image:
    """Straight alpha for premultiplied alpha; Pillow itself converts RGBa only."""
    if image.mode == "RGBa":
        return image.convert("RGBA")
    grey, alpha = image.split()
    return Image.merge("RGBa", [grey, grey, grey, alpha]).convert("RGBA")


def _array(value, size: int) -> np.ndarray | None:
    """The value as an array if it is one (NumPy, a tensor, pandas), without a copy if possible; else None."""
    if isinstance(value, str | bytes):  # includes np.str_, which has __array__
        return None
    if isinstance(value, np.ndarray):
        return np.asarray(value)
    if _is_tensor(value):
        if str(value.dtype) != "torch.uint8":  # NumPy has no array for some of the others
            raise _unexpected(str(value.dtype), value.shape, size)
        try:
            return value.detach().cpu().numpy()
        except (RuntimeError, TypeError, NotImplementedError) as error:
            cause = str(error).splitlines()[0][:200]
            raise ImageError(f"The tensor can't be read ({cause}). Pass a dense uint8 tensor.") from None
    if hasattr(value, "__array__") and hasattr(value, "dtype"):
        return np.asarray(value)
    return None


def _is_tensor(value) -> bool:
    torch = sys.modules.get("torch")  # imported if there is any tensor
    return torch is not None and isinstance(value, torch.Tensor)


def _pixels(array: np.ndarray, size: int, tensor: bool) -> np.ndarray:
    """uint8 (m, size, size, 3), a view of `array`; a tensor may have its channels first."""
    many = array[None] if array.ndim == 3 else array
    if array.dtype == np.uint8 and many.ndim == 4:
        if many.shape[1:] == (size, size, 3):
            return many
        if tensor and many.shape[1:] == (3, size, size):
            return many.transpose(0, 2, 3, 1)
    raise _unexpected(str(array.dtype), array.shape, size)


def _unexpected(dtype: str, shape: tuple[int, ...], size: int) -> ImageError:
    hint = ""
    if "uint8" not in dtype:
        hint = " Convert them first: if values lie between 0 and 1, (x * 255).round(), then to uint8."
    elif len(shape) in (3, 4) and tuple(shape)[-3:] == (3, size, size):
        hint = " Put the channels last: np.moveaxis(x, -3, -1)."
    elif len(shape) == 3 and shape[-1] in (3, 4):
        hint = " Pass PIL.Image.fromarray(x), which is resized like a file."
    return ImageError(
        f"Expected uint8 (m, {size}, {size}, 3), one image ({size}, {size}, 3), or files or PIL images of any size, "
        f"not {dtype} {tuple(shape)}.{hint}"
    )

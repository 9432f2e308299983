"""Data sets that lie under images_root as torchvision leaves them, read by torchvision's own classes."""

import inspect
from os import PathLike

import numpy as np
from PIL import Image

from zoofuse.core import logs
from zoofuse.data.decoding import ImageError

CLASSES = {
    "MNIST": 10, "FashionMNIST": 10, "KMNIST": 10, "USPS": 10, "SVHN": 10, "STL10": 10, "CIFAR10": 10,
    "CIFAR100": 100, "GTSRB": 43, "Flowers102": 102, "Food101": 101, "DTD": 47,
}  # fmt: skip
"""Data set, by the name of its class in torchvision.datasets -> its number of classes."""


def read(
    dataset: str, root: str | PathLike, part: str, size: int, progress: str
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """All images of one part of a data set.

    Args:
        dataset: one of CLASSES.
        root: the folder that torchvision takes; nothing is downloaded.
        part: "train" or "test".
        size: rows and columns that each image is resized to, as `images.decode` does.
        progress: description of the progress bar.

    Returns:
        Images uint8 (n, size, size, 3), labels (n,), and the name of each class.

    Raises:
        ImageError: torchvision does not find the data set there, or can't read it.
    """
    from torchvision import datasets  # brings torch with it, which takes seconds to import

    of = getattr(datasets, dataset)
    parts = {"train": part == "train"} if "train" in inspect.signature(of).parameters else {"split": part}
    try:
        found = of(str(root), download=False, **parts)
        images, labels = np.empty((len(found), size, size, 3), np.uint8), np.empty(len(found), np.int64)
        with logs.bar(len(found), "images", progress) as bar:
            for row, (image, label) in enumerate(found):
                images[row], labels[row] = resized(np.asarray(image.convert("RGB")), size), label
                bar.update()
    except (RuntimeError, OSError, EOFError, ValueError) as error:
        raise ImageError(
            f"{dataset}: torchvision can't read it under {root} ({error}). Write images_root: the folder that holds "
            f"it, or let torchvision put it there: torchvision.datasets.{dataset}({str(root)!r}, download=True)"
        ) from error
    return images, labels, [str(title) for title in getattr(found, "classes", range(CLASSES[dataset]))]


def resized(image: np.ndarray, size: int) -> np.ndarray:
    """uint8 (height, width, 3) -> (size, size, 3), by Pillow's bilinear resize with antialiasing."""
    if image.shape[:2] == (size, size):
        return image
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))

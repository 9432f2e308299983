"""Somebody else's method on the leaderboard: a command that reads an HDF5 file of networks and writes another."""

import shlex
import subprocess
import tempfile
from pathlib import Path

import h5py
import numpy as np

from zoofuse.core import files
from zoofuse.core.text import printable
from zoofuse.methods.generators import alignment
from zoofuse.methods.generators.registry import Given

_TAIL = 1500  # characters of a command's last words


def call(command: str, given: Given, folder: Path, name: str) -> np.ndarray:
    """Networks that a command samples: COMMAND ZOO COUNT OUTPUT.

    Args:
        command: as the configuration has it; called where snakemake is, without a shell.
        given: what it gets. ZOO holds the training networks' tensors (n, ...) by name, model (n,), accuracy (n,) on
            images to select by, and images and labels, some training images. No held-out network and no test image
            is in it.
        folder: for temporary files.
        name: of the method, for messages.

    Returns:
        float32 (count, parameters).

    Raises:
        ValueError: the command fails, or writes something else.
    """
    where = f"leaderboard.methods.{name}.command"
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        zoo, output = Path(temporary) / "zoo.h5", Path(temporary) / "output.h5"
        arrays = alignment.unflatten(given.network, given.weights)
        arrays |= {"model": np.arange(len(given.weights), dtype=np.int32), "accuracy": given.accuracy}
        files.write(zoo, "zoo", arrays | {"images": given.images, "labels": given.labels})
        words = [*shlex.split(command), str(zoo), str(given.count), str(output)]
        try:
            run = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        except OSError as error:
            raise ValueError(f"{where}: {printable(words[0])} can't be started ({error.strerror}).") from None
        if run.returncode:
            raise ValueError(
                f"{where}: {printable(command)} failed with exit status {run.returncode}. Its last words:\n"
                f"{run.stdout[-_TAIL:]}"
            )
        return _read(output, given, where)


def _read(path: Path, given: Given, where: str) -> np.ndarray:
    if not path.is_file():
        raise ValueError(f"{where}: wrote no file; its last argument is the path of the HDF5 file to write.")
    try:
        with files.reader(path) as file, h5py.File(file, "r") as handle:
            if files.external_link(handle):
                raise ValueError("a part of it is stored in another file")
            arrays = {name: np.asarray(handle[name]) for name in given.network.shapes if name in handle}
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{where}: what it wrote can't be read as HDF5 ({error}).") from None
    for name, shape in given.network.shapes.items():
        wanted = (given.count, *shape)
        if name not in arrays:
            raise ValueError(f"{where}: what it wrote lacks {name}; write every tensor, {name} as {wanted}.")
        if arrays[name].shape != wanted or arrays[name].dtype.kind not in "fiu":
            raise ValueError(
                f"{where}: {name} is {arrays[name].dtype} {arrays[name].shape}; write numbers of shape {wanted}."
            )
    return alignment.flatten(given.network, arrays)

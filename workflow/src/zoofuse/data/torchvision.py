"""Images of torchvision's data sets, fetched whole and read from their tar archives without unpacking them.

CIFAR-10 (Krizhevsky 2009, "Learning multiple layers of features from tiny images") by class and the Oxford-IIIT Pet
data set (Parkhi et al. 2012, "Cats and dogs") by breed. Imports torchvision only to ask it for addresses and checksums.
"""

import contextlib
import functools
import hashlib
import http.client
import io
import pickle
import re
import tarfile
import urllib.request
import zlib
from collections.abc import Callable, Iterator, Sequence
from os import PathLike
from pathlib import Path

import numpy as np

from zoofuse.core import logs
from zoofuse.core.temporary import atomic_path
from zoofuse.data import query
from zoofuse.data.decoding import ImageError
from zoofuse.data.images import attempt, refuse_unreadable, stacked

MAX_MEMBER = 64 * 2**20  # bytes of one file in an archive; CIFAR-10's largest has 31 million

_CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_CATS = (
    "abyssinian", "bengal", "birman", "bombay", "british-shorthair", "egyptian-mau", "maine-coon", "persian",
    "ragdoll", "russian-blue", "siamese", "sphynx",
)  # fmt: skip
_DOGS = (
    "american-bulldog", "american-pit-bull-terrier", "basset-hound", "beagle", "boxer", "chihuahua",
    "english-cocker-spaniel", "english-setter", "german-shorthaired", "great-pyrenees", "havanese", "japanese-chin",
    "keeshond", "leonberger", "miniature-pinscher", "newfoundland", "pomeranian", "pug", "saint-bernard", "samoyed",
    "scottish-terrier", "shiba-inu", "staffordshire-bull-terrier", "wheaten-terrier", "yorkshire-terrier",
)  # fmt: skip

VOCABULARY: dict[str, frozenset[str]] = {
    "cifar10": frozenset(_CIFAR10),
    "oxford_iiit_pet": frozenset({"cat", "dog", *_CATS, *_DOGS}),
}
"""Every word a selector may use, for each data set."""
_WORDS = {
    "cifar10": [(word,) for word in _CIFAR10],
    "oxford_iiit_pet": [(kind, breed) for kind, breeds in (("cat", _CATS), ("dog", _DOGS)) for breed in breeds],
}


def possible(dataset: str, text: str) -> bool:
    """Whether any image of a data set matches a selector of known words."""
    selector = query.parse(text, VOCABULARY[dataset])
    return any(selector.matches(words) for words in _WORDS[dataset])


def download(dataset: str, path: str | PathLike, url: str | None = None, md5: str | None = None) -> None:
    """Fetch the archive of `dataset` to `path`, whole or not at all; nothing is fetched when it is there already.

    `url` (http, https or file) and `md5` are torchvision's own unless given. Raises ImageError when the archive can't
    be fetched or has another checksum.
    """
    if not (url and md5):
        published = _published(dataset)
        url, md5 = url or published[0], md5 or published[1]
    path, md5 = Path(path), md5.lower()
    if path.is_file() and _md5(path) == md5:
        return
    elsewhere = f"write downloads.{dataset}.url: the address of a copy, such as file:///folder/{path.name}"
    if not url.startswith(("https://", "http://", "file://")):
        raise ImageError(f"downloads.{dataset}.url: {url!r} is no https, http or file address; {elsewhere}.")
    with atomic_path(path) as temporary:
        try:
            _fetch(url, temporary, f"fetching {dataset}")
        except (OSError, http.client.HTTPException) as error:
            raise ImageError(f"{url}: can't be fetched ({error}). Check the connection, or {elsewhere}.") from error
        if (found := _md5(temporary)) != md5:
            raise ImageError(
                f"{url}: fetched, but its MD5 is {found} and should be {md5}; nothing was kept. Run the same command "
                f"again, in case it was cut short; if it is meant to differ, write downloads.{dataset}.md5: {found}"
            )


def read_archive(
    dataset: str,
    path: str | PathLike,
    texts: Sequence[str],
    part: str,
    on_unreadable: str = "refuse",
    progress: str | None = None,
) -> tuple[np.ndarray, list[str], list[tuple[str, str]]]:
    """The images that match at least one of the selectors `texts`: uint8 (n, 32, 32, 3), names, unreadable ones.

    `part` is "train" or "test". CIFAR-10 has its own test batch. The Pet archive has no such thing, so its test
    images are those with odd numbers: half of each breed, as in its official lists. Names begin with class or breed
    and "_"; unreadable ones are (name, cause), refused or skipped as by images.decode_all. Nothing is written to disk
    and nothing that a pickle names is imported or called.
    Raises ImageError for a corrupt or foreign archive and when nothing matches, ValueError for an unknown word.
    """
    chosen = [query.parse(text, VOCABULARY[dataset]) for text in texts]

    def wanted(*attributes: str) -> bool:
        return any(selector.matches(attributes) for selector in chosen)

    images, names, unreadable = [], [], []
    with logs.bar(None, "images", progress) if progress else contextlib.nullcontext() as bar:
        for name, attributes, decode in _READERS[dataset](path, part):
            if not wanted(*attributes):
                continue
            image = decode()
            if isinstance(image, str):
                unreadable.append((name, image))
            else:
                images.append(image)
                names.append(name)
            if bar is not None:
                bar.update()
    refuse_unreadable(unreadable, len(images) + len(unreadable), on_unreadable)
    if not images:
        raise ImageError(f"{path}: no {part} image of {dataset} matches {' or '.join(map(repr, texts))}.")
    return stacked(images, 32), names, unreadable


# An image of an archive: its name, its attributes, and a function that gives its pixels or the cause why not.
_Entry = tuple[str, tuple[str, ...], Callable[[], np.ndarray | str]]


def _cifar10(path: str | PathLike, part: str) -> Iterator[_Entry]:
    """cifar-10-python.tar.gz: pickled batches of 10,000 images, planes of red, green and blue one after the other."""
    pattern = re.compile(r"data_batch_\d+" if part == "train" else "test_batch")
    for member, content in _members(path):
        batch = member.rpartition("/")[2]
        if batch == "batches.meta":
            names = _unpickled(path, member, content()).get(b"label_names")
            if names != [name.encode() for name in _CIFAR10]:
                raise ImageError(f"{path}: {member} has other classes than CIFAR-10's: {names!r:.200}. {_ANEW}")
        elif pattern.fullmatch(batch):
            images, labels = _batch(path, member, content())
            for i, (image, label) in enumerate(zip(images, labels, strict=True)):
                yield f"{_CIFAR10[label]}_{batch}_{i:05d}", (_CIFAR10[label],), functools.partial(np.array, image)


def _oxford_iiit_pet(path: str | PathLike, part: str) -> Iterator[_Entry]:
    """images.tar.gz: images/Breed_12.jpg, breeds of cats with a capital first and breeds of dogs without."""
    for member, content in _members(path):
        match = re.fullmatch(r"(?:\./)?images/([A-Za-z_]+)_(\d+)\.jpg", member)
        if match and int(match[2]) % 2 == (part == "test"):
            breed = match[1].lower().replace("_", "-")
            kind = "cat" if match[1][0].isupper() else "dog"
            yield f"{breed}_{match[2]}.jpg", (breed, kind), lambda content=content: attempt(content())


_READERS = {"cifar10": _cifar10, "oxford_iiit_pet": _oxford_iiit_pet}

_ANEW = "Delete the archive and run the same command again: it is downloaded again."


def _members(path: str | PathLike) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Names of the plain files in a tar archive, each with a function that reads it; links and devices are left out."""

    def content(member: tarfile.TarInfo) -> bytes:
        if member.size > MAX_MEMBER:
            raise ImageError(f"{path}: {member.name} has {member.size:,} bytes; at most {MAX_MEMBER:,} are read.")
        with _readable(path):
            return archive.extractfile(member).read()

    if not Path(path).is_file():  # a named pipe would be waited for
        raise ImageError(f"{path}: missing, corrupt or not a tar archive (not a file). {_ANEW}")
    with _readable(path), tarfile.open(path, "r:gz") as archive:
        for member in archive:
            if member.isreg():
                yield member.name, functools.partial(content, member)
        while archive.fileobj.read(2**20):  # gzip has the checksum of the images at its end, past what tar reads
            pass


@contextlib.contextmanager
def _readable(path: str | PathLike) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise ImageError(f"{path}: missing, corrupt or not a tar archive ({error}). {_ANEW}") from error


def _batch(path: str | PathLike, member: str, content: bytes) -> tuple[np.ndarray, list[int]]:
    """Images uint8 (n, 32, 32, 3) and labels (n) of one CIFAR-10 batch."""
    batch = _unpickled(path, member, content)
    pixels, labels = batch.get(b"data"), batch.get(b"labels")
    n = len(labels) if isinstance(labels, list) else -1
    sound = isinstance(pixels, _Array) and pixels.is_bytes((n, 3 * 32 * 32))
    if not sound or any(type(label) is not int or not 0 <= label < len(_CIFAR10) for label in labels):
        raise ImageError(f"{path}: {member} does not hold images of 3 x 32 x 32 bytes, each with a label. {_ANEW}")
    return np.frombuffer(pixels.data, np.uint8).reshape(n, 3, 32, 32).transpose(0, 2, 3, 1), labels


def _unpickled(path: str | PathLike, member: str, content: bytes) -> dict:
    try:
        found = _Unpickler(io.BytesIO(content), encoding="bytes").load()
    except ImageError as error:
        raise ImageError(f"{path}: {member} {error}") from None
    except Exception as error:  # hostile bytes can make an unpickler raise anything
        raise ImageError(f"{path}: {member} is no pickle of CIFAR-10 ({error}). {_ANEW}") from error
    if not isinstance(found, dict):
        raise ImageError(f"{path}: {member} is no pickle of CIFAR-10 (holds no dictionary). {_ANEW}")
    return found


class _Array:
    """Stands in for numpy.ndarray in a pickle: what numpy would be given, kept as it is, with nothing made of it."""

    def __init__(self, *_):
        self.shape = self.dtype = self.data = None

    def __setstate__(self, state):
        _, self.shape, self.dtype, self.transposed, self.data = state

    def is_bytes(self, shape: tuple[int, ...]) -> bool:
        kind = isinstance(self.dtype, _Dtype) and self.dtype.code in ("u1", b"u1") and not self.transposed
        return kind and self.shape == shape and isinstance(self.data, bytes) and len(self.data) == int(np.prod(shape))


class _Dtype:
    """Stands in for numpy.dtype in a pickle."""

    def __init__(self, code=None, *_):
        self.code = code

    def __setstate__(self, state):
        pass  # byte order and the like, which single bytes have none of


def _latin1(text: str, *_) -> bytes:
    """Stands in for _codecs.encode, by which Python 3 writes bytes into a pickle that Python 2 can read."""
    return text.encode("latin1")


class _Unpickler(pickle.Unpickler):
    """Reads numbers, text, lists and arrays of bytes; a pickle that names anything else is refused before it acts."""

    _STAND_INS = {  # noqa: RUF012
        ("numpy.core.multiarray", "_reconstruct"): _Array,
        ("numpy._core.multiarray", "_reconstruct"): _Array,
        ("numpy", "ndarray"): _Array,
        ("numpy", "dtype"): _Dtype,
        ("_codecs", "encode"): _latin1,
    }

    def find_class(self, module: str, name: str):
        if (module, name) not in self._STAND_INS:
            raise ImageError(
                f"is refused: it asks for {module}.{name}, which images don't need. Don't use this archive."
            )
        return self._STAND_INS[module, name]


def _published(dataset: str) -> tuple[str, str]:
    """Address and MD5 of a data set's archive, as torchvision has them."""
    from torchvision import datasets  # brings torch with it, which takes seconds to import

    if dataset == "cifar10":
        return datasets.CIFAR10.url, datasets.CIFAR10.tgz_md5
    return datasets.OxfordIIITPet._RESOURCES[0]


def _fetch(url: str, path: Path, description: str) -> None:
    request = urllib.request.Request(url, headers={"User-Agent": "zoofuse"})
    with urllib.request.urlopen(request, timeout=60) as response, open(path, "wb") as out:
        length = int(response.headers.get("Content-Length") or 0)
        with logs.bar(-(-length // 2**20) or None, "MiB", description) as bar:
            while block := response.read(2**20):
                out.write(block)
                bar.update()


def _md5(path: Path) -> str:
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, functools.partial(hashlib.md5, usedforsecurity=False)).hexdigest()

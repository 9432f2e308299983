"""The files of an exported model. One typed description of config.json validates it on writing and on reading.

Models often come from other people, so nothing in one is trusted: sizes are limited before anything is allocated, the
weights must match the configuration, and every error is a ModelError that names file, key and the expected value.
Imports no torch.
"""

import hashlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pydantic
from pydantic import Field
from pydantic_core import PydanticCustomError

from zoofuse.core import regular, text
from zoofuse.data.joins import COMBINE
from zoofuse.models.architectures import ARCHITECTURES, Architecture
from zoofuse.models.architectures import Layers as AnyArchitecture

FORMAT, FORMAT_VERSION = "zoofuse model", 1
WEIGHTS, CONFIG, ONNX, CARD = "model.safetensors", "config.json", "model.onnx", "README.md"
LAYERS = (
    "(convolution without padding, ReLU, max-pool 2) for each conv layer, flatten, linear heads, logistic function; "
    "score = product over heads"
)
NAMED = [name for name, architecture in ARCHITECTURES.items() if not architecture.conv_layers]
MAX_CONFIG = 1 << 20  # bytes of config.json; exported ones have about 2,000
MAX_HEADER = 1 << 16  # bytes of a safetensors file that are not weights; exported ones have about 500
MAX_PARAMETERS = 1 << 24
MAX_ACTIVATIONS = 1 << 26  # bytes per image; the published architecture needs 0.3 MB
MAX_MULTIPLY_ADDS = 10**9  # per image; the published architecture needs 600,000
_LFS = b"version https://git-lfs"
_AGAIN = "Export or fetch the model again."


class ModelError(ValueError):
    """An exported model that is missing, corrupt or not written by zoofuse; the message names file, key and remedy."""


def _showable(value: str) -> str:
    if text.visible(value) != value or "\n" in value or "\t" in value:
        raise PydanticCustomError("text", "holds control characters")
    return value


Text = Annotated[str, Field(min_length=1, max_length=500), pydantic.AfterValidator(_showable)]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0, lt=1 << 63)]
Interval = Annotated[list[Share | None], Field(min_length=3, max_length=3)]
Half = Annotated[list[Literal[0.5]], Field(min_length=3, max_length=3)]


class _Part(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class Labels(_Part):
    """What the two predictions mean."""

    yes: Text
    no: Text


class Layers(_Part):
    """The shapes of the CNN; see zoofuse.models.architectures."""

    layers: Literal[LAYERS]
    channels: Annotated[list[Annotated[int, Field(ge=1, le=4096)]], Field(min_length=2, max_length=17)]
    kernel_size: Annotated[int, Field(ge=1, le=64)]
    image_size: Annotated[int, Field(ge=1, le=1024)]
    features: Count
    parameters: Count

    @property
    def architecture(self) -> Architecture:
        return Architecture(tuple(self.channels), self.kernel_size, self.image_size)

    @pydantic.model_validator(mode="after")
    def _bounded(self):
        architecture = self.architecture
        if self.channels[0] != 3:
            raise PydanticCustomError("channels", "channels should begin with 3, for RGB images")
        if min(architecture.sizes) < 1:
            raise PydanticCustomError("size", "image_size is too small for this many layers")
        if self.features != architecture.features:
            raise PydanticCustomError("features", f"features should be {architecture.features} for these layers")
        if activations(architecture) > MAX_ACTIVATIONS or multiply_adds(architecture) > MAX_MULTIPLY_ADDS:
            raise PydanticCustomError(
                "large",
                f"channels, kernel_size and image_size should need at most {MAX_ACTIVATIONS >> 20} MiB and "
                f"{MAX_MULTIPLY_ADDS:,} multiply-adds per image",
            )
        return self


class NamedLayers(_Part):
    """The name of an architecture that is no chain of convolutions; see zoofuse.models.architectures."""

    name: Literal[tuple(NAMED)]
    layers: Text
    image_size: Count
    features: Count
    parameters: Count

    @property
    def architecture(self) -> AnyArchitecture:
        return ARCHITECTURES[self.name]

    @pydantic.model_validator(mode="after")
    def _known(self):
        for key, value in {"layers": "about", "image_size": "image_size", "features": "features"}.items():
            if getattr(self, key) != getattr(self.architecture, value):
                raise PydanticCustomError(key, f"{key} should be {getattr(self.architecture, value)}")
        return self


class Normalisation(_Part):
    """Preprocessing of pixels: (pixels / divide - mean) / std."""

    divide: Literal[255]
    mean: Half
    std: Half


class Joined(_Part):
    """How the concepts' probabilities become the score, see zoofuse.data.joins; by default they are multiplied."""

    concepts: Annotated[int, Field(ge=1, le=5)]
    clauses: Annotated[
        list[Annotated[list[Annotated[int, Field(ge=-5, le=5)]], Field(min_length=1, max_length=8)]],
        Field(min_length=1, max_length=5),
    ]
    combine: Literal[COMBINE]

    @pydantic.model_validator(mode="after")
    def _of_concepts(self):
        if not all(1 <= abs(number) <= self.concepts for clause in self.clauses for number in clause):
            raise PydanticCustomError("clauses", "clauses should name concepts by their numbers, from 1")
        return self


class Measured(_Part):
    """Scores on test images; each measure is [value, low, high]."""

    positive: Count
    negative: Count
    auroc: Interval
    balanced_accuracy: Interval


class Configuration(_Part):
    """config.json; `checksum` covers all other keys (older files have none)."""

    format: Literal[FORMAT]
    format_version: Literal[FORMAT_VERSION]
    zoofuse: Text
    concepts: Annotated[list[Text], Field(min_length=1, max_length=64)]
    labels: Labels
    architecture: Layers
    normalisation: Normalisation
    picture: Text
    fusion: Text
    method: Text
    domain: Text
    model: Count
    head: Literal["own", "probe"]
    supervision: Literal["concept labels", "few-shot"]
    threshold: Share
    seed: Count
    sources: Annotated[dict[Text, Digest], Field(max_length=100)]
    test: Measured | None = None
    join: Joined | None = None
    sha256: Digest
    checksum: Digest | None = None

    @pydantic.model_validator(mode="after")
    def _of_one_size(self):
        if self.join and self.join.concepts != len(self.concepts):
            raise PydanticCustomError("join", "join.concepts should be the number of concepts")
        parameters = sum(math.prod(shape) for shape in self.shapes.values())
        if parameters > MAX_PARAMETERS:
            raise PydanticCustomError("large", f"architecture should have at most {MAX_PARAMETERS:,} parameters")
        if self.architecture.parameters != parameters:
            raise PydanticCustomError(
                "parameters", f"architecture.parameters should be {parameters}, according to the other keys"
            )
        return self

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name -> shape of every tensor in model.safetensors."""
        layers, k = self.architecture, len(self.concepts)
        return layers.architecture.below | {"heads.weight": (k, layers.features), "heads.bias": (k,)}


class NamedConfiguration(Configuration):
    """config.json of a model whose architecture has a name."""

    architecture: NamedLayers


def activations(architecture: AnyArchitecture) -> int:
    """Upper bound of the bytes of one image's activations in all layers, float32."""
    if not architecture.conv_layers:
        return 4 * (architecture.kept + 3 * architecture.image_size**2)
    total = 3 * architecture.image_size**2
    for cin, cout, size in _convolved(architecture):
        total += (cout + cin * architecture.kernel_size**2) * size**2  # the output, and the input as columns (im2col)
    return 4 * total


def multiply_adds(architecture: Architecture) -> int:
    """Multiply-adds of all convolutions of a chain for one image."""
    return sum(cin * cout * (architecture.kernel_size * size) ** 2 for cin, cout, size in _convolved(architecture))


def _convolved(architecture: Architecture) -> list[tuple[int, int, int]]:
    """Input channels, output channels and output rows of each convolution."""
    sizes = [size - architecture.kernel_size + 1 for size in architecture.sizes[:-1]]
    return list(zip(architecture.channels, architecture.channels[1:], sizes, strict=False))


def content(config: Mapping) -> bytes:
    """The content of config.json, with its checksum.

    Args:
        config: all keys of `Configuration` except the checksum.

    Raises:
        ModelError: a key is missing or unknown, or `read` would refuse its value.
    """
    valid = _validated(config, CONFIG).model_dump(exclude_unset=True)
    return (json.dumps(valid | {"checksum": _checksum(valid)}, indent=2) + "\n").encode()


def read(path: str | os.PathLike) -> tuple[dict, dict[str, np.ndarray]]:
    """Read the configuration and the weights of an exported model.

    Args:
        path: the model's folder, or one of the files in it.

    Returns:
        config.json, and name -> float32 array for every tensor of model.safetensors.

    Raises:
        ModelError: the model is missing, corrupt or exceeds a limit.
    """
    folder = _folder(path)
    config = _configuration(folder / CONFIG)
    return config.model_dump(exclude_unset=True), _weights(folder / WEIGHTS, config)


def card(path: str | os.PathLike) -> str:
    """The model card, README.md, of the model that `read` has read; "" if it has none that can be read."""
    try:
        return regular.read_regular(_folder(path) / CARD, MAX_CONFIG).decode(errors="replace")
    except (OSError, regular.NotRegular):
        return ""


def _folder(path: str | os.PathLike) -> Path:
    try:
        name = os.fsdecode(os.fsencode(path))
    except TypeError:
        raise ModelError(f"A model's folder is a str or a Path, not {type(path).__name__}.") from None
    except UnicodeEncodeError:
        raise ModelError(f"{path!a}: not a valid file name.") from None
    if not name or "\0" in name:
        raise ModelError(f"'{text.printable(name)}': not a valid file name.")
    if name.startswith("~") and not os.path.lexists(name):
        name = os.path.expanduser(name)
    folder = Path(name)
    return folder.parent if folder.name in (WEIGHTS, CONFIG, ONNX, CARD) and not os.path.isdir(folder) else folder


def _bytes(path: Path, max_bytes: int) -> bytes:
    if not os.path.lexists(path):
        raise ModelError(f"{text.printable(path.parent)}: no model in this folder ({path.name} is missing). Name a "
                         f"folder that `snakemake models` wrote, such as {_example(path.parent)}.")  # fmt: skip
    try:
        data = regular.read_regular(path, max_bytes)
    except regular.NotRegular as error:
        raise ModelError(f"{text.printable(path)}: {error}. {_AGAIN}") from None
    if data.startswith(_LFS):
        raise ModelError(f"{text.printable(path)}: a Git LFS pointer, not the file. Run `git lfs pull` in its folder.")
    return data


def _example(folder: Path) -> str:
    """A model in a subfolder, for a path that names the fusion but not the method; else an example."""
    try:
        models = sorted(path.parent for path in folder.glob(f"*/{CONFIG}"))
    except OSError:
        models = []
    return text.printable(models[0]) if models else "results/models/black_cat/cyclegan"


def _configuration(path: Path) -> Configuration:
    data, shown = _bytes(path, MAX_CONFIG), text.printable(path)
    try:
        config = json.loads(data.decode("utf-8-sig"), object_pairs_hook=_once, parse_constant=_refused)
    except RecursionError:
        raise ModelError(f"{shown}: corrupt (nested too deeply). {_AGAIN}") from None
    except ValueError as error:
        raise ModelError(f"{shown}: corrupt ({text.visible(str(error))[:200]}). {_AGAIN}") from None
    version = (config.get("format"), config.get("format_version")) if isinstance(config, dict) else ()
    if version != (FORMAT, FORMAT_VERSION):
        raise ModelError(f"{shown}: not a {FORMAT!r} of version {FORMAT_VERSION}. Name another folder, or use the "
                         "version of zoofuse that wrote it.")  # fmt: skip
    valid = _validated(config, shown)
    if valid.checksum and valid.checksum != _checksum(config):
        raise ModelError(f"{shown}: corrupt or edited (checksum mismatch). {_AGAIN} If you edited it on purpose, "
                         "remove its key 'checksum'.")  # fmt: skip
    return valid


def _validated(config: Mapping, shown: str) -> Configuration:
    layers = config.get("architecture")
    kind = NamedConfiguration if isinstance(layers, Mapping) and "name" in layers else Configuration
    try:
        return kind.model_validate(dict(config))
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        key = ascii(".".join(map(str, first["loc"])))[1:-1][:100]
        value = _at(config, first["loc"])
        instead = "" if value is None or isinstance(value, Mapping | list) else f", not {ascii(value)[:60]}"
        if first["type"] == "missing":
            fault = f"{key} is missing"
        elif first["type"] == "extra_forbidden":
            fault = f"{key} is not a key of a model"
        else:
            fault = f"{key}: {first['msg'][:1].lower()}{first['msg'][1:]}{instead}".removeprefix(": ")
        raise ModelError(f"{shown}: {fault}. {_AGAIN}") from None


def _at(value, place: tuple):
    for key in place:
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def _weights(path: Path, config: Configuration) -> dict[str, np.ndarray]:
    from safetensors import deserialize

    shown, shapes = text.printable(path), config.shapes
    min_bytes = 8 + 4 * sum(math.prod(shape) for shape in shapes.values())
    data = _bytes(path, min_bytes + MAX_HEADER)
    if len(data) < min_bytes:
        raise ModelError(f"{shown}: truncated: {len(data):,} bytes, at least {min_bytes:,} are expected. {_AGAIN}")
    if hashlib.sha256(data).hexdigest() != config.sha256:
        raise ModelError(f"{shown}: does not belong to {CONFIG} (checksum mismatch). Fetch or export both again.")
    try:
        tensors = dict(deserialize(data))
    except Exception as error:  # safetensors raises many types for corrupt files
        raise ModelError(f"{shown}: not a safetensors file ({text.visible(str(error))[:200]}). {_AGAIN}") from None
    if missing := sorted(set(shapes) - set(tensors)):
        raise ModelError(f"{shown}: {missing[0]} is missing. {_AGAIN}")
    if extra := sorted(set(tensors) - set(shapes)):
        raise ModelError(f"{shown}: {text.printable(extra[0])[:100]} is not a tensor of this model. {_AGAIN}")
    arrays = {}
    for name, shape in shapes.items():
        tensor = tensors[name]
        if tensor["dtype"] != "F32" or tuple(tensor["shape"]) != shape:
            raise ModelError(f"{shown}: {name} is {tensor['dtype']} {list(tensor['shape'])}, expected F32 "
                             f"{list(shape)} as {CONFIG} describes it. {_AGAIN}")  # fmt: skip
        arrays[name] = np.frombuffer(tensor["data"], "<f4").reshape(shape).astype(np.float32)
        if not np.isfinite(arrays[name]).all():
            raise ModelError(f"{shown}: {name} contains NaN or Inf. {_AGAIN}")
    return arrays


def _checksum(config: Mapping) -> str:
    rest = {key: value for key, value in config.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _once(pairs: list[tuple[str, object]]) -> dict:
    unique = {}
    for key, value in pairs:
        if key in unique:
            raise ValueError(f"key {key[:60]!a} appears twice")
        unique[key] = value
    return unique


def _refused(constant: str):
    raise ValueError(f"{constant} is not a number")

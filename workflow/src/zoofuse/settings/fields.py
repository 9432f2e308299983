"""What settings are made of: bounds that many share, and how one is described."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from zoofuse.models.architectures import ARCHITECTURES

block = dataclass(frozen=True, kw_only=True, config={"extra": "forbid"})

Count = Annotated[int, Field(ge=1)]
Pair = Annotated[int, Field(ge=2)]
Whole = Annotated[int, Field(ge=0)]
Millions = Annotated[int, Field(ge=1, le=1_000_000)]
Units = Annotated[int, Field(ge=2, le=65536)]
Rate = Annotated[float, Field(gt=0, le=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Held = Annotated[float, Field(gt=0, le=0.5)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, le=4294967295)]
Text = Annotated[str, Field(min_length=1)]
Selectors = Annotated[list[Text], Field(min_length=1)]
Architecture = Literal[tuple(ARCHITECTURES)]
# Those of two conv layers, which one CycleGAN can translate together.
JOINT = tuple(name for name, entry in ARCHITECTURES.items() if len(entry.conv_layers) == 2)
Balance = Literal["balanced", "published"]
Choice = Literal["best", "first", "random"]  # of teachers
Schedule = Literal["constant", "cosine", "linear"]
Encoder = Literal["predictions", "parameters"]
Source = Literal["folder", "synthetic", "torchvision"]
Dataset = Literal["cifar10", "oxford_iiit_pet"]
Kind = Literal["zoo", "VanillaCNN", "ResNet8", "ResNet14", "ResNet20", "ResNet26", "ResNet32"]

NAME = {  # Python's $ also matches before a line break at the end
    "propertyNames": {"type": "string", "pattern": r"^[A-Za-z0-9][A-Za-z0-9_-]*$(?!\n)", "maxLength": 64}
}
ONCE = {"uniqueItems": True}  # of a list


def says(about: str, default=..., *, extra: dict | None = None, **bounds):
    """A setting with its description and default; ... where it must be written, None also where it may be missing.

    Args:
        about: a sentence for the table of settings.
        default: its default.
        extra: further keys of its JSON schema.
        bounds: as pydantic's Field takes them.
    """
    return Field(default, description=about, json_schema_extra=extra, **bounds)

"""Settings of images, concepts and fusions."""

from typing import Annotated, Literal

from pydantic import Field

from zoofuse.data.joins import COMBINE
from zoofuse.settings.fields import (
    ONCE,
    Architecture,
    Count,
    Dataset,
    Held,
    Millions,
    Selectors,
    Share,
    Source,
    Text,
    block,
    says,
)


@block
class Images:
    validation_share: Held = says("Share of each class held out of training, to measure every CNN of the zoo.", 0.1)
    validation_max: Count = says("At most this many validation images per class.", 250)
    unreadable: Literal["refuse", "skip"] = says(
        "What to do with an image that cannot be read; skipped ones are counted and named in the report.", "refuse"
    )
    duplicates: Literal["drop", "refuse"] = says(
        "What to do with exact copies (same pixels at 32x32). drop keeps one of a class, and none "
        "of an image that lies in both classes; both are counted in the report.",
        "drop",
    )
    leaks: Literal["refuse", "drop"] = says(
        "What to do with a test image that is also a training or validation image; drop takes it out of the test.",
        "refuse",
    )


@block
class Synthetic:
    images: int = says("Synthetic images per class of a concept (source synthetic).", 1200, ge=20, le=1_000_000)
    test_images: int = says("Synthetic test images per class of a fusion (source synthetic).", 80, ge=10, le=1_000_000)


@block
class Download:
    url: str | None = says("Address of the archive; null takes torchvision's.", None)
    md5: str | None = says("MD5 of the archive; null takes torchvision's.", None)


@block
class Downloads:
    """Where source torchvision fetches its archives, if not where torchvision does; a mirror or a file:// URL."""

    cifar10: Download = Download()
    oxford_iiit_pet: Download = Download()


# Concepts and fusions


@block
class Concept:
    zoo: Text = says(
        "An existing zoo under zoo_root instead of images to train on: an HDF5 with stacked "
        "parameters, a folder of .pt, .pth or .safetensors files, or a Ray Tune folder of trials.",
        None,
    )
    layers: dict[str, Text] = says(
        "Names of an existing zoo's layers where they differ, such as {conv1: net.0}.",
        None,
        extra={"propertyNames": {"enum": ["conv1", "conv2", "conv3", "fc1"]}},
    )
    concept_output: Annotated[int, Field(ge=0, le=1)] = says(
        "Which output of an existing zoo's linear layer stands for the concept; left out: what "
        "zoo.json of a zoo shared by zoofuse says, else 0, as in the published zoo.",
        None,
    )
    source: Source = says("Where the images come from.", "folder")
    dataset: Dataset = says("Which data set of torchvision (source torchvision only).", None)
    positive: Selectors = says(
        "Folders under images_root that show the concept; for synthetic and torchvision, words "
        'such as "black non-cat".',
        None,
    )
    negative: Selectors = says("Folders, or words, that do not show it.", None)
    models: Millions | None = says("CNNs in this concept's zoo; null trains 64, or takes all of an existing zoo.", None)
    architecture: Architecture | None = says(
        "The CNN of this concept's zoo; null takes zoo.architecture. Fusions of different ones leave out what compares "
        "weights.",
        None,
    )
    images_per_epoch: Annotated[int, Field(ge=2, le=1_000_000)] | None = says(
        "Training images each CNN draws per epoch, for this concept.", None
    )
    flip: bool = says("Mirror every second image drawn.", False)
    brightness: Share = says("Brightness times 1 plus or minus up to this.", 0)
    colour: Share = says("Each colour channel times 1 plus or minus up to this.", 0)


@block
class Test:
    source: Source = says("Where the images come from.", "folder")
    dataset: Dataset = says("Which data set of torchvision (source torchvision only).", None)
    positive: Selectors = says("Folders, or words, that show all concepts at once.")
    negative: Selectors = says("Folders, or words, that do not.")
    order: Literal["positives_first", "folders"] = says(
        "In which order the test images are clustered, which changes UMAP's numbers. folders: "
        "sorted by folder, then by file, as torchvision's ImageFolder does, which the published "
        "numbers were made with (source folder only).",
        "positives_first",
    )


@block
class Variant:
    method: str = says("The method that it varies.")
    label: Text = says("Its name in figures and in the report, by default its own.", None)


@block
class Fusion:
    concepts: list[str] = says(
        "Two to five concepts, in order: the conjunction is of all of them. Files name them by "
        "letter: the first is domain A (published: black), the second B (published: cat).",
        min_length=2,
        max_length=5,
        extra=ONCE,
    )
    expression: Text = says(
        "Instead of concepts: an expression over the configuration's concepts, such as black and not cat. Of a negated "
        "concept the positive and negative images change places; an expression with an or is computed from the "
        "concepts' predictions.",
        None,
    )
    combine: Literal[COMBINE] = says(
        "How the concepts' probabilities are joined: product takes them to be independent; minimum (with the maximum "
        "for or) and lukasiewicz are fuzzy.",
        "product",
    )
    generators: Text = says("Trained generators under zoo_root (HDF5) instead of training CycleGANs.", None)
    methods: list[str] = says(  # their names are filled in by config.schema
        "Ways to get CNNs for this fusion, each evaluated alike (the table of methods below); the "
        "figures look at the first. By default those that the table marks, less what an existing "
        "zoo can't be given to; of more than two concepts the parents of each.",
        None,
        min_length=1,
        extra=ONCE,
    )
    align: bool = says(
        "Bring the channels of all CNNs of all zoos into one order before their kernels are "
        "translated (weight matching); false is as published. A CNN's predictions stay the same.",
        False,
    )
    joint: bool = says(
        "Translate both conv layers of a CNN as one volume by one CycleGAN, as conv2 belongs to "
        "its own conv1; false, a CycleGAN for each layer, is as published.",
        False,
    )
    test: Test

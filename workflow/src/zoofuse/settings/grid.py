"""Settings of a grid of conjunctions."""

from typing import Literal

from zoofuse.settings.fields import ONCE, Count, Dataset, Millions, Pair, Share, Source, Text, Whole, block, says


@block
class Grid:
    """Attributes by objects, with pairs held out of everything that is trained (snakemake grid)."""

    source: Source = says("Where the images come from.", "synthetic")
    dataset: Dataset = says("Which data set of torchvision (source torchvision only).", None)
    attributes: list[Text] = says(
        "Colours: of synthetic images any of theirs, such as dark red; of other sources words that a "
        "rule gives each image (black, white, grey, brown, orange, yellow, green, blue, purple, red).",
        min_length=2,
        extra=ONCE,
    )
    objects: list[Text] = says(
        "Kinds of synthetic images, classes of a data set, or folders of these names under `under`.",
        min_length=2,
        extra=ONCE,
    )
    under: Text = says("The folder under images_root that holds a folder for each object (source folder only).", ".")
    colour_of: Literal["middle", "everywhere"] = says(
        "Which pixels decide an image's colour word: the middle, where the object is, or all of them.", "middle"
    )
    held_out: Whole = says(
        "Pairs that are drawn by the seed and of which no image is trained on; each attribute and object keeps half "
        "of its pairs.",
        8,
    )
    pairs: list[Text] = says(
        'The held-out pairs by name, such as "black cat", instead of drawing them; needed unless source is synthetic.',
        None,
        min_length=1,
        extra=ONCE,
    )
    seen: Whole = says("Other pairs that are measured too, for comparison.", 4)
    models: Pair = says("CNNs in the zoo of each attribute and of each object.", 16)
    images: Millions = says("Synthetic training images of each pair that is not held out.", 150)
    test_images: Millions = says("Synthetic test images of each pair.", 60)
    test_share: Share = says("Share of the images of a pair that is not held out that are for tests only.", 0.2)
    concept_images: Count = says("At most this many training images per class of a concept.", 1200)
    pair_images: Count = says("At most this many test images per class of a pair.", 120)
    methods: list[str] = says(  # their names are filled in by config.full_schema
        "Ways to get CNNs for each pair, and baselines; those that need translators or a NetSpace are left to fusions.",
        [
            "distil",
            "distil_weights",
            "direct",
            "direct_pair",
            "product",
            "product_logits",
            "ensemble",
            "ensemble_logits",
            "ensemble_softened",
            "ensemble_calibrated",
            "ensemble_minimum",
            "ensemble_palettes",
        ],
        min_length=1,
        extra=ONCE,
    )

"""Settings of fusions across architectures."""

from zoofuse.settings.fields import ONCE, Architecture, Count, Millions, Pair, Rate, block, says


@block
class Across:
    """A fusion from zoos of every two architectures (snakemake across)."""

    architectures: list[Architecture] = says(
        "Those of the zoos: each one of the first concept with each one of the second.",
        ["published", "resnet8", "vit"],
        min_length=2,
        extra=ONCE,
    )
    students: list[Architecture] = says(
        "Those of the distilled CNNs; each is compared with the same-architecture fusion, from two zoos like it.",
        ["published"],
        min_length=1,
        extra=ONCE,
    )
    seeds: Pair = says("So many zoos of each architecture, and students of each two; intervals are over them.", 5)
    models: Count = says("CNNs in each zoo.", 4)
    epochs: Count = says("Epochs per CNN of the zoos.", 10)
    images_per_epoch: Millions = says("Training images each CNN of the zoos draws per epoch.", 1000)
    learning_rate: Rate = says("Adam's learning rate for zoos, falling to 0 along a cosine.", 0.003)
    compared: Count = says("Test images whose features are compared, half of each class.", 120)
    neighbours: Count = says("Nearest neighbours that mutual nearest neighbours are counted among.", 10)

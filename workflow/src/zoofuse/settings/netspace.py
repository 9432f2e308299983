"""Settings of NetSpace."""

from typing import Literal

from zoofuse.settings.fields import (
    ONCE,
    Count,
    Encoder,
    Held,
    Kind,
    Millions,
    NotNegative,
    Pair,
    Rate,
    Share,
    Units,
    block,
    says,
)


@block
class Interpolation:
    pairs: int = says("Pairs of held-out CNNs, within each concept and between the two.", 8, ge=1, le=100_000)
    points: int = says("Points on the way between two CNNs.", 100, ge=2, le=100_000)


@block
class LatentOptimisation:
    starts: int = says(
        "Held-out CNNs whose codes are moved, and CNNs trained from scratch beside them.", 8, ge=1, le=100_000
    )
    steps: Count = says("Steps of either.", 100)
    batch: Pair = says("Images in a step, half of each class.", 64)
    learning_rate: Rate = says("Adam's learning rate on a code.", 0.01)
    scratch_rate: Rate = says("Adam's learning rate for the CNNs trained from scratch.", 0.01)
    teachers: Count = says("CNNs of the zoo, the best ones, whose mean logits are a goal.", 16)


@block
class Architectures:
    side: Literal["a", "b"] = says("The concept of the fusion that the networks are trained on.", "b")
    several: list[Kind] = says(
        "Architectures in one space. zoo is the zoo's CNN; ResNet with 8, 14, 20, 26 or 32 layers.",
        ["zoo", "VanillaCNN", "ResNet8", "ResNet14"],
        min_length=2,
        extra=ONCE,
    )
    unseen: list[Kind] = says(
        "Architectures in order; the space is trained on the first and the last and makes those between.",
        ["ResNet8", "ResNet14", "ResNet20"],
        min_length=3,
        extra=ONCE,
    )
    models: int = says("Networks of each architecture.", 32, ge=4, le=100_000)
    held_out: Held = says("Share of them that the space is not trained on, at least 2.", 0.25)
    training_steps: Count = says("Training steps of each network.", 200)
    batch: int = says("Images in a training step, half of each class.", 64, ge=2, le=1_000_000)
    training_rate: Rate = says("Adam's learning rate for them, falling to 0 as half a cosine.", 0.01)
    steps: Count = says("Training steps of each of the two spaces, each of one architecture by turns.", 1200)
    learning_rate: Rate = says("Adam's learning rate for the two spaces.", 0.002)
    # Deep networks without normalisation become degenerate by a few large steps (Pascanu et al. 2013).
    clip: NotNegative = says("Largest norm of a step's gradient; 0 for any.", 1)
    rise: Share = says("Share of the steps in which the learning rate rises.", 0.05)


@block
class Shapes:
    models: int = says("Chairs, tables and lamps, by turns, and a SIREN for each.", 480, ge=12, le=1_000_000)
    held_out: Held = says("Share of them that the space is not trained on, at least 2.", 0.1)
    hidden: Units = says("Units of each hidden layer of a SIREN; published 256.", 32)
    layers: int = says("Hidden layers of a SIREN; published 2.", 3, ge=1, le=100)
    training_steps: Count = says("Training steps of every SIREN; published 10000.", 1000)
    training_rate: Rate = says("Adam's learning rate for them, falling to 0 as half a cosine.", 0.002)
    points: Millions = says("Points in a step of theirs.", 256)
    pool: Pair = says("Points that a SIREN is trained on, half of them near its shape.", 8192)
    compared: Pair = says("Points that the space compares on, half of them near the shapes it is trained on.", 16384)
    probes: Count = says("Of these, anywhere in the cube, those that the encoder reads distances at.", 512)
    measured: int = says("Points that accuracies are measured at, on interpolation paths a quarter.", 4096, ge=4)
    steps: Count = says("Training steps of their space.", 5000)
    networks: int = says("SIRENs in a step of the space.", 16, ge=1, le=100_000)
    inputs: Millions = says("Points in a step of the space.", 256)
    learning_rate: Rate = says("Adam's learning rate for the space.", 0.001)
    loss: Literal["l1", "mse"] = says(
        "Mean absolute or mean squared difference of distances, for SIRENs and their space; published mse.", "l1"
    )
    mixed: Share = says("Share of a step's SIRENs that are decoded from a point between two codes.", 0.1)


@block
class Fuse:
    models: Count = says("CNNs that method netspace makes of a fusion, at most as many as the smaller zoo has.", 64)
    steps: Count = says("Steps in which each code is moved.", 60)
    batch: Count = says("Images of each concept in a step.", 64)
    learning_rate: Rate = says("Adam's learning rate on a code.", 0.01)


@block
class Netspace:
    """Networks embedded in a space of codes (snakemake netspace)."""

    encoder: Encoder = says(
        "What the encoder reads of a CNN. predictions: its logits on the probe images; parameters: "
        "the padded representation of its weights, by the published convolutions.",
        "predictions",
    )
    code: Units = says("Numbers in a code; published 4096.", 64)
    hidden: Units = says("Units of the encoder and of the decoder's layers.", 256)
    width: int = says("Width of a padded representation's rows; published 10000.", 256, ge=8, le=1_000_000)
    steps: Count = says("Training steps of the space of both zoos, each of one concept by turns.", 1500)
    networks: Pair = says("CNNs in a step; half as many are decoded between the two concepts.", 8)
    inputs: Pair = says("Images in a step; half as many for what is decoded between the two concepts.", 64)
    learning_rate: Rate = says("Adam's learning rate, falling to 0 as half a cosine.", 0.001)
    temperature: float = says("Softens the class probabilities that are compared.", 4, ge=0.01, le=1000)
    mixed: Share = says(
        "Share of a step's CNNs that are decoded from a point between two codes, to predict between the two.", 0.5
    )
    held_out: Held = says(
        "Share of each zoo's CNNs that the space is not trained on, at least 2; all measures are of these.", 0.125
    )
    compared: Pair = says(
        "Training images of each concept that predictions are compared on, or as many as there are.", 1000
    )
    probes: Count = says("Of these, the images of each concept that the encoder reads predictions for.", 128)
    interpolation: Interpolation = Interpolation()
    latent_optimisation: LatentOptimisation = LatentOptimisation()
    architectures: Architectures = Architectures()
    shapes: Shapes = Shapes()
    fuse: Fuse = Fuse()

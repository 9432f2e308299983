"""Settings of what is trained: zoos, CycleGANs, distilled CNNs."""

from typing import Annotated, Literal

from pydantic import Field

from zoofuse.settings.fields import (
    ONCE,
    Architecture,
    Balance,
    Choice,
    Count,
    Millions,
    Positive,
    Rate,
    Schedule,
    Share,
    Whole,
    block,
    says,
)


@block
class Zoo:
    architecture: Architecture = says(
        "The CNN. published: conv 5x5 3 to 6, pool, conv 5x5 6 to 16, pool, linear 400 to 2 "
        "(3,674 parameters); wide: 12 and 32 channels, linear 800 to 2 (12,146 parameters); deep: "
        "three conv 3x3 of 32, 64 and 128 channels, each with a pool, linear 512 to 2 (94,274 "
        "parameters); resnet8: a residual network of 8, 16 and 32 channels (18,834 parameters); vit: a vision "
        "transformer, patch 4, width 32, 2 blocks of 2 heads (20,834 parameters).",
        "published",
    )
    epochs: int = says("Epochs per CNN (report).", 20, ge=1, le=100_000)
    images_per_epoch: int = says(
        "Training images each CNN draws per epoch; a concept's own images_per_epoch goes first "
        "(code: 3000 for cat and 650 for black).",
        1000,
        ge=2,
        le=1_000_000,
    )
    batch_size: Count = says("Images per step (report); the last batch of an epoch may be shorter.", 128)
    learning_rate: Rate = says("Adam's learning rate (report).", 0.01)
    schedule: Schedule = says("Learning rate over the steps; cosine and linear end at zero.", "constant")
    balance: Balance = says(
        "balanced draws half of each epoch from each class; published draws from all images as they come.", "balanced"
    )
    checkpoint_every: Whole = says(
        "Also keep each CNN's weights after every so many epochs, under checkpoints/ in the zoo "
        "file; 0 keeps the final ones only.",
        0,
    )
    shard_size: Count | None = says(
        "CNNs per job and zoo file; null takes 128, doubled (to 8192 at most) until a zoo has at most 64 files, and "
        "8192 with device: cuda. Changing it, or the number of CNNs, never trains a CNN twice.",
        None,
    )
    backend: Literal["auto", "cpp", "cuda", "batched", "serial"] = says(
        "How CNNs are trained; all give the same numbers within rounding. auto takes the fastest "
        "there is and says which.",
        "auto",
    )
    device: Literal["auto", "cpu", "cuda"] = says(
        "Where zoos and CycleGANs are trained; cpu also stops jobs from asking for a gpu.", "auto"
    )
    threads: Count = says(
        "CPU cores one training job takes, if there are so many; zoo shards and students that are trained on the "
        "machine of the call take at most half of its cores.",
        8,
    )


@block
class CycleGAN:
    preset: Literal["report", "code", "best"] = says(
        "The published settings as the report gives them, or as the authors' code runs them; see "
        "workflow/src/zoofuse/methods/cyclegan/settings.py.",
        "report",
    )
    epochs: Millions | None = says("Epochs per layer instead of the preset's (report 200; code 1000 and 200).", None)
    batch_size: Count | None = says("Kernel sets per step instead of the preset's.", None)
    hidden: Annotated[int, Field(ge=1, le=4096)] | None = says(
        "Hidden channels of generators and discriminators instead of the preset's 64.", None
    )


@block
class Translation:
    """What variants of method cyclegan choose; the method itself is as published."""

    biases: Literal["zero", "parents"] = says(
        "Biases of a translated CNN: zero, as published, or those of the CNN that its kernels come from.", "zero"
    )
    parents: Literal["all", "best"] = says(
        "Which translated CNNs are kept: all, or those whose kernels come from the CNNs best on their own "
        "validation images.",
        "all",
    )
    best_of: Count = says("Of so many translated CNNs, parents: best keeps one.", 4)


@block
class Remedies:
    remedies: list[Literal["filtered_negatives", "colour_transfer"]] = says(
        "Against the conjunction's absence from the concepts' images. filtered_negatives: negatives of "
        "one concept that another zoo takes for its own are left out. colour_transfer: images take the "
        "colours of the other concepts'.",
        ["filtered_negatives", "colour_transfer"],
        extra=ONCE,
    )


@block
class Recipe(Remedies):
    """What CNNs with a head for each concept are trained on, and how: those of distil, and of direct beside them."""

    images: Millions = says(
        "Training images sampled for each concept, and as many again, with or without colour transfer, for each "
        "concept that is not a colour.",
        12000,
    )
    epochs: Count = says("Epochs per CNN.", 15)
    batch_size: Count = says("Images per step.", 128)
    learning_rate: Rate = says("Adam's learning rate, falling to 0 along a cosine.", 0.003)
    shift: Annotated[int, Field(ge=0, le=16)] = says("Pixels that an image is moved at most, each way.", 3)
    loans: Count = says(
        "How often validation images lend each other their colours to see how much of what a zoo knows goes over "
        "with them; the mean decides whether the concept is a colour.",
        20,
    )
    # More is asked of a second one, whose CNNs may have taken to colours only because the first one's colours are
    # missing among its images.
    colour_from: Share = says("The concept that depends most on colours is a colour if more than this goes over.", 0.5)
    second_colour_from: Share = says("Another concept is a colour too if more than this goes over.", 0.75)


@block
class Judged(Remedies):
    judges: Count = says(
        "CNNs for each concept, trained on its images, that tell which concept is a colour and which negatives "
        "mislead.",
        2,
    )


@block
class Teachers:
    choice: Choice = says(
        "Which CNNs of each zoo teach. best: those that did best on their own validation images, whose labels "
        "this uses; first: the first ones, for which no label is used; random: untrained CNNs.",
        "best",
    )


@block
class Distil(Teachers, Recipe):
    models: Millions = says("CNNs that each distilling method makes (cyclegan_distil of each domain).", 8)
    teachers: Count = says("CNNs of each zoo that teach.", 16)
    student: Architecture | None = says(
        "Architecture of the distilled CNNs; null takes the zoos', or zoo.architecture where these differ.", None
    )


@block
class Operator:
    """The learned operator of a grid: a trunk from other concepts' zoos, heads in closed form from the pair's own."""

    images: Millions = says("Images of the other concepts that all zoos are asked about.", 3000)
    epochs: Count = says("Epochs of the trunk.", 60)
    batch_size: Count = says("Images per step.", 64)
    learning_rate: Rate = says("Adam's learning rate, falling to 0 along a cosine.", 0.003)
    teachers: Count = says("CNNs of each zoo that are asked, the first ones.", 8)
    temperature: Positive = says("Softens the logits of the pair's own zoos.", 4)
    ridge: Positive = says("Ridge penalty of a head, whose images' weights sum to 1.", 0.0001)


@block
class DistilWeights(Teachers):
    images: Millions = says("Dead leaves, images of random shapes, that teachers and students see.", 10000)
    epochs: Count = says("Epochs per CNN.", 20)
    batch_size: Count = says("Images per step.", 128)
    learning_rate: Rate = says("Adam's learning rate, falling to 0 along a cosine.", 0.003)
    teachers: Count = says("CNNs of each zoo that teach.", 32)
    temperature: Positive = says("Softens the teachers' logits.", 4)
    shapes: Count = says("Shapes in an image of dead leaves.", 24)
    palettes: Whole = says(
        "Palettes in which each image is shown to the teachers of concepts that are not colours; their mean prediction "
        "is the target.",
        0,
    )

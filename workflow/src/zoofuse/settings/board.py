"""Settings of the leaderboard of weight-space methods."""

from typing import Annotated

from pydantic import Field

from zoofuse.settings.fields import NAME, ONCE, Count, Pair, Text, block, says


@block
class Submission:
    """A method that is a command of somebody else's (docs/leaderboard.md)."""

    command: Text = says(
        "Called as COMMAND ZOO COUNT OUTPUT: it reads the training networks' HDF5 file ZOO and writes COUNT networks "
        "to the HDF5 file OUTPUT."
    )
    given: Text = says("What it uses of ZOO and else, for its row: weights, images, concept labels.", "weights")


@block
class Leaderboard:
    """Methods that sample networks of a zoo's task, compared with noise (snakemake leaderboard)."""

    zoos: list[Text] = says(
        "Zoos to sample networks of: names under factory or concepts, with images to measure on.", [], extra=ONCE
    )
    generators: list[Text] = says(
        "Methods to compare, besides the controls; [] takes every one (docs/leaderboard.md).", [], extra=ONCE
    )
    fusions: list[Text] = says("Fusions whose methods have rows too.", [], extra=ONCE)
    seeds: Annotated[int, Field(ge=1, le=100)] = says(
        "Repetitions. Each has networks of its own, a share of the zoo's, and draws other random numbers.", 3
    )
    held_out: Pair = says("Networks that each repetition holds out; at most half of its own.", 32)
    networks: Pair = says("Networks that each method samples in each repetition.", 24, le=10_000)
    noise: list[Annotated[float, Field(gt=0, le=100)]] = says(
        "Sizes of the noise that methods are compared with, relative to the standard deviation of each tensor.",
        [0.05, 0.1, 0.2, 0.3, 0.45, 0.7, 1, 1.5],
        min_length=2,
        extra=ONCE,
    )
    steps: Count = says("Steps that autoencoder, diffusion, flow and netspace are trained for, per repetition.", 600)
    methods: dict[str, Submission] = says("Methods of others by name, each a command.", {}, extra=NAME)

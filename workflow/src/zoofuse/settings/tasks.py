"""Settings of many tasks from a few zoos."""

from pydantic import Field

from zoofuse.settings.fields import ONCE, Count, Millions, Pair, Rate, Source, Text, Whole, block, says


@block
class Tasks:
    """Binary tasks, each some of the classes against the rest (snakemake tasks)."""

    source: Source = says("Where the images come from.", "synthetic")
    dataset: Text = says("As factory.<name>.dataset (source torchvision only).", None)
    classes: list[Text] = says(
        "Synthetic kinds, classes of a data set, or folders of these names under `train` and under `test`; at least 4.",
        min_length=4,
        max_length=20,
        extra=ONCE,
    )
    train: Text = says(
        "The folder under images_root that holds a training folder for each class (source folder).", "train"
    )
    test: Text = says("The folder under images_root that holds a test folder for each class (source folder).", "test")
    images: Count = says("Synthetic images per class (source synthetic).", 300, ge=20, le=1_000_000)
    held_out: Count = says("At most so many images per class to validate on, and as many to test on.", 500)
    models: Pair = says("CNNs in the zoo of each class, which tell it from the rest.", 8)
    seen: Count = says("Other tasks that a CNN is trained on, drawn by the seed.", 60)
    unseen: Count = says("Tasks that are measured and that nothing was trained on, drawn by the seed.", 60)
    small: Whole = says("So many of the unseen tasks have two to five classes.", 20)
    retrained: Count = says("CNNs that are trained on each unseen task, as the upper bound; their median counts.", 3)
    epochs: Count = says("Epochs per CNN.", 10)
    learning_rate: Rate = says(
        "Adam's learning rate, falling to 0 along a cosine. With zoo.learning_rate, 0.01, a sixth of the CNNs trained "
        "on a task of CIFAR-10 are degenerate.",
        0.003,
    )
    images_per_epoch: Millions = says(
        "Training images each CNN draws per epoch, half of them of the task's classes.", 4000
    )
    hypernetwork: Whole = says("Steps of training the network that turns a task into weights; 0 leaves it out.", 1500)
    hidden: int = Field(64, ge=1, le=4096, description="Hidden units of the hypernetwork.")
    netspace: Whole = says(
        "Steps of training a NetSpace of the trained tasks' CNNs, with the settings of netspace; 0 leaves it out.", 1500
    )
    code_steps: Count = says("Steps in which a task's code is moved in it.", 150)
    block: Count = says("Tasks in one job.", 20)

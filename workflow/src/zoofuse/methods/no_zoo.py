"""What needs no zoo: CNNs of the student's size and recipe, trained on the concepts' labelled images alone.

They are the first thing to compare a distilled CNN with: `direct` sees the same images in the same order with the
same remedies as `distil`, and only the teachers' predictions are missing from its targets.
"""

from zoofuse.methods.registry import Job, method
from zoofuse.settings.training import Judged, Recipe


def _students(sizes, config, options) -> int:
    return config["distil"]["models"]


FACTS = {
    "role": "baseline",
    "supervision": "concept labels",
    "needs": ("images",),
    "effort": "training",
    "count": _students,
    "options": Judged,
    "shared": ("distil", Recipe),
}


@method(
    "direct",
    label="trained directly, no zoo",
    default=True,
    **FACTS,
    about="CNNs trained on the concepts' labelled images as distil's are, a head for each concept, without any zoo.",
)
def direct(job: Job) -> None:
    """Students of labels: an image's own label is the target of its concept's head, and other heads learn nothing."""
    import numpy as np

    sides = list(job.images)
    shown, train = _prepared(job)
    arrays = train(*shown, sides, np.arange(job.count, dtype=np.int32))
    _write(job, arrays)


@method(
    "direct_pair",
    label="two CNNs trained directly",
    zoos="chain of students",
    **FACTS,
    about="As direct, but a CNN for each concept; side by side they are one CNN of twice the channels.",
)
def direct_pair(job: Job) -> None:
    """A CNN for each concept from the images of that concept that `direct` is shown."""
    import numpy as np

    (inputs, targets), train = _prepared(job)
    alone = []
    for column, side in enumerate(job.images):
        rows, models = ~np.isnan(targets[:, column]), np.arange(job.count, dtype=np.int32)
        alone.append(train(inputs[rows], targets[rows], list(job.images), models, side))
    _write(job, side_by_side(alone, list(job.images)))


def side_by_side(cnns, sides) -> dict:
    """CNNs as one of all their channels that do not see each other's, each with its own concept's head only.

    Args:
        cnns: for each concept, conv layers and heads fc_a.weight (n, 2, features), fc_a.bias (n, 2), fc_b.*, ...
        sides: the concepts' domains, "A", "B" and so on.

    Returns:
        The same names; the first layer's filters one after another, later ones in blocks, other weights zero.
    """
    import numpy as np

    joined = {}
    for name in (name for name in cnns[0] if name.startswith("conv")):
        parts = [of[name] for of in cnns]
        if name.startswith("conv1.") or name.endswith(".bias"):  # all see the image
            joined[name] = np.concatenate(parts, 1)
            continue
        (n, out, inputs), kernel = parts[0].shape[:3], parts[0].shape[3:]
        blocks = np.zeros((n, len(parts), out, len(parts), inputs, *kernel), np.float32)
        for i, part in enumerate(parts):
            blocks[:, i, :, i] = part
        joined[name] = blocks.reshape(n, len(parts) * out, len(parts) * inputs, *kernel)
    for i, (of, side) in enumerate(zip(cnns, sides, strict=True)):
        head = f"fc_{side.lower()}"
        weight = of[f"{head}.weight"]
        wide = np.zeros((*weight.shape[:2], len(cnns), weight.shape[2]), np.float32)
        wide[:, :, i] = weight
        joined |= {f"{head}.weight": wide.reshape(*weight.shape[:2], -1), f"{head}.bias": of[f"{head}.bias"]}
    return joined


def _prepared(job: Job):
    """The images and targets of `distil.training_images`, labels only, and a function that trains CNNs on such."""
    import numpy as np

    from zoofuse.data import images
    from zoofuse.methods import distil
    from zoofuse.zoo import training

    settings = _recipe(job)
    how = {"architecture": job.architecture, "device": job.device, "threads": job.threads}

    def train(inputs, targets, sides, models, *name):
        # The name of distil's students: the same initial weights and the same order of images.
        stream = "/".join((job.fusion, "distil_parents", *name))
        return distil.students(inputs, targets, sides, models, settings, job.seed, stream, **how)

    data = {side: training.Data(**images.read_concept(path)) for side, path in job.images.items()}
    judges = {}
    for side, of in data.items():
        inputs, own = distil.plain_images(of, settings, job.seed, job.fusion, side)
        targets = np.stack([own, np.full_like(own, np.nan)], 1)
        judge = train(inputs, targets, ["A", "B"], np.arange(job.options["judges"], dtype=np.int32), side, "judge")
        head = {name.replace("fc_a", "fc1"): values for name, values in judge.items() if not name.startswith("fc_b")}
        judges[side] = head
    return distil.training_images(judges, data, settings, job.seed, job.fusion, teachers={}), train


def _recipe(job: Job) -> Recipe:
    return Recipe(**{name: value for name, value in job.options.items() if name != "judges"})


def _write(job: Job, arrays) -> None:
    from dataclasses import asdict

    import numpy as np

    from zoofuse.native import build

    arrays |= {"model": np.arange(job.count, dtype=np.int32), "domain": np.repeat(["-"], job.count)}
    job.write(arrays, instruction_set=build.instruction_set(), settings=asdict(_recipe(job)))

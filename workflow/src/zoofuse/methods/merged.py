"""CNNs of two zoos merged as the leaderboard merges those of one (methods/generators/merging.py), and their controls.

The CNNs of equal index in both zoos are merged, with a head for each concept. Statistics, where a method needs them,
are taken on dead leaves, so that nothing but weights is used.
"""

from collections.abc import Mapping
from dataclasses import replace

from zoofuse.methods.generators import registry as generators
from zoofuse.methods.registry import Job, method

MERGED = {"rebasin": "rebasin", "rebasin_repair": "repair"} | {
    name: name for name in ("soup", "arithmetic", "ties", "regmean", "fisher", "zipit")
}
"""Method -> the leaderboard's."""


def _count(sizes: Mapping[str, int], config: Mapping, options: Mapping) -> int:
    """As many as are evaluated, as some methods take a second for each."""
    smallest = min(sizes.values())
    return min(smallest, config["evaluation"]["models"] or smallest)


def _merged(name: str, of: str) -> None:
    entry = generators.known()[of]

    @method(
        name,
        label=entry.label,
        role="generated",
        supervision="concept labels" if "accuracy" in entry.given else "none",
        needs=("zoos",),
        concepts=2,
        count=_count,
        in_grids=False,
        about=f"Two zoos' CNNs, merged as the leaderboard's {of} does.",
        cites=entry.cites,
    )
    def merged(job: Job) -> None:
        _write(job, of)


for _name, _of in MERGED.items():
    _merged(_name, _of)


@method(
    "merged_noise",
    label="parents plus noise, sized by Git Re-Basin",
    role="baseline",
    needs=("zoos", "method:rebasin"),
    concepts=2,
    count=_count,
    in_grids=False,
    about="The first concept's CNNs plus Gaussian noise as large as rebasin's change of each layer, with its heads.",
)
def merged_noise(job: Job) -> None:
    import numpy as np

    from zoofuse.core import files, rng
    from zoofuse.zoo import zoo

    arrays = files.read(job.made["rebasin"], "zoo")
    parents = zoo.read(next(iter(job.zoos.values())))
    for name in [name for name in arrays if name.startswith("conv")]:
        start = parents[name][: len(arrays[name])]
        axes = tuple(range(1, start.ndim))
        size = np.sqrt(np.mean((arrays[name] - start) ** 2, axis=axes, keepdims=True))
        arrays[name] = start + size * rng.normal(start.shape, job.seed, job.fusion, "merged_noise", name)
    job.write(arrays)


@method(
    "merged_matched",
    label="filters matched to Git Re-Basin",
    role="baseline",
    needs=("method:rebasin",),
    concepts=2,
    count=_count,
    in_grids=False,
    about="Filters drawn with mean and covariance of rebasin's.",
)
def merged_matched(job: Job) -> None:
    from zoofuse.methods import generate

    generate.matched(job.made["rebasin"], job.seed, job.fusion, job.output)


def _write(job: Job, of: str) -> None:
    import numpy as np

    from zoofuse.methods import distil
    from zoofuse.methods.generators import alignment, merging
    from zoofuse.models import cnn
    from zoofuse.models.network import chain
    from zoofuse.zoo import zoo

    network = replace(chain(cnn.ARCHITECTURES[job.architecture]), classes=4)
    parents = [zoo.read(paths) for paths in job.zoos.values()]
    entry, weights, accuracy = generators.known()[of], [], []
    for task, cnns in enumerate(parents):
        arrays = {name: cnns[name][: job.count] for name in network.shapes}
        for name in ("fc1.weight", "fc1.bias"):
            both = np.zeros((job.count, *network.shapes[name]), np.float32)
            both[:, 2 * task : 2 * task + 2] = 2 * arrays[name]
            arrays[name] = both
        weights.append(alignment.flatten(network, arrays))
        labelled = "accuracy" in entry.given
        accuracy.append(zoo.validation(cnns)[: job.count] if labelled else np.zeros(job.count))
    images = distil.leaves(merging.IMAGES, job.seed, job.fusion, "merged")
    given = generators.Given(
        network,
        np.concatenate(weights),
        np.concatenate(accuracy),
        images,
        np.zeros(len(images), np.uint8),
        np.empty((0, network.parameters), np.float32),
        job.count,
        0,
        (job.seed, job.fusion, of, 0),
        tasks=2,
    )
    made = alignment.unflatten(network, entry.make(given))
    for kind in ("weight", "bias"):
        heads = made.pop(f"fc1.{kind}")
        made |= {f"fc_a.{kind}": heads[:, :2], f"fc_b.{kind}": heads[:, 2:]}
    made |= {"model": parents[0]["model"][: job.count], "domain": np.repeat(["-"], job.count)}
    job.write(made)

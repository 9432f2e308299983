"""What the rows of a fusion's tables come from: every file of a run whose code the report compares."""

from typing import TYPE_CHECKING

from zoofuse.methods import registry

if TYPE_CHECKING:
    from zoofuse.workflow.run import Run


def sources(run: "Run", fusion: str) -> dict[str, list[str]]:
    """Method, baseline or foreign classifier -> the files that its rows come from, each once.

    Args:
        run: the run.
        fusion: one of its fusions.
    """
    test = f"results/test_images/{fusion}.h5"
    rows = {}
    for method in run.methods(fusion):
        predicted = [*run.evaluated(fusion, [method]), *run.zero_shot(fusion, [method])]
        rows[method] = [test, *_made_from(run, fusion, method), *predicted]
    zoos = [path for side in run.by_side(fusion) for path in run.zoo_of(fusion, side)]
    of_baselines = [f"results/{folder}/{fusion}/baselines.h5" for folder in ("evaluation", "zero_shot")]
    for name, entry in registry.known({}).items():
        if not entry.makes_cnns:
            rows[name] = [test, *([] if entry.images_only else _with_earlier(run, fusion, zoos)), *of_baselines]
    rows |= {name: [test, f"results/foreign/{fusion}/{name}.h5"] for name in run.foreign(fusion)}
    return {name: list(dict.fromkeys(paths)) for name, paths in rows.items()}


def _made_from(run: "Run", fusion: str, method: str) -> list[str]:
    """A method's CNNs and what they come from."""
    entry, paths = run.entry(method), []
    for need in entry.needs:
        if need.startswith("method:"):
            paths += _made_from(run, fusion, need.removeprefix("method:"))
    if "space" in entry.needs:
        inputs = run.netspace.inputs(fusion)
        paths += [path for files in inputs.values() for path in files]
        paths += [f"results/netspace/{fusion}/{name}.h5" for name in ("predictions", "space")]
    paths += [path for files in run.method_inputs(fusion, method).values() for path in files]
    return [*_with_earlier(run, fusion, paths), f"results/generated/{fusion}/{method}.h5"]


def _with_earlier(run: "Run", fusion: str, paths: list[str]) -> list[str]:
    """Some files, after the zoos that aligned ones come from and the images that zoos were trained on."""
    aligned = [path for side in run.by_side(fusion) if f"results/aligned/{fusion}/{side}.h5" in paths
               for path in run.unaligned_zoo(fusion, side)]  # fmt: skip
    paths = [*aligned, *paths]
    trained = [name for name in run.trained if any(path.startswith(f"results/zoo/{name}/") for path in paths)]
    return [*(f"results/images/{name}.h5" for name in trained), *paths]

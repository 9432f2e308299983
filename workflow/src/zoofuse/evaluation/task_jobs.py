"""What rules call to measure many tasks."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from zoofuse.core import csv_files, devices, files, logs
from zoofuse.data import classes as class_images
from zoofuse.data import tasks as task_sets
from zoofuse.evaluation import task_tables, task_ways
from zoofuse.methods import hypernetwork as hypernetworks
from zoofuse.models import cnn
from zoofuse.zoo import training
from zoofuse.zoo import zoo as zoo_files

Say = Callable[[str], None]


def images(
    inputs: Mapping, source: Mapping, tasks: str, images_root: str, seed: int, output: Path, threads: int, say: Say
) -> None:
    """Write the images of a set of tasks, as those of a factory zoo; arguments as of `data.classes.prepare`."""
    class_images.prepare(inputs, source, tasks, images_root, seed, output, threads, say, block="tasks")


def networks(
    images: Path,
    plan: Mapping,
    part: Sequence[int],
    models: Sequence[int],
    recipe: Mapping,
    seed: int,
    tasks: str,
    output: Path,
    device: str,
    threads: int,
) -> None:
    """Train the CNNs of some of the trained tasks.

    Args:
        images: of `images`.
        plan: of `data.tasks.Plan`.
        part: [start, stop) of the trained tasks.
        models: CNNs of each of these.
        recipe: settings of training.
        seed, tasks: what random numbers depend on.
        output: a zoo file; `task` (n,) is each CNN's place among the trained tasks, `seconds` (n,) what it took.
        device, threads: to train on.
    """
    of, data = task_sets.Plan.read(plan), _data(images)
    how = {"device": devices.choose_device(device), "threads": threads}
    arrays, about = [], {"task": [], "model": [], "seconds": []}
    with logs.bar(sum(models), "CNNs", f"{tasks} {part[0]}-{part[1] - 1}") as bar:
        for place, n in zip(range(*part), models, strict=True):
            task, start = of.trained[place], time.perf_counter()
            name = f"tasks/{tasks}/{of.name(task)}"
            arrays.append(task_ways.train_task(data, task, n, training.Settings(**recipe), seed, name, **how))
            about["seconds"] += [(time.perf_counter() - start) / n] * n
            about["task"] += [place] * n
            about["model"] += range(n)
            bar.update(n)
    joined = {name: np.concatenate([each[name] for each in arrays]) for name in arrays[0]}
    joined |= {name: np.asarray(values, float if name == "seconds" else np.int32) for name, values in about.items()}
    made = {
        "plan": dict(plan),
        "settings": dict(recipe),
        "seed": seed,
        "sources": {"images": files.fingerprint(images)},
    }
    files.write(output, "zoo", joined, concept=tasks, **made)


def predictions(
    images: Path,
    networks: Sequence[Path],
    plan: Mapping,
    recipe: Mapping,
    seed: int,
    tasks: str,
    output: Path,
    device: str,
    threads: int,
    say: Say = print,
) -> None:
    """Write what the zoos, and one CNN of all classes, predict, and which rule does best on the seen tasks.

    Args:
        images, networks: of `images` and `networks`.
        plan, recipe, seed, tasks, device, threads: as of `networks`.
        output: kind "task_predictions": `{split}/zoo`, `{split}/single` and `{split}/one_network`, float32 (k, n) log
            odds, for each split.
        say: takes a line.
    """
    torch.set_num_threads(threads)
    of, data = task_sets.Plan.read(plan), _data(images)
    zoo = zoo_files.read(networks)
    arrays, k = {}, len(of.classes)
    for split in task_ways.SPLITS:
        parts = []
        for place in range(k):
            rows = zoo["task"] == place
            parts.append(task_ways.log_odds({n: v[rows] for n, v in zoo.items() if "." in n}, data[split].images))
        arrays[f"{split}/zoo"] = np.stack([values.mean(0) for values in parts]).astype(np.float32)
        arrays[f"{split}/single"] = np.stack([values[0] for values in parts]).astype(np.float32)
    rule = task_ways.choose_rule(of, arrays["validation/zoo"], data["validation"].classes)
    say(f"{tasks}: on validation images of {len(of.seen)} seen tasks, rule {rule!r} does best; students learn it.")
    start = time.perf_counter()
    one = _one_network(data, k, recipe, seed, tasks, device, threads)
    seconds = {"one_network": time.perf_counter() - start}
    for split in task_ways.SPLITS:
        with torch.inference_mode():
            tensors = {name: torch.from_numpy(values) for name, values in one.items()}
            parts = [
                cnn.logits(tensors, cnn.normalise(part))[0] for part in torch.from_numpy(data[split].images).split(512)
            ]
        arrays[f"{split}/one_network"] = torch.cat(parts).numpy().T.copy()
    single = zoo["task"] < k
    seconds["zoo"] = float(zoo["seconds"][single].sum())
    seconds["single"] = float(zoo["seconds"][single & (zoo["model"] == 0)].sum())
    seconds["networks"] = float(zoo["seconds"][zoo["model"] == 0].sum())
    made = {"rule": rule, "seconds": seconds, "plan": dict(plan), "settings": dict(recipe), "seed": seed}
    files.write(output, "task_predictions", arrays, **made)


def hypernetwork(
    images: Path,
    plan: Mapping,
    chosen: Mapping,
    architecture: str,
    seed: int,
    tasks: str,
    output: Path,
    threads: int,
) -> None:
    """Train the hypernetwork on the tasks of single classes and the seen ones, and write CNNs for all measured tasks.

    Args:
        images, plan, seed, tasks, threads: as of `networks`.
        chosen: `hidden` and `steps` of `hypernetwork.train`.
        architecture: the same.
        output: a zoo file.
    """
    torch.set_num_threads(threads)
    of, data = task_sets.Plan.read(plan), _data(images)["training"]
    trained, measured = (
        np.stack([task_sets.indicator(task, len(of.classes)) for task in among]) for among in (of.trained, of.measured)
    )
    start = time.perf_counter()
    with logs.bar(chosen["steps"], "steps", f"{tasks} hypernetwork") as bar:
        how = {"architecture": architecture, "seed": seed} | dict(chosen)
        network = hypernetworks.train(
            data.images, data.classes, trained, name=f"tasks/{tasks}", progress=bar.update, **how
        )
    arrays = hypernetworks.weights(network, measured) | {"model": np.arange(len(measured), dtype=np.int32)}
    files.write(
        output, "zoo", arrays, concept=tasks, seconds=time.perf_counter() - start, plan=dict(plan), settings=how
    )


def rows(
    images: Path,
    networks: Sequence[Path],
    shared: Path,
    generated: Sequence[Path],
    plan: Mapping,
    part: Sequence[int],
    retrained: int,
    recipe: Mapping,
    seed: int,
    tasks: str,
    output: Path,
    device: str,
    threads: int,
) -> None:
    """Measure some tasks in every way.

    Args:
        images, networks, shared: the files of `images`, `networks` and `predictions`.
        generated: the files of `hypernetwork` and of `netspace.tasks`, named for their ways.
        part: [start, stop) of the measured tasks.
        retrained: CNNs that are trained on each unseen task.
        plan, recipe, seed, tasks, device, threads: as of `networks`.
        output: a table with the columns of `task_tables.COLUMNS`.
    """
    torch.set_num_threads(threads)
    of, zoo = task_sets.Plan.read(plan), zoo_files.read(networks)
    predicted = files.read(shared, "task_predictions")
    about = files.attributes(shared, "task_predictions")
    first = {name: values[zoo["model"] == 0] for name, values in zoo.items() if "." in name}
    seconds, made, each = dict(about["seconds"]), {}, {}
    for path in generated:
        way, attributes = path.stem, files.attributes(path, "zoo")
        made[way] = {name: values for name, values in files.read(path, "zoo").items() if "." in name}
        seconds[way], each[way] = attributes["seconds"], attributes.get("task_seconds", 0.0)
    predicted_by = (
        {split: predicted[f"{split}/{kind}"] for split in task_ways.SPLITS} for kind in ("zoo", "single", "one_network")
    )
    given = task_ways.Shared(of, _data(images), *predicted_by, about["rule"], first, made, seconds, each)
    how = {"device": devices.choose_device(device), "threads": threads}
    table = []
    with logs.bar(part[1] - part[0], "tasks", f"measuring {tasks} {part[0]}-{part[1] - 1}") as bar:
        for task in of.measured[slice(*part)]:
            name = f"tasks/{tasks}/{of.name(task)}"
            table += task_ways.measure(task, given, training.Settings(**recipe), seed, retrained, name, **how)
            bar.update()
    csv_files.write(output, pd.DataFrame(table).assign(tasks=tasks)[[*task_tables.COLUMNS]])


def _data(path: Path) -> dict[str, task_ways.Split]:
    arrays, _ = class_images.read(path)
    prefixes = dict(zip(task_ways.SPLITS, ("", "validation_", "test_"), strict=True))
    return {
        split: task_ways.Split(arrays[f"{prefix}images"], arrays[f"{prefix}labels"])
        for split, prefix in prefixes.items()
    }


def _one_network(data, k: int, recipe: Mapping, seed: int, tasks: str, device: str, threads: int) -> dict:
    """One CNN with a logistic output for each class, trained as long as a zoo's CNN: the simplest alternative."""
    classes = data["training"].classes
    targets = (classes[:, None] == np.arange(k)).astype(np.float32)
    settings = asdict(training.Settings(**recipe)) | {"balance": "published"}
    settings["images_per_epoch"] = min(settings["images_per_epoch"], len(classes))
    labels, pixels = np.zeros(len(classes), np.uint8), data["training"].images
    given = training.Data(pixels, labels, pixels[:0], labels[:0], targets)
    how = {"device": devices.choose_device(device), "threads": threads}
    return training.train(given, training.Settings(**settings), seed, f"tasks/{tasks}/one", np.arange(1), **how).weights

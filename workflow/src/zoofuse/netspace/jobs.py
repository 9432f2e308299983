"""What rules call to train NetSpace's spaces, and to write its tables, figures and report.

`cnns` is what `of_zoos.concepts` takes, `state` the file of an unfinished training run, which is
deleted when the output is written, and `device` the setting `zoo.device`.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from zoofuse.core import csv_files, devices, files, logs, rng
from zoofuse.data import images as of_concepts
from zoofuse.models import cnn
from zoofuse.netspace import architectures, experiments, shape_experiments, shapes, spaces
from zoofuse.netspace import cnns as of_zoos
from zoofuse.netspace.figures import FIGURES
from zoofuse.report import report, run_facts
from zoofuse.settings.netspace import Fuse, Interpolation, LatentOptimisation, Shapes
from zoofuse.zoo import training
from zoofuse.zoo import zoo as of_shards

Say = Callable[[str], None]


def _on(device: str, threads: int) -> str:
    torch.set_num_threads(threads)
    return devices.choose_device(device)


def _write(rows: list, arrays: Mapping, setting: str, table: Path, output: Path) -> None:
    """Write an experiment's table and the arrays behind it."""
    csv_files.write(table, experiments.table(rows))
    files.write(output, "netspace results", arrays, setting=setting)


def write_predictions(
    cnns: Mapping, names: Sequence[str], output: Path, threads: int, device: str, say: Say = print
) -> None:
    """Write what every CNN of both zoos predicts for the images that a space compares on."""
    concepts = of_zoos.concepts(**cnns, device=_on(device, threads))
    of_zoos.write_predictions(output, concepts)
    for name, concept in zip(names, concepts.values(), strict=True):
        say(f"{name}: {len(concept.trained)} CNNs to train the space on, {len(concept.held_out)} held out.")


def embed(
    cnns: Mapping,
    predictions: Path,
    settings: Mapping,
    seed: int,
    state: str,
    output: Path,
    threads: int,
    device: str,
    say: Say = print,
) -> None:
    """Train the space of both zoos' CNNs."""
    on = _on(device, threads)
    chosen = spaces.Settings(**settings)
    concepts = of_zoos.concepts(**cnns, predictions=predictions, device=on)
    with logs.steps(chosen.steps, "NetSpace") as progress:
        space = of_zoos.embed(concepts, chosen, seed, Path(state), device=on, progress=progress)
    say(f"Loss over the last tenth of the steps: {space.loss[-len(space.loss) // 10 :].mean():.3f}.")
    spaces.write(output, space, seed=seed, sources=[files.fingerprint(predictions)])
    Path(state).unlink(missing_ok=True)


def experiment(
    cnns: Mapping,
    predictions: Path,
    space: Path,
    names: Sequence[str],
    setting: str,
    seed: int,
    chosen: Mapping,
    table: Path,
    arrays: Path,
    threads: int,
    device: str,
) -> None:
    """Run an experiment on the space of both zoos."""
    opened, concepts = of_zoos.opened(space, predictions, _on(device, threads), **cnns)
    by_side = dict(zip("ab", names, strict=True))
    match setting:
        case "one_architecture":
            results = experiments.one_architecture(opened, concepts, by_side, seed)
        case "interpolation":
            results = experiments.interpolation(opened, concepts, by_side, Interpolation(**chosen))
        case "latent_optimisation":
            results = experiments.latent_optimisation(opened, concepts, by_side, seed, LatentOptimisation(**chosen))
    _write(*results, setting, table, arrays)


def fuse(
    cnns: Mapping, predictions: Path, space: Path, seed: int, chosen: Mapping, output: Path, threads: int, device: str
) -> None:
    """Generate CNNs for the conjunction: move latent codes until the decoded CNN predicts both concepts."""
    opened, concepts = of_zoos.opened(space, predictions, _on(device, threads), **cnns)
    arrays = of_zoos.fuse(opened, concepts, seed, Fuse(**chosen))
    count = len(arrays["conv1.bias"])
    arrays |= {"model": np.arange(count, dtype=np.int32), "domain": np.repeat(["-"], count)}
    sources = [files.fingerprint(space), files.fingerprint(predictions)]
    files.write(output, "zoo", arrays, method="netspace", seed=seed, sources=sources)


def networks(
    images: Path,
    architecture: str,
    models: int,
    batch: int,
    steps: int,
    learning_rate: float,
    seed: int,
    output: Path,
    threads: int,
    device: str,
    say: Say = print,
) -> None:
    """Train networks of one architecture on one concept."""
    on = _on(device, threads)
    data, named = training.Data(**of_concepts.read_concept(images)), architectures.named(architecture)
    how = {"steps": steps, "batch": batch, "learning_rate": learning_rate}
    weights = architectures.train(named, data, models, seed, **how, device=on)
    logits = of_zoos.predictions(named.network, weights, data.validation_images)
    accuracy = of_zoos.balanced_accuracy(logits, data.validation_labels)
    arrays = {name: values.cpu().numpy() for name, values in weights.items()}
    files.write(output, "networks", arrays, architecture=named.name, seed=seed, steps=steps)
    say(f"{named.name}: validation balanced accuracy {accuracy.min():.3f} to {accuracy.max():.3f}.")


def architecture_experiment(
    images: Path,
    zoo: Sequence[Path],
    networks: Sequence[Path],
    names: Sequence[str],
    seen: Sequence[str],
    setting: str,
    architecture: str,
    models: int,
    compared: int,
    probes: int,
    held_out: float,
    settings: Mapping,
    seed: int,
    state: str,
    table: Path,
    arrays: Path,
    threads: int,
    device: str,
) -> None:
    """Run an experiment on a space of several architectures; those not in `seen` are held out of its training."""
    on = _on(device, threads)
    data = training.Data(**of_concepts.read_concept(images))
    shown = data.images[rng.permutation(len(data.images), seed, "netspace", "architectures")[:compared]]
    kinds, trained_networks = {}, {path.stem: path for path in networks}
    for name in names:
        if name == "zoo":
            published = cnn.ARCHITECTURES[architecture]
            network = architectures.zoo_cnn(published)
            tensors = {key: v[:models] for key, v in of_shards.read(zoo, list(published.shapes)).items()}
        else:
            network = architectures.named(name).network
            tensors = files.read(trained_networks[name], "networks")
        weights = architectures.tensors(tensors, on)
        kinds[name] = architectures.members(name, network, weights, shown, probes, held_out, seed)
    chosen, unfinished = spaces.Settings(**settings), Path(state)
    trained, unseen = [kinds[name] for name in seen], [kinds[name] for name in names if name not in seen]
    with logs.steps(chosen.steps, setting) as progress:
        space = architectures.embed(
            trained, shown, chosen, seed, unfinished, unseen=[(kind.name, kind.network) for kind in unseen],
            device=on, progress=progress,
        )  # fmt: skip
    test = data.validation_images, data.validation_labels
    if unseen:
        results = experiments.unseen_architectures(space, trained, unseen, *test, seed)
    else:
        results = experiments.several_architectures(space, trained, *test)
    _write(*results, setting, table, arrays)
    unfinished.unlink(missing_ok=True)


def sirens(
    models: int, settings: Mapping, seed: int, state: str, output: Path, threads: int, device: str, say: Say = print
) -> None:
    """Train a SIREN for each shape of the family."""
    on = _on(device, threads)
    family = [shapes.shape(seed, i) for i in range(models)]
    chosen = Shapes(**settings)
    with logs.steps(chosen.training_steps, "SIRENs") as progress:
        weights = shapes.train(family, seed, Path(state), chosen, device=on, progress=progress)
    network = shapes.siren(chosen.hidden, chosen.layers)
    points = shapes.uniform_points(4096, seed, "shapes", "said")
    truth = np.stack([one.distance(points) for one in family])
    accuracy = shapes.accuracy(shapes.predictions(network, weights, points), truth)
    arrays = {name: values.cpu().numpy() for name, values in weights.items()}
    files.write(output, "networks", arrays, architecture="SIREN", seed=seed, settings=settings)
    say(f"Share of points within {shapes.TOLERANCE}: {accuracy.min():.3f} to {accuracy.max():.3f}.")
    Path(state).unlink(missing_ok=True)


def shape_experiment(
    networks: Path,
    measured: Mapping,
    settings: Mapping,
    paths: Mapping,
    seed: int,
    state: str,
    table: Path,
    arrays: Path,
    threads: int,
    device: str,
) -> None:
    """Run the experiment on a space of shapes."""
    on = _on(device, threads)
    trained = files.attributes(networks, "networks")["settings"]
    weights = {name: torch.from_numpy(values).to(on) for name, values in files.read(networks, "networks").items()}
    family = [shapes.shape(seed, i) for i in range(len(weights["layer0.bias"]))]
    network = shapes.siren(trained["hidden"], trained["layers"])
    concepts = shape_experiments.family(family, network, weights, Shapes(**measured), seed)
    chosen = spaces.Settings(**settings)
    with logs.steps(chosen.steps, "shapes") as progress:
        space = shape_experiments.embed(concepts, chosen, seed, Path(state), device=on, progress=progress)
    _write(*experiments.shapes(space, concepts, seed, Interpolation(**paths)), "shapes", table, arrays)
    Path(state).unlink(missing_ok=True)


def summary_table(tables: Sequence[Path], output: Path) -> None:
    """Write all experiments' tables as one; shapes belong to no fusion."""
    fusions = ["-" if path.stem == "shapes" else path.parent.name for path in tables]
    frames = [csv_files.read(path).assign(fusion=fusion) for path, fusion in zip(tables, fusions, strict=True)]
    csv_files.write(output, pd.concat(frames))


def figure(arrays: Path, setting: str, output: Path) -> None:
    """Plot one experiment."""
    FIGURES[setting](files.read(arrays, "netspace results"), output)


def write_report(table: Path, figures: Sequence[Path], config: Mapping, output: Path) -> None:
    """Write results/netspace/report.html."""
    results = output.parents[1]
    by_setting: dict[str, list[Path]] = {}  # one figure for each fusion
    for path in figures:
        by_setting.setdefault(path.stem, []).append(path)
    report.build(
        output,
        title="zoofuse: NetSpace",
        fusions=[],
        netspace=table,
        figures=by_setting,
        settings=config,
        environment=run_facts.versions(),
        times=run_facts.run_times(results / "benchmarks"),
        sizes=run_facts.folder_sizes(results),
    )

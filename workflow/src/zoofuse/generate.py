"""CNNs that nobody trained for the conjunction: one function for each method, from kernel banks to a zoo file."""

from pathlib import Path

import numpy as np

from zoofuse import cnn, cyclegan, files, kernels, zoo


def translate(banks: dict[str, Path], generators: dict[str, Path], output: Path) -> None:
    """The published method (`generatedCNN`), for the first n CNNs of both zoos, n the size of the smaller one.

    Domain A = G_B2A(kernels of B's CNN), domain B = G_A2B(kernels of A's CNN), each conv layer by its own CycleGAN;
    biases zero, no linear layer. A generated CNN has the index of the CNN that its kernels come from.
    """
    arrays: dict[str, np.ndarray] = {}
    for layer, path in banks.items():
        a, b = kernels.read(path)
        n = min(len(a), len(b))
        trained = cyclegan.read_generators(generators[layer])
        translated = [cyclegan.translate(trained["B2A"], b[:n]), cyclegan.translate(trained["A2B"], a[:n])]
        arrays[f"{layer}.weight"] = np.concatenate(translated)
        arrays[f"{layer}.bias"] = np.zeros(arrays[f"{layer}.weight"].shape[:2], np.float32)
        models = files.read(path, "kernels", ["model_A", "model_B"])
        arrays["model"] = np.concatenate([models["model_B"][:n], models["model_A"][:n]])
        arrays["domain"] = np.repeat(["A", "B"], n)
    sources = {layer: [files.fingerprint(banks[layer]), files.fingerprint(generators[layer])] for layer in banks}
    files.write(output, "zoo", arrays, method="cyclegan", sources=sources)


def random(n: int, architecture: str, seed: int, fusion: str, output: Path) -> None:
    """Control: n CNNs as PyTorch initialises them, never trained."""
    weights = cnn.initial_weights(cnn.ARCHITECTURES[architecture], seed, f"{fusion}/random", np.arange(n))
    arrays = {name: values for name, values in weights.items() if not name.startswith("fc")}
    arrays |= {"model": np.arange(n, dtype=np.int32), "domain": np.repeat(["-"], n)}
    files.write(output, "zoo", arrays, method="random", seed=seed)


def parent(zoo_files: list[Path], domain: str, output: Path) -> None:
    """Control: the CNNs of one concept's zoo as they are, biases and linear layer included."""
    arrays = zoo.read(zoo_files)
    arrays = {name: values for name, values in arrays.items() if "/" not in name}
    arrays["domain"] = np.repeat([domain], len(arrays["model"]))
    sources = [files.fingerprint(path) for path in zoo_files]
    files.write(output, "zoo", arrays, method=f"parent_{domain.lower()}", sources=sources)

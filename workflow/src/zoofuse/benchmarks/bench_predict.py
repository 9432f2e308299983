"""Images per second when scoring a folder, compared with plain PyTorch on the same files in one run.

Most of the time goes into decoding, so decoding alone is measured too: no model on the same threads could be faster.
"""

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import nn
from torchvision import transforms

from zoofuse.core import rng
from zoofuse.data import images, synthetic
from zoofuse.export import models, predict
from zoofuse.models import cnn

COLUMNS = ["image", "implementation", "threads", "images", "images_per_second", "spread", "ratio_to_loop"]
SIZES = {"32 x 32 PNG": (32, 32, 2000), "85 x 64 JPEG": (85, 64, 2000), "500 x 375 JPEG": (500, 375, 250)}
LOOP, LOADER, DECODING, OURS = "plain PyTorch loop", "PyTorch DataLoader", "decoding alone", "zoofuse"


def run(*, threads: int = 1, repetitions: int = 5, share: float = 1.0) -> pd.DataFrame:
    """Time every implementation on synthetic images of three sizes, in interleaved repetitions.

    Args:
        threads: of all implementations but the plain loop.
        repetitions: after a first one, not counted, that brings the files into memory.
        share: of the images to use.

    Returns:
        COLUMNS with medians and interquartile ranges; `ratio_to_loop` is the median of the ratios within a repetition.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    rows = []
    try:
        for kind, (width, height, n) in SIZES.items():
            with tempfile.TemporaryDirectory() as folder:
                paths = _drawn(Path(folder), kind, width, height, max(2, round(share * n)))
                seconds: dict[str, list[float]] = {}
                for repetition in range(repetitions + 1):
                    for name, (call, _) in _implementations(Path(folder), paths, threads).items():
                        took = _time(call)
                        seconds.setdefault(name, []).extend([took] if repetition else [])
                rates = {name: len(paths) / np.array(found) for name, found in seconds.items()}
                for name, (_, used) in _implementations(Path(folder), paths, threads).items():
                    low, median, high = np.quantile(rates[name], [0.25, 0.5, 0.75])
                    ratio = np.median(rates[name] / rates[LOOP])
                    rows.append([kind, name, used, len(paths), median, high - low, ratio])
    finally:
        torch.set_num_threads(before)
    return pd.DataFrame(rows, columns=COLUMNS)


def _drawn(folder: Path, kind: str, width: int, height: int, n: int) -> list[Path]:
    """Synthetic images, enlarged and with noise, because a smooth JPEG decodes faster than a real image."""
    paths = []
    for i, image in enumerate(synthetic.draw(["cat", "non-cat"], n, 1, "bench_predict")[0]):
        large = Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC)
        grain = 6 * rng.normal((height, width, 1), 1, "bench_predict", kind, i)
        path = folder / f"{i}.{'png' if kind.endswith('PNG') else 'jpg'}"
        Image.fromarray((np.asarray(large) + grain).clip(0, 255).astype(np.uint8)).save(path, quality=85)
        paths.append(path)
    return paths


def _implementations(folder: Path, paths: list[Path], threads: int) -> dict[str, tuple[Callable, int]]:
    weights = {name: torch.from_numpy(values[0]) for name, values in _weights().items()}
    model = models.Model(
        {name.replace("fc1", "heads"): values for name, values in weights.items()},
        {"architecture": {"image_size": 32}, "concepts": ["a", "b"], "threshold": 0.25},
    )
    plain = nn.Sequential(
        nn.Conv2d(3, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(400, 2), nn.Sigmoid(),
    )  # fmt: skip
    plain.load_state_dict(dict(zip(plain.state_dict(), weights.values(), strict=True)))
    names = [path.name for path in paths]
    return {
        LOOP: (lambda: [_one(plain, path) for path in paths], 1),
        LOADER: (lambda: _loaded(plain, paths, threads), threads),
        DECODING: (lambda: _decoded(paths, threads), threads),
        OURS: (lambda: list(predict.scored(model, folder, names, threads)), threads),
    }


def _weights() -> dict[str, np.ndarray]:
    return cnn.initial_weights(cnn.ARCHITECTURES["published"], 1, "bench_predict", np.arange(1))


_TRANSFORM = transforms.Compose(
    [transforms.Resize((32, 32)), transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.5] * 3)]
)


@torch.no_grad()
def _one(model: nn.Module, path: Path) -> float:
    """The plain loop: open, transform, predict."""
    return float(model(_TRANSFORM(Image.open(path).convert("RGB"))[None]).prod(1))


class _Files(torch.utils.data.Dataset):
    def __init__(self, paths: list[Path]):
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> torch.Tensor:
        return _TRANSFORM(Image.open(self.paths[i]).convert("RGB"))


@torch.no_grad()
def _loaded(model: nn.Module, paths: list[Path], workers: int) -> list[torch.Tensor]:
    """A DataLoader with batches of 64 and as many processes as threads."""
    batches = torch.utils.data.DataLoader(_Files(paths), batch_size=64, num_workers=workers)
    return [model(x).prod(1) for x in batches]


def _decoded(paths: list[Path], threads: int) -> list:
    parts = [paths[start : start + predict.BATCH] for start in range(0, len(paths), predict.BATCH)]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda part: [images.attempt(path) for path in part], parts))


def _time(call: Callable) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start

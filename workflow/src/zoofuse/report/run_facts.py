"""What a report says about the run itself: settings, versions, the jobs' times, and the sizes of its folders."""

import contextlib
import importlib.metadata
import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from zoofuse.core import code, csv_files, files

PACKAGES = [
    "zoofuse", "torch", "numpy", "scipy", "scikit-learn", "umap-learn", "h5py", "pandas", "matplotlib", "plotly",
    "itables", "snakemake",
]  # fmt: skip


# Folder of results -> what its files are, with their place in a path that says of which.
_MADE = {
    "images": ("images of", 2),
    "test_images": ("test images of", 2),
    "zoo": ("zoo of", 2),
    "aligned": ("aligned zoos of", 2),
    "kernels": ("kernel banks of", 2),
    "cyclegan": ("CycleGANs of", 2),
    "netspace": ("NetSpace of", 2),
    "generated": ("CNNs of", 3),
    "evaluation": ("predictions of", 3),
    "zero_shot": ("zero-shot predictions of", 3),
    "foreign": ("imported predictions of", 3),
    "tables": ("table", 3),
}


def versions() -> dict[str, str]:
    """Python's and the packages' versions, for `environment`; a package that is not installed is left out."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def older_code(root: Path, sources: Mapping[str, Sequence[str]], tables: Iterable[Path] = ()) -> tuple[list[str], str]:
    """What was made with other code than the present and kept (snakemake --touch).

    Args:
        root: the folder in which results/ lies.
        sources: row of a fusion's tables -> the files that it comes from, such as results/zoo/cat/shard-0000.h5.
        tables: the fusion's CSVs, in `root`.

    Returns:
        The rows, and a sentence that names all that is older; "" where nothing is.
    """
    paths = dict.fromkeys(path for of_row in sources.values() for path in of_row)
    older = [path for path in paths if not code.is_present(files.made_with(root / path))]
    kept = [path.relative_to(root) for path in tables if not code.is_present(csv_files.made_with(path))]
    named: dict[str, list[str]] = {}
    for path in [*map(Path, older), *kept]:
        what, place = _MADE[path.parts[1]]
        named.setdefault(what, []).append(path.parts[place].partition(".")[0])
    listed = "; ".join(f"{what} {', '.join(dict.fromkeys(names))}" for what, names in named.items())
    sentence = f"Made by older code and kept: {listed}. The present code may give other numbers." if listed else ""
    return [row for row, of_row in sources.items() if not set(older).isdisjoint(of_row)], sentence


def flatten(settings: Mapping, prefix: str = "") -> list[tuple[str, str]]:
    """Nested mappings as (dotted name, text), in their order: {"zoo": {"epochs": 20}} -> [("zoo.epochs", "20")]."""
    rows = []
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            rows += flatten(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple):
            rows.append((f"{prefix}{name}", ", ".join(map(str, value)) or "none"))
        else:
            rows.append((f"{prefix}{name}", "none" if value is None or value == {} else str(value)))
    return rows


def run_times(folder: str | os.PathLike) -> pd.DataFrame:
    """Time and memory of each rule's jobs, from Snakemake's benchmark files `folder`/RULE/*.jsonl; empty without any.

    Columns: rule, jobs, seconds (all jobs together), longest (seconds), processor seconds, memory (MB, the highest).
    Snakemake gives these files no checksum: a line that is damaged is left out.
    """
    rows = []
    for path in sorted(Path(folder).rglob("*.jsonl")):
        rule = path.relative_to(folder).parts[0].removesuffix(".jsonl")
        rows += [{"rule": rule} | measured for measured in _measured(path)]
    if not rows:
        return pd.DataFrame()
    frame = pd.DataFrame(rows, columns=["rule", "s", "cpu_time", "max_rss"])
    numbers = frame[["s", "cpu_time", "max_rss"]].apply(pd.to_numeric, errors="coerce").assign(rule=frame["rule"])
    by_rule = numbers.groupby("rule")
    times = by_rule.agg(
        jobs=("s", "size"), seconds=("s", "sum"), longest=("s", "max"), processor=("cpu_time", "sum"),
        memory=("max_rss", "max"),
    ).reset_index()  # fmt: skip
    names = {"processor": "processor seconds", "longest": "longest (seconds)", "memory": "memory (MB)"}
    return times.rename(columns=names).sort_values("seconds", ascending=False, ignore_index=True).round(1)


def _measured(path: Path) -> list[dict]:
    """The records of a benchmark file that hold a valid time."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    measured = []
    for line in lines:
        with contextlib.suppress(ValueError, RecursionError):
            record = json.loads(line)
            seconds = record.get("s") if isinstance(record, dict) else None
            if isinstance(seconds, int | float) and 0 <= seconds < float("inf"):
                measured.append(record)
    return measured


def folder_sizes(folder: str | os.PathLike) -> pd.DataFrame:
    """Files and MB (10^6 bytes) of each folder directly under `folder`."""
    rows = []
    for path in sorted(path for path in Path(folder).iterdir() if path.is_dir()):
        found = [file.stat().st_size for file in path.rglob("[!.]*") if file.is_file()]  # no job's half-written file
        rows.append({"folder": path.name, "files": len(found), "MB": round(sum(found) / 1e6, 2)})
    return pd.DataFrame(rows)

"""What a report says about the run itself: settings, versions, the jobs' times, and the sizes of its folders."""

import contextlib
import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

PACKAGES = [
    "zoofuse", "torch", "numpy", "scipy", "scikit-learn", "umap-learn", "h5py", "pandas", "matplotlib", "plotly",
    "itables", "snakemake",
]  # fmt: skip


def versions() -> dict[str, str]:
    """Python's and the packages' versions, for `environment`; a package that is not installed is left out."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


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

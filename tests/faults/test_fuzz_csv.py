"""Every table of a run with wrong bits, cut, edited, put together from others: refused by name, never read wrongly.

ZOOFUSE_FUZZ=50 tries fifty times as much.
"""

import json
import os
import random
import re

import numpy as np
import pandas as pd
import pytest
from tiny_project import assert_same, contents, copied

from zoofuse.core import csv_files, files
from zoofuse.core.errors import FileError
from zoofuse.evaluation import replicates, tables
from zoofuse.report import run_facts

FUZZ = int(os.environ.get("ZOOFUSE_FUZZ", "1"))
TRIES = 60 * FUZZ  # of each table
FOLDERS = ("tables", "cyclegan")
EVALUATED = "results/evaluation/black_cat/cyclegan/shard-0000.h5"


def wrong_bits(content: bytes, rng: random.Random) -> bytes:
    wrong = bytearray(content)
    for _ in range(rng.choice([1, 1, 1, 2, 3, 50])):
        place = rng.randrange(8 * len(wrong))
        wrong[place // 8] ^= 1 << place % 8
    return bytes(wrong)


def cut(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content))]


def without_a_part(content: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(content))
    return content[:start] + content[start + rng.randrange(1, 64) :]


def zeroed(content: bytes, rng: random.Random) -> bytes:
    """A block that never reached the disk."""
    start = rng.randrange(len(content))
    return content[:start] + bytes(min(512, len(content) - start)) + content[start + 512 :]


def lines_changed(content: bytes, rng: random.Random) -> bytes:
    lines = content.splitlines(keepends=True)
    one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    match rng.randrange(4):
        case 0:
            lines[one], lines[other] = lines[other], lines[one]
        case 1:
            lines.insert(one, lines[other])
        case 2:
            del lines[one]
        case 3:
            lines.append(rng.choice([b"\n", b"appended\n", b",,,\n", lines[-1][:-1], lines[0]]))
    return b"".join(lines)


def edited(content: bytes, rng: random.Random) -> bytes:
    """What a person, a spreadsheet or git does."""
    match rng.randrange(5):
        case 0:
            return content.replace(b"\n", b"\r\n")
        case 1:
            return content.replace(b",", b";")
        case 2:
            return b"\xef\xbb\xbf" + content
        case 3:
            return content.rstrip(b"\n")
        case 4:
            digits = [match.start() for match in re.finditer(rb"\d", content)]
            place = rng.choice(digits)
            return content[:place] + b"%d" % ((int(content[place : place + 1]) + 1) % 10) + content[place + 1 :]


KINDS = (wrong_bits, wrong_bits, wrong_bits, cut, without_a_part, zeroed, lines_changed, edited)


def made(project) -> list:
    results = project.folder / "results"
    found = [path for folder in FOLDERS for path in sorted((results / folder).rglob("*.csv"))]
    assert {path.name for path in found} >= {"leaderboard.csv", "comparisons.csv", "kmeans.csv", "zero_shot.csv"}
    return found


def test_no_damaged_table_is_read(whole, tmp_path):
    path, tried = tmp_path / "damaged.csv", 0
    contents = {table: table.read_bytes() for table in made(whole)}
    for table, content in contents.items():
        rng = random.Random(str(table.relative_to(whole.folder)))
        path.write_bytes(content)
        csv_files.read(path)
        for _ in range(TRIES):
            wrong = rng.choice(KINDS)(content, rng)
            if wrong == content:
                continue
            tried += 1
            path.write_bytes(wrong)
            with pytest.raises(FileError) as error:
                csv_files.read(path)
            assert str(error.value).startswith(f"{path}: ")
            assert "Delete the file and run the same snakemake command again" in str(error.value)
        for other in rng.sample(sorted(contents), 2):  # the end of another table, with its checksum
            path.write_bytes(content[: len(content) // 2] + contents[other][len(contents[other]) // 2 :])
            if path.read_bytes() not in contents.values():
                with pytest.raises(FileError, match="checksum"):
                    csv_files.read(path)
    assert tried > 0.9 * TRIES * len(contents)
    print(f"{tried} damaged tables, none read")


def test_text_stays_text_and_numbers_numbers(whole):
    """Every column of text is known as one: a group "007" would be read as a number elsewhere."""
    for path in made(whole):
        table = csv_files.read(path)
        for name in table:
            column = table[name].dropna()
            if not pd.api.types.is_numeric_dtype(column) and len(column):
                assert set(column.map(type)) in ({str}, {bool}), (path, name)
                assert name in csv_files.TEXT or column.map(type).eq(bool).all(), (path, name)
            assert name not in csv_files.TEXT or not pd.api.types.is_numeric_dtype(column) or column.empty, (path, name)


def test_a_damaged_shard_stops_the_leaderboard_and_the_way_out_works(whole, tmp_path):
    project = copied(whole, tmp_path / "copy")
    wanted, shard = contents(project), project.folder / EVALUATED
    reported, content = shard.stat(), bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    os.utime(shard, ns=(reported.st_atime_ns, reported.st_mtime_ns))  # as a disk does it
    for path in (project.folder / "results/tables/black_cat").iterdir():
        path.unlink()
    target = "results/tables/black_cat/leaderboard.csv"
    assert project.call(target).wait() == 1
    assert f"Error: {EVALUATED}: truncated, corrupt or not HDF5 (checksum mismatch). Delete" in project.said
    assert "Traceback" not in project.said
    assert not (project.folder / target).exists()
    shard.unlink()
    assert project.call(target).wait() == 0, project.said
    made = contents(project)
    assert_same(made, {name: value for name, value in wanted.items() if name in made})


def test_a_run_of_an_older_version_is_no_replicate(whole, tmp_path):
    shards = sorted((whole.folder / "results/evaluation").rglob("shard-*.h5"))
    assert replicates.read(shards, folder="runs/2").scores
    old = tmp_path / "shard-0000.h5"
    files.write(old, "evaluation", {"labels": np.zeros(3)})  # as it was before there were predictions files
    with pytest.raises(FileError) as error:
        replicates.read([old], folder="runs/2")
    said = str(error.value)
    assert said.startswith("replicates: the run in runs/2 can't be used. ")
    assert "holds 'evaluation', expected 'predictions'" in said
    assert "snakemake tables --directory runs/2" in said
    assert "delete its whole folder results" in said


def test_damaged_benchmarks_cost_their_line_only(whole, tmp_path):
    """Snakemake writes them, without a checksum; the report shows them and computes nothing from them."""
    folder, rng = whole.folder / "results/benchmarks", random.Random(16)
    jobs = run_facts.run_times(folder)["jobs"].sum()
    assert jobs > 10
    for path in folder.rglob("*.jsonl"):
        (copy := tmp_path / "b" / path.relative_to(folder)).parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    damaged = sorted((tmp_path / "b").rglob("*.jsonl"))
    hostile = [
        b"\xff\xfe\n",
        b"[1, 2]\n",
        b'{"s": "x"}\n',
        b'{"s": NaN}\n',
        b"[" * 100_000 + b"\n",
        b'{"s": -1}\n',
        b"",
    ]
    for _ in range(20 * FUZZ):
        path = rng.choice(damaged)
        content = path.read_bytes()
        path.write_bytes(rng.choice([wrong_bits, cut])(content, rng) if rng.random() < 0.7 and content else content)
        with open(path, "ab") as file:
            file.write(rng.choice(hostile))
        times = run_facts.run_times(tmp_path / "b")
        assert times.empty or np.isfinite(times["seconds"]).all()
        json.dumps(times.to_dict("records"), allow_nan=True)


def test_nothing_reads_or_writes_a_table_past_the_checksum(root):
    """The exceptions: published tables are source files of the project, predictions are for and by people, and the
    Small CNN Zoo's tables are somebody else's."""
    allowed = {"csv_files.py", "predict.py"}
    found = {}
    for path in sorted((root / "workflow").rglob("*.py")):
        calls = re.findall(r"read_csv\(|to_csv\(|DictReader\(|DictWriter\(|csv\.(?:reader|writer)\(", path.read_text())
        if calls and path.name not in allowed:
            found[path.name] = len(calls)
    assert found == {"tables.py": 1, "foreign_predictions.py": 1, "small_cnn_zoo.py": 2}
    assert tables.published.__doc__

"""Random configuration files: what they meant is what is read, or it is refused in words; nothing hangs.

ZOOFUSE_FUZZ=20 tries 20 times as many.
"""

import json
import os
import random
import re
import time

import pytest
import yaml
from snakemake.common.configfile import load_configfile
from snakemake.exceptions import WorkflowError

from zoofuse import config
from zoofuse.config import files as config_files

TRIES = round(400 * float(os.environ.get("ZOOFUSE_FUZZ", "1")))
# As they are written without quotes: YAML takes most of them for something else than text.
WORDS = [
    "yes", "no", "on", "off", "y", "n", "true", "False", "NULL", "null", "~", "1_000", "0x10", "012", "0o17", "1e3",
    "1.5e+3", "2024-01-01", "1:30", "190:20:30", ".inf", "-.INF", ".nan", "0b101", "+1", "1.", ".5", "7", "08", "1__0",
    "cat", "black", "Yes.No", "1-2-3", "2024-13-45", "<<x", "=x", "0", "-0", "00", "9999999999999999999", "123e400",
    "1e-3",
]  # fmt: skip
NUMBER = re.compile(r"[-+]?(0|[1-9][0-9_]*)|0x[0-9a-f]+|0b[01]+")


class Intent:
    """A value as its author writes it, and where text is meant."""

    def __init__(self, text: str, number: bool = False):
        self.text, self.number = text, number


def drawn(rng: random.Random) -> dict:
    """What somebody means: folders, names and numbers, some of them odd words."""

    def word(share: float = 0.05) -> str:
        return rng.choice(WORDS) if rng.random() < share else rng.choice(["cat", "black", "random", "x/y"])

    def folders() -> list[Intent]:
        return [Intent(word()) for _ in range(rng.randint(1, 3))]

    def number(plain: str) -> Intent:
        return Intent(rng.choice(WORDS) if rng.random() < 0.3 else plain, number=True)

    concepts = {name: {"positive": folders(), "negative": folders()} for name in ("cat", "black")}
    if rng.random() < 0.1:
        concepts[rng.choice([w for w in WORDS if re.fullmatch(r"[A-Za-z0-9][\w-]*", w)])] = concepts["cat"]
    made = {
        "concepts": concepts,
        "fusions": {
            "both": {
                "concepts": [Intent("cat"), Intent("black")],
                "test": {"positive": folders(), "negative": folders()},
            }
        },
        "zoo": {"epochs": number("20"), "batch_size": number("8")},
        "seed": number("3"),
    }
    if rng.random() < 0.5:
        made["images_root"] = Intent(word(0.3))
    return made


def written(value, rng: random.Random, twice: list, depth: int = 0) -> list[str]:
    """The lines of a mapping; now and then a key stands twice, which `twice` is told."""
    lines = []
    for key, inner in value.items():
        again = 2 if rng.random() < 0.01 else 1
        twice += [key] if again == 2 else []
        for _ in range(again):
            if isinstance(inner, dict):
                lines += [f"{'  ' * depth}{key}:", *written(inner, rng, twice, depth + 1)]
            elif isinstance(inner, list):
                lines.append(f"{'  ' * depth}{key}: [{', '.join(item.text for item in inner)}]")
            else:
                lines.append(f"{'  ' * depth}{key}: {inner.text}")
    return lines


def assert_meant(intent, read) -> None:
    """What was read is what was meant, to the letter where text was meant."""
    if isinstance(intent, dict):
        for key, inner in intent.items():
            assert key in read, key
            assert_meant(inner, read[key])
    elif isinstance(intent, list):
        for inner, item in zip(intent, read, strict=True):
            assert_meant(inner, item)
    elif intent.number:
        assert type(read) is int
        plain = intent.text.replace("_", "").lower()
        meant = int(plain, 0) if NUMBER.fullmatch(intent.text.lower()) else float(plain) if ":" not in plain else None
        assert read == meant, (intent.text, read)
    else:
        assert read == intent.text, (intent.text, read)


def test_random_files_mean_what_is_read(tmp_path):
    rng, refused, accepted, twices = random.Random(16), 0, 0, 0
    path = tmp_path / "config.yaml"
    for _ in range(TRIES):
        intent, twice = drawn(rng), []
        path.write_text("\n".join(written(intent, rng, twice)) + "\n")
        try:
            loaded = load_configfile(path)
        except (WorkflowError, ValueError):  # Snakemake's own refusal, before anything of ours runs
            continue
        began = time.process_time()
        try:
            done = config.complete(loaded, config_files.read([path]))
        except config.ConfigError as error:
            refused += 1
            faults = str(error).splitlines()[1:]
            assert all(re.search(r"write|name|rename|copy|leave", fault) for fault in faults), faults
            assert bool(twice) == any("only the last would count" in fault for fault in faults), path.read_text()
        else:
            accepted += 1
            assert not twice, path.read_text()
            assert_meant(intent, done)
        twices += bool(twice)
        assert time.process_time() - began < 2
    assert min(refused, accepted) > TRIES / 10
    assert twices > TRIES / 20


@pytest.mark.parametrize("kind", ["yaml", "json"])
def test_random_bytes_end_in_words(tmp_path, kind):
    """A valid file with random characters put in, taken out and doubled."""
    rng, sound = random.Random(5), 0
    valid = "\n".join(written(drawn(random.Random(1)), random.Random(1), []))
    valid = json.dumps(yaml.safe_load(valid), default=str, indent=1) if kind == "json" else valid
    path = tmp_path / f"config.{kind}"
    for _ in range(TRIES // 2):
        text = list(valid)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(text))
            text[at : at + rng.randint(0, 3)] = rng.choices(
                "{}[]&*a!<>|%@`\"'#,:-?~\n \t\0\x1b\u202eé\U0001f600\ufeff", k=rng.randint(0, 3)
            )
        path.write_text("".join(text))
        try:
            loaded = load_configfile(path)
        except Exception:  # Snakemake's own, before anything of ours runs
            config_files.read([path])
            continue
        sound += 1
        said = ""
        try:
            json.dumps(config.complete(loaded, config_files.read([path])), allow_nan=False)
        except config.ConfigError as error:
            said = str(error)
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", said)
    assert sound > TRIES / 20


def test_random_anchors_do_not_hang(tmp_path):
    """Anchors within anchors, some of which stand for billions of values, some for themselves."""
    rng, path = random.Random(7), tmp_path / "config.yaml"
    for _ in range(TRIES // 10):
        lines = ["x0: &x0 {a: 1}"]
        for i in range(1, rng.randint(2, 40)):
            uses = [f"*x{rng.randrange(max(0, i - 3), i)}" for _ in range(rng.randint(1, 9))]
            uses = [f"k{j}: {use}" for j, use in enumerate(uses)] if (mapping := rng.random() < 0.5) else uses
            lines.append(f"x{i}: &x{i} {'{' if mapping else '['}{', '.join(uses)}{'}' if mapping else ']'}")
        path.write_text("\n".join(lines) + "\n")
        loaded = yaml.safe_load(path.read_text())
        began = time.process_time()
        with pytest.raises(config.ConfigError):
            config.complete(loaded, config_files.read([path]))
        assert time.process_time() - began < 10

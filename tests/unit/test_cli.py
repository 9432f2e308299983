"""The command `zoofuse`: configurations for folders, predictions, what files are, and errors in users' words."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image

import zoofuse
from zoofuse import config
from zoofuse.cli import main
from zoofuse.core import csv_files, files
from zoofuse.data import synthetic
from zoofuse.export import models
from zoofuse.models import cnn
from zoofuse.zoo import exporters


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def images(folder, n: int = 3) -> str:
    os.makedirs(folder)
    for i, image in enumerate(synthetic.draw(["cat"], n, 1, str(folder))[0]):
        Image.fromarray(image).save(os.path.join(folder, f"{i}.png"))
    return str(folder)


def run(*words: str, capsys) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `zoofuse WORDS`."""
    code = main.main(words)
    said = capsys.readouterr()
    return code, said.out, said.err


def weights(n: int) -> dict[str, np.ndarray]:
    return cnn.initial_weights(cnn.ARCHITECTURES["published"], 1, "cli", np.arange(n))


@pytest.fixture
def model(here) -> str:
    values = {name.replace("fc1", "heads"): of[0] for name, of in weights(1).items()}
    values["heads.weight"] *= 30
    about = {"fusion": "black_cat", "method": "distil", "domain": "A", "model": 0, "threshold": 0.25}
    written = models.configuration(values, ["black", "cat"], head="own", supervision="concept labels", seed=1, **about)
    models.write(here / "models/black_cat/distil", values, written | {"sources": {}}, "A card.\n")
    return "models/black_cat/distil"


# ------------------------------------------------------------------ init


def settings(path: str = "zoofuse.yaml") -> dict:
    with open(path, encoding="utf-8") as file:
        return yaml.safe_load(file)


def test_init_finds_what_lies_beside_the_folders(capsys):
    for name in ("blue", "not_blue", "dress", "dress_random", "test/yes", "test/no"):
        images(f"photos/{name}")
    code, said, _ = run("init", "photos/blue", "photos/dress", "--models", "7", capsys=capsys)
    assert code == 0
    assert settings() == {
        "images_root": "photos",
        "concepts": {
            "blue": {"positive": ["blue"], "negative": ["not_blue"], "models": 7},
            "dress": {"positive": ["dress"], "negative": ["dress_random"], "models": 7},
        },
        "fusions": {
            "blue_dress": {
                "concepts": ["blue", "dress"],
                "test": {"positive": ["test/yes"], "negative": ["test/no"]},
            }
        },
    }
    config.complete(settings())
    assert "First" not in said
    assert Path("zoofuse.yaml").read_text(encoding="utf-8").count(": 3 images") == 6


def test_init_of_two_folders_alone_says_what_is_missing(capsys):
    images("blue"), images("dress")
    code, said, _ = run("init", "blue", "dress", capsys=capsys)
    assert code == 0
    assert settings()["concepts"]["blue"]["negative"] == ["dress"]
    assert settings()["concepts"]["dress"]["negative"] == ["blue"]
    assert "First put images that show blue and dress at once into test/yes, and others into test/no." in said
    assert "such as not_blue" in said
    config.complete(settings())


def test_init_takes_any_names_and_places(here, capsys):
    for name in ("a/no", "a/größe #1", "b/others", "b/rest", "c/both: yes", "c/1"):
        images(name)
    words = ["init", "a/no", "a/größe #1", "--negative", "b/others", "b/rest", "--test", "c/both: yes", "c/1"]
    code, said, _ = run(*words, "--output", "my.yaml", capsys=capsys)
    assert code == 0
    assert "zoofuse check --configfile my.yaml" in said
    written = settings("my.yaml")
    assert written["images_root"] == "."
    assert written["concepts"]["no"]["positive"] == ["a/no"]
    assert written["concepts"]["gr_e_1"] | {"models": 0} == {
        "positive": ["a/größe #1"], "negative": ["b/rest"], "models": 0,
    }  # fmt: skip
    assert written["fusions"]["no_gr_e_1"]["test"] == {"positive": ["c/both: yes"], "negative": ["c/1"]}
    config.complete(written)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["blue"], "1 folders; name two to 5"),
        (["blue", "dres"], "there is no folder dres. Name folders of images."),
        (["blue", "dress", "--negative", "blue"], "--negative names 1 folders; name 2"),
        (["blue", "blue"], "two folders are called blue"),
        (["blue", "dress", "--output", "missing/my.yaml"], "missing/my.yaml can't be written"),
    ],
)
def test_init_refuses(words, message, capsys):
    images("blue"), images("dress")
    code, said, error = run("init", *words, capsys=capsys)
    assert (code, said) == (1, "")
    assert error.startswith("zoofuse: init: ")
    assert message in error
    assert not os.path.exists("zoofuse.yaml")


# ------------------------------------------------------------------ predict


def test_predict_writes_what_the_workflow_writes(model, capsys):
    images("new", 5)
    Path("new/bad.png").touch()
    code, said, _ = run("predict", model, "new", "--cores", "2", capsys=capsys)
    assert code == 0
    table = pd.read_csv("predictions/black_cat/distil.csv")
    assert list(table.columns) == ["file", "score", "prediction"]
    alone = zoofuse.load(model).predict([f"new/{name}" for name in table["file"]])
    np.testing.assert_allclose(table["score"], alone, atol=1e-6)
    assert pd.read_csv("predictions/black_cat/distil.unreadable.csv")["file"].tolist() == ["bad.png"]
    assert Path("predictions/black_cat/distil.html").read_text(encoding="utf-8").count("data:image/webp") == 5
    yes = (table["prediction"] == "yes").sum()
    assert said.splitlines()[-1] == (
        f"{yes} of 5 images are predicted yes. Scores: predictions/black_cat/distil.csv; as a page: "
        "predictions/black_cat/distil.html"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["models", "new"], "models: no model in this folder (config.json is missing). Name a folder"),
        (["models/black_cat/distil", "nwe"], "there is no folder 'nwe' (looked for "),
    ],
)
def test_predict_refuses(words, message, model, capsys):
    images("new")
    code, _, error = run("predict", *words, capsys=capsys)
    assert code == 1
    assert message in error
    assert "--config" not in error
    assert "Traceback" not in error
    assert not os.path.exists("predictions")


# ------------------------------------------------------------------ info


def test_info_of_each_kind(model, capsys):
    files.write(
        "zoo.h5",
        "zoo",
        weights(2) | {"model": np.arange(2)},
        concept="cat",
        settings={"epochs": 3},
        seed=1,
        images="0" * 64,
    )
    csv_files.write("table.csv", pd.DataFrame({"method": ["distil"], "auroc": [0.9]}))
    exporters.write(["zoo.h5"], "pytorch", "shared")
    images("new")
    run("predict", model, "new", capsys=capsys)
    wanted = {
        "zoo.h5": f"zoo.h5: CNNs (kind zoo), written by zoofuse {zoofuse.__version__}. Its checksum holds.",
        "table.csv": "table.csv: a table. Its checksum holds.",
        model: f"{model}: an exported CNN for black_cat, made by distil, written by zoofuse {zoofuse.__version__}.",
        f"{model}/model.onnx": f"{model}/model.onnx: an exported CNN for black_cat",
        "shared": "shared: a shared zoo of 4 files. All checksums in SHA256SUMS hold.",
        "predictions/black_cat/distil.csv": "predictions/black_cat/distil.csv: predictions for a folder of images.",
    }
    for path, begin in wanted.items():
        code, said, error = run("info", path, capsys=capsys)
        assert (code, error) == (0, "")
        assert said.startswith(begin)
    _, said, _ = run("info", "zoo.h5", capsys=capsys)
    assert "  settings: {'epochs': 3}\n" in said
    assert "    conv1.weight  2 x 6 x 3 x 5 x 5 float32\n" in said
    _, said, _ = run("info", model, capsys=capsys)
    assert "  threshold: 0.25\n" in said


def flip(path: str) -> None:
    content = bytearray(Path(path).read_bytes())
    content[len(content) // 2] ^= 1
    Path(path).write_bytes(content)


def test_info_finds_what_is_corrupt(model, capsys):
    files.write("zoo.h5", "zoo", weights(2) | {"model": np.arange(2)}, concept="cat", images="0" * 64)
    csv_files.write("table.csv", pd.DataFrame({"method": ["distil"] * 9, "auroc": [0.9] * 9}))
    exporters.write(["zoo.h5"], "pytorch", "shared")
    for path in ("zoo.h5", "table.csv", f"{model}/model.safetensors", "shared/cnn_000001.pt"):
        flip(path)
    wanted = {
        "zoo.h5": "checksum mismatch",
        "table.csv": "checksum mismatch",
        model: "model.safetensors: does not belong to config.json (checksum mismatch)",
        "shared": "cnn_000001.pt does not match SHA256SUMS",
    }
    for path, words in wanted.items():
        code, said, _ = run("info", path, capsys=capsys)
        assert code == 1
        assert words in said
        assert "holds" not in said
    os.remove("shared/cnn_000000.pt")
    assert "cnn_000000.pt does not match SHA256SUMS" in run("info", "shared", capsys=capsys)[1]


def test_info_of_foreign_files_is_a_sentence(here, capsys):
    import h5py

    with h5py.File("other.h5", "w") as handle:
        handle["x"] = np.arange(3)
    pd.DataFrame({"a": [1]}).to_csv("other.csv", index=False)
    images("photos", 1)
    torch.save({"a": torch.zeros(1)}, "net.pt")
    (here / "config.json").write_text(json.dumps({"model_type": "bert"}))
    os.mkfifo("pipe")
    wanted = {
        "other.h5": "not a file of zoofuse's (an HDF5 file without zoofuse's checksum).",
        "other.csv": "not a table of zoofuse's: it has no column checksum.",
        "photos/0.png": "not a file of zoofuse's (a PNG image, not a CNN).",
        "net.pt": "not a file of zoofuse's",
        "photos": "a folder, but neither an exported model nor a shared zoo.",
        "config.json": "not a 'zoofuse model' of version",
        "missing\x1b[2J": "there is no such file or folder.",
        "pipe": "not a regular file",
    }
    for path, words in wanted.items():
        code, said, error = run("info", path, capsys=capsys)
        assert (code, error, "\x1b" in said) == (1, "", False)
        assert words in said
        assert "Traceback" not in said
    assert run("info", "other.csv", "photos/0.png", capsys=capsys)[1].count("\n") == 2


# ------------------------------------------------------------------ help


@pytest.mark.parametrize("command", ["", *main.SNAKEMAKE, "init", "predict", "push", "info"])
def test_help_teaches_by_examples(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main.main([*filter(None, [command]), "--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert f"\n  zoofuse {command}" in said
    assert max(map(len, said.splitlines())) <= 120


def test_without_a_command_the_exit_code_is_2(capsys):
    assert run(capsys=capsys)[0] == 2
    for words in (["predcit"], ["info"], ["init", "a", "b", "--unknown"]):
        with pytest.raises(SystemExit) as ended:
            main.main(words)
        assert ended.value.code == 2
    assert "unrecognized arguments: --unknown" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "named"),
    [(["--cores", "2"], True), (["--cores=2"], True), (["-c2"], True), (["-j", "2"], True), (["-n"], False),
     (["--workflow-profile", "slurm"], True), (["cores"], False), (["--config", "a=--cores"], False)],
)  # fmt: skip
def test_cores_are_given_unless_the_user_says_how_many(given, named):
    assert main.names(given, *main.HOW_MANY) is named

"""What people take home: the check of their folders, exported models, predictions and zoos that others read."""

import copy
import hashlib
import os
import re
import shutil
import struct
import subprocess
import sys

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from PIL import Image
from small_project import CONFIG

import zoofuse
from zoofuse.core import files
from zoofuse.data import images, synthetic

METHODS = ["cyclegan", "distil", "distil_weights"]


@pytest.fixture(scope="module")
def taken(made, tmp_path_factory):
    """The finished project, its models and zoos exported, and the predictions of one model for a folder of images."""
    folder = tmp_path_factory.mktemp("taken") / "project"
    shutil.copytree(made.folder, folder, copy_function=shutil.copy2)
    project = type(made)(folder, made.root)
    for i, image in enumerate(synthetic.draw(["cat", "non-cat"], 24, 9, "new")[0]):
        (folder / "new/deep").mkdir(parents=True, exist_ok=True)
        place = folder / "new" / ("deep" if i % 2 else "") / f"photograph_{i:02d}.jpg"
        Image.fromarray(image).resize((90, 60)).save(place, quality=95)
    (folder / "new/bad.jpg").write_text("no image")
    os.mkfifo(folder / "new/pipe.jpg")
    # Turned, and with an EXIF entry that Pillow reads and does not write: case 60.
    odd = b"Exif\0\0II*\0" + struct.pack("<IHHHI4sHHI4sI", 8, 2, 0x112, 3, 1, b"\6", 0x11A, 2, 1, b"7", 0)
    Image.fromarray(image).resize((90, 60)).save(folder / "new/photograph_phone.jpg", exif=odd)
    targets = ["models", "to_pytorch", "results/predictions/black_cat/distil.csv", "--config", "predict=new"]
    run = project.snakemake(*targets, config=CONFIG)
    assert run.returncode == 0, run.stdout
    return project


def pictures(project) -> list:
    return sorted(path for path in (project.folder / "new").rglob("photograph_*"))


def blocks(card: str) -> list[str]:
    """The model card's Python: zoofuse, images, PyTorch, ONNX Runtime."""
    return re.findall(r"```python\n(.*?)```", card, re.DOTALL)


def test_every_model_answers_alike_in_zoofuse_pytorch_and_onnx_runtime(taken):
    photographs = images.stacked([images.decode(path) for path in pictures(taken)], 32)
    np.save(taken.folder / "photographs.npy", photographs)
    code = ["import sys, numpy as np", "sys.modules['zoofuse'] = None", "images = np.load('photographs.npy')"]
    for method in METHODS:
        folder = taken.folder / "results/models/black_cat" / method
        code += [f"import os; os.chdir({str(folder)!r})", blocks((folder / "README.md").read_text())[2]]
        code += ["np.save('score.npy', score)"]
    subprocess.run([sys.executable, "-c", "\n".join(code)], cwd=taken.folder, check=True)
    for method in METHODS:
        folder = taken.folder / "results/models/black_cat" / method
        scores = zoofuse.load(folder).predict(photographs)
        assert scores.shape == (25,)
        np.testing.assert_allclose(np.load(folder / "score.npy"), scores, atol=1e-5)
        session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
        np.testing.assert_allclose(session.run(["score"], {"images": photographs})[0], scores, atol=1e-5)


def test_the_predictions_are_the_models_and_the_gallery_shows_them(taken):
    folder = taken.folder / "results/predictions/black_cat"
    table = pd.read_csv(folder / "distil.csv")
    assert len(table) == 25
    model = zoofuse.load(taken.folder / "results/models/black_cat/distil")
    alone = model.predict([taken.folder / "new" / name for name in table["file"]])
    np.testing.assert_allclose(table["score"], alone, atol=1e-5)
    assert ((table["score"] >= np.float32(model.threshold)) == (table["prediction"] == "yes")).all()
    assert pd.read_csv(folder / "distil.unreadable.csv")["file"].tolist() == ["pipe.jpg", "bad.jpg"]
    assert (folder / "distil.html").read_text().count("data:image/webp") == 25
    assert taken.planned("results/predictions/black_cat/distil.csv", config=CONFIG | {"predict": "new"}) == {}


@pytest.mark.parametrize("layout", ["pytorch", "trials"])
def test_a_shared_zoo_reads_back_as_an_existing_one(taken, layout):
    for line in (taken.folder / f"results/{layout}/cat/SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((taken.folder / f"results/{layout}/cat" / name).read_bytes()).hexdigest() == digest
    config = {"zoo_root": str(taken.folder / "results" / layout)}
    config["concepts"] = {name: {"zoo": name} for name in ("cat", "black")}
    project = type(taken)(taken.folder.parent / layout, taken.root)
    project.folder.mkdir()
    run = project.snakemake("zoos", config=config)
    assert run.returncode == 0, run.stdout
    for concept, n in (("cat", 6), ("black", 5)):
        (shard,) = sorted((project.folder / "results/zoo" / concept).iterdir())
        back = files.read(shard, "zoo")
        assert len(back["model"]) == n
        before = [files.read(path, "zoo") for path in sorted((taken.folder / "results/zoo" / concept).glob("*.h5"))]
        for name in ("conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias", "fc1.weight", "fc1.bias"):
            np.testing.assert_array_equal(back[name], np.concatenate([shard[name] for shard in before]))
    bench = project.snakemake("-n", "bench_zoo", config=config)
    assert bench.returncode != 0
    assert "every concept here is an existing zoo" in bench.stdout


def test_the_check_looks_at_the_folders_and_trains_nothing(project):
    """An image of the test saved anew among the training ones, an unreadable one, and dark negatives of cat."""
    photos = project.folder / "photos"
    Image.open(next((photos / "test/black_cat").iterdir())).save(photos / "black/anew.jpg", quality=90)
    (photos / "cat/bad.jpg").write_text("no image")
    for path in (photos / "cat_random").iterdir():
        Image.open(path).point(lambda value: value // 4).save(path)
    assert project.planned("check", config=CONFIG) == {"check": 1, "check_images": 1}
    run = project.snakemake("check", config=CONFIG)
    assert run.returncode == 0, run.stdout
    assert "The run stops here, concepts.cat:\n    1 of all can't be read: cat/bad.jpg" in run.stdout
    assert "re-encoded or mirrored, but equal to a training image: test/black_cat/" in run.stdout
    assert "speaks against cat" in run.stdout
    folder = project.folder / "results/check"
    findings = pd.read_csv(folder / "checks.csv")
    assert {"brightness", "unreadable", "leak"} <= set(findings.loc[findings["level"] != "ok", "check"])
    assert "1 error that stops the run and" in (folder / "report.html").read_text()
    assert not (project.folder / "results/zoo").exists()

    fixed = copy.deepcopy(CONFIG) | {"images": {"unreadable": "skip"}}
    (photos / "black/anew.jpg").unlink()
    run = project.snakemake("check", config=fixed)
    assert "The run stops here" not in run.stdout
    assert "equal to one of training" not in run.stdout


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial.md", "docs/files.md"])
def test_the_python_of_the_pages_runs(taken, root, page, monkeypatch):
    code = blocks((root / page).read_text())[0].replace("blue_dress", "black_cat")
    shutil.copy(pictures(taken)[0], taken.folder / "image.jpg")
    monkeypatch.chdir(taken.folder)
    space = {"images": np.zeros((2, 32, 32, 3), np.uint8)}
    exec(code, space)
    assert space["zoo"]["model"].shape == (4,) if page == "docs/files.md" else len(space["scores"]) in (1, 2)

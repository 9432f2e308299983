"""Images from torchvision's archives and CNNs from existing zoos, through snakemake."""

import copy
import hashlib
import io
import tarfile

import h5py
import numpy as np
import pandas as pd
import torch
from PIL import Image
from small_project import CONFIG

from zoofuse.core import files
from zoofuse.data import synthetic
from zoofuse.models import cnn


def write_pet_archive(path) -> None:
    """A small archive in the Oxford-IIIT Pet format: images/Breed_number.jpg, cats with a capital letter."""
    breeds = {"Abyssinian": "orange cat", "Bombay": "black cat", "beagle": "brown dog", "pug": "black dog"}
    with tarfile.open(path, "w:gz") as archive:
        for breed, words in breeds.items():
            for number, image in enumerate(synthetic.draw([words], 12, 1, breed)[0], 1):
                data = io.BytesIO()
                Image.fromarray(image).resize((90, 70)).save(data, "JPEG", quality=95)
                member = tarfile.TarInfo(f"images/{breed}_{number}.jpg")
                member.size = len(data.getvalue())
                archive.addfile(member, io.BytesIO(data.getvalue()))


def test_pets_by_breed_from_a_downloaded_archive(project):
    archive = project.folder / "pets.tar.gz"
    write_pet_archive(archive)
    pets = {"source": "torchvision", "dataset": "oxford_iiit_pet"}
    test = pets | {"positive": ["bombay"], "negative": ["dog"]}
    md5 = hashlib.md5(archive.read_bytes()).hexdigest()
    config = {
        "concepts": {
            "cat": pets | {"positive": ["cat non-bombay"], "negative": ["dog"]},
            "pug": pets | {"positive": ["pug"], "negative": ["non-pug"]},
        },
        "fusions": {
            "black_cat": {"concepts": ["pug", "cat"], "test": pets | {"positive": ["bombay"], "negative": ["dog"]}}
        },
        "downloads": {"oxford_iiit_pet": {"url": archive.as_uri(), "md5": "0" * 32}},
    }
    target = "results/test_images/black_cat.h5"
    run = project.snakemake(target, config=config)
    assert run.returncode == 1
    assert f"its MD5 is {md5} and should be {'0' * 32}" in run.stdout

    config["downloads"]["oxford_iiit_pet"]["md5"] = md5
    run = project.snakemake(target, config=config)
    assert run.returncode == 0, run.stdout
    cats = files.read(project.folder / "results/images/cat.h5", "images")
    assert set(cats["groups"][cats["labels"] == 1]) == {"abyssinian"}
    assert set(cats["groups"][cats["labels"] == 0]) == {"beagle", "pug"}
    test = files.read(project.folder / target, "test_images")
    assert set(test["groups"][test["labels"] == 1]) == {"bombay"}
    assert not set(test["digests"]) & set(cats["digests"])


def write_zoo_folder(folder, n: int) -> dict[str, np.ndarray]:
    """n state_dicts in a folder, under names that are not zoofuse's."""
    weights = cnn.initial_weights(cnn.ARCHITECTURES["published"], 1, folder.name, np.arange(n))
    folder.mkdir()
    names = {"conv1": "net.0", "conv2": "net.3", "fc1": "net.7"}
    for i in range(n):
        state = {f"{names[k.split('.')[0]]}.{k.split('.')[1]}": torch.from_numpy(v[i]) for k, v in weights.items()}
        torch.save(state, folder / f"cnn_{i}.pt")
    return weights


def test_existing_zoos_and_generators_walk_without_training(made, tmp_path):
    project = type(made)(tmp_path, made.root)
    (tmp_path / "photos").symlink_to(made.folder / "photos")
    cats = write_zoo_folder(tmp_path / "cats", 5)
    black = cnn.initial_weights(cnn.ARCHITECTURES["published"], 1, "black", np.arange(4))
    with h5py.File(tmp_path / "black.h5", "w") as handle:
        for name, values in black.items():
            handle[name] = values
        handle["model"] = np.array([10, 11, 12, 13])
    with h5py.File(tmp_path / "generators.h5", "w") as handle:
        for layer in ("conv1", "conv2"):
            trained = files.read(made.folder / f"results/cyclegan/black_cat/{layer}/generators.h5", "generators")
            for name, values in trained.items():
                if name.startswith(("A2B", "B2A")):
                    handle[f"{layer}/{name}"] = values

    config = {key: copy.deepcopy(CONFIG[key]) for key in ("images_root", "fusions")}
    layers = {"conv1": "net.0", "conv2": "net.3", "fc1": "net.7"}
    config |= {"concepts": {"black": {"zoo": "black.h5"}, "cat": {"zoo": "cats", "layers": layers}}}
    config["fusions"]["black_cat"] |= {
        "generators": "generators.h5",
        "methods": ["cyclegan", "random", "parent_a", "parent_b"],
    }
    config |= {"zoo_root": ".", "evaluation": {"models": 3, "baselines": 2, "held_out": 2}}
    planned = project.planned(config=config)
    assert "train_zoo_shard" not in planned
    assert "train_cyclegan" not in planned
    run = project.snakemake(config=config)
    assert run.returncode == 0, run.stdout
    imported = files.read(tmp_path / "results/zoo/cat/shard-0000.h5", "zoo")
    assert np.array_equal(imported["conv2.weight"], cats["conv2.weight"])
    table = pd.read_csv(tmp_path / "results/tables/black_cat/kmeans.csv")
    assert table.groupby(["method", "domain"]).size().to_dict() == {
        ("cyclegan", "A"): 3, ("cyclegan", "B"): 3, ("random", "-"): 2, ("parent_a", "A"): 2, ("parent_b", "B"): 2,
    }  # fmt: skip
    held_out = pd.read_csv(tmp_path / "results/tables/black_cat/held_out_kmeans.csv")
    assert held_out.groupby(["method", "domain"]).size().to_dict() == {
        ("cyclegan", "A"): 2, ("cyclegan", "B"): 2, ("random", "-"): 2, ("parent_a", "A"): 2, ("parent_b", "B"): 2,
    }  # fmt: skip
    # generated CNNs carry the index of the CNN that their kernels come from
    generated = table[table["method"] == "cyclegan"]
    assert generated[generated["domain"] == "B"]["model"].tolist() == [10, 11, 12]
    assert (tmp_path / "results/report.html").exists()


def test_an_existing_zoo_that_is_not_there(project):
    config = copy.deepcopy(CONFIG)
    config["concepts"]["cat"] = {"zoo": "nowhere"}
    run = project.snakemake("-n", config=config)
    assert run.returncode == 1
    assert "nowhere: no such file or folder" in run.stdout
    assert "Traceback" not in run.stdout

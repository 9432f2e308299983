"""Bad input ends with words that name it and say what to write, before any training."""

import copy
import shutil

import pytest
from small_project import CONFIG


def refused(project, *words: str, config: dict = CONFIG, arguments: tuple = ()) -> str:
    """The run fails, says all the words, shows no traceback and has trained nothing."""
    run = project.snakemake(*arguments, config=config)
    assert run.returncode == 1, run.stdout
    for word in words:
        assert word in run.stdout, run.stdout
    assert "Traceback" not in run.stdout, run.stdout
    assert not list(project.folder.glob("results/zoo/*/*.h5"))
    return run.stdout


def with_key(path: str, value) -> dict:
    config = copy.deepcopy(CONFIG)
    *parents, last = path.split(".")
    place = config
    for key in parents:
        place = place.setdefault(key, {})
    place[last] = value
    return config


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("zoo.epohcs", 3, ["zoo.epohcs: unknown key; write epochs"]),
        ("zoo.epochs", "many", ["zoo.epochs: 'many' is of the wrong type; write a whole number"]),
        ("concepts.cat.models", 0, ["concepts.cat.models: 0 is out of range; write at least 1"]),
        ("concepts.cat.negative", [], ["concepts.cat.negative: is empty"]),
        ("concepts.cat.positive", ["catt"], ["concepts.cat.positive: there is no folder 'catt'", "mean 'cat'"]),
        ("images_root", "nowhere", ["images_root", "nowhere", "--config images_root=FOLDER"]),
        ("fusions.black_cat.concepts", ["black", "dog"], ["fusions.black_cat.concepts: there is no concept 'dog'"]),
    ],
)
def test_configurations(project, path, value, words):
    refused(project, *words, config=with_key(path, value))


def test_an_empty_folder(project):
    shutil.rmtree(project.folder / "photos/cat")
    (project.folder / "photos/cat").mkdir()
    (project.folder / "photos/cat/notes.txt").write_text("no cats today")
    refused(project, "concepts.cat.positive: no JPEG, PNG, WebP, GIF or BMP in", "photos/cat")


def test_a_test_image_that_is_also_a_training_image(project):
    photo = sorted((project.folder / "photos/black").iterdir())[0]
    shutil.copy(photo, project.folder / "photos/test/other/sly.png")
    refused(project, "fusions.black_cat.test: 1 test images are also training images", "sly.png", "images.leaks: drop")
    run = project.snakemake("results/test_images/black_cat.h5", config=with_key("images.leaks", "drop"))
    assert run.returncode == 0, run.stdout
    assert "1 training images" in run.stdout


def test_unreadable_images_are_named_and_counted(project):
    photos = project.folder / "photos/cat"
    first, second = sorted(photos.iterdir())[:2]
    first.write_bytes(first.read_bytes()[:100])
    second.write_text("not an image")
    words = ["2 of 30 images can't be read", first.name, second.name, "images.unreadable: skip"]
    refused(project, *words)
    run = project.snakemake("results/images/cat.h5", config=with_key("images.unreadable", "skip"))
    assert run.returncode == 0, run.stdout
    assert "2 unreadable" in run.stdout


@pytest.mark.parametrize(
    ("file", "target"),
    [
        ("results/images/cat.h5", "results/zoo/cat/shard-0000.h5"),
        ("results/kernels/black_cat/conv1.h5", "results/cyclegan/black_cat/conv1/generators.h5"),
        ("results/generated/black_cat/random.h5", "results/evaluation/black_cat/random/shard-0000.h5"),
    ],
)
def test_damaged_results_are_named(made, tmp_path, file, target):
    shutil.copytree(made.folder, tmp_path / "copy", copy_function=shutil.copy2)
    project = type(made)(tmp_path / "copy", made.root)
    path = project.folder / file
    path.write_bytes(path.read_bytes()[:-200])
    (project.folder / target).unlink()
    run = project.snakemake(target, "--rerun-triggers", "mtime", config=CONFIG)
    assert run.returncode == 1
    assert f"{file}: truncated, corrupt or not HDF5" in run.stdout
    assert "Delete the file and run the same snakemake command again" in run.stdout
    assert "Traceback" not in run.stdout


def test_a_foreign_file_is_not_read(made, tmp_path):
    shutil.copytree(made.folder, tmp_path / "copy", copy_function=shutil.copy2)
    project = type(made)(tmp_path / "copy", made.root)
    shutil.copy(project.folder / "results/images/cat.h5", project.folder / "results/kernels/black_cat/conv1.h5")
    target = "results/cyclegan/black_cat/conv1/generators.h5"
    (project.folder / target).unlink()
    run = project.snakemake(target, "--rerun-triggers", "mtime", config=CONFIG)
    assert run.returncode == 1
    assert "results/kernels/black_cat/conv1.h5: holds 'images', expected 'kernels'" in run.stdout

"""Say what you want: snakemake --config want="black and not cat"."""

import pytest
import yaml
from small_project import CONFIG, Project


@pytest.fixture
def empty(tmp_path, root) -> Project:
    return Project(tmp_path, root)


def test_a_call_without_a_target_ends_in_a_model_and_a_gallery(empty):
    planned = empty.planned("--config", "want=black and not cat")
    assert planned["export_model"] == planned["predict"] == planned["list_test_images"] == 1
    assert planned["prepare_images"] == 2
    assert planned["report"] == 1
    assert "train_cyclegan" not in planned
    run = empty.snakemake("-n", "--config", "want=black and not cat")
    assert "results/models/black_and_not_cat/distil/config.json" in run.stdout
    assert "results/predictions/black_and_not_cat/distil.html" in run.stdout


@pytest.mark.parametrize(
    ("want", "words"), [("black and kat", "did you mean cat"), ("black and (cat", "is not closed"), ("''", "want")]
)
def test_a_bad_expression_is_refused_before_any_job(empty, want, words):
    run = empty.snakemake("-n", "--config", f"want={want}")
    assert run.returncode == 1
    assert words in run.stdout
    assert "Traceback" not in run.stdout


def named(project: Project, folder, **more) -> dict:
    """The small project's settings with its concepts in a registry of the test's own."""
    concepts = {name: concept | {"synonyms": [f"{name}ish"]} for name, concept in CONFIG["concepts"].items()}
    test = CONFIG["fusions"]["black_cat"]["test"]
    (folder / "concepts.yaml").write_text(yaml.safe_dump({"concepts": concepts | more, "tests": {"black cat": test}}))
    rest = {key: value for key, value in CONFIG.items() if key not in ("concepts", "fusions")}
    return rest | {"want": "blackish catish", "registry": str(folder / "concepts.yaml")}


def test_named_concepts_whose_zoos_are_there_are_not_trained_again(made, tmp_path):
    planned = made.planned(config=named(made, tmp_path))
    assert planned["generate_by_training"] == planned["export_model"] == planned["predict"] == planned["report"] == 1
    assert not {"train_zoo_shard", "prepare_images"} & set(planned)
    other = {"cat": {"positive": ["cat"], "negative": ["black_random"], "synonyms": ["catish"], "models": 6}}
    assert made.planned(config=named(made, tmp_path, **other))["train_zoo_shard"] == 2  # of cats alone


def test_a_folder_that_a_named_concept_lacks_is_said_before_any_job(made, tmp_path):
    lost = {"cat": {"positive": ["cats"], "negative": ["cat_random"], "synonyms": ["catish"]}}
    run = made.snakemake("-n", config=named(made, tmp_path, **lost))
    assert run.returncode == 1
    assert "concepts.cat.positive" in run.stdout
    assert "Traceback" not in run.stdout

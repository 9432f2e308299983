"""Say what you want: snakemake --config want="black and not cat"."""

import pytest
from small_project import Project


@pytest.fixture
def empty(tmp_path, root) -> Project:
    return Project(tmp_path, root)


def test_a_call_without_a_target_ends_in_a_model_and_a_gallery(empty):
    planned = empty.planned("--config", "want=black and not cat")
    assert planned["export_model"] == planned["predict"] == planned["list_test_images"] == 1
    assert planned["prepare_images"] == 2
    assert not {"report", "train_cyclegan"} & set(planned)
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

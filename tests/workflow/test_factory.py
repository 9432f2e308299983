"""A small factory zoo, from its images to the table of its CNNs; then the plan of a larger one."""

import pandas as pd
from small_project import Project

import zoofuse
from zoofuse.core import files

CONFIG = {
    "factory": {
        "tiny": {
            "source": "synthetic",
            "classes": {"cat": ["cat"], "car": ["car"], "tree": ["tree"]},
            "images": 20,
            "layers": ["conv 4 3 stride=2", "activation", "max 2", "dropout", "linear"],
            "size": 16,
            "models": 3,
            "images_per_epoch": 32,
            "pruned": [50],
            "pruned_epochs": 1,
            "factors": {"learning_rate": {"log_uniform": ["1e-3", 0.1]}, "epochs": [1, 2], "dropout": 0.1},
        }
    },
    "zoo": {"shard_size": 4, "backend": "serial"},
}


def test_a_factory_zoo_is_trained_and_grows(tmp_path, root):
    project = Project(tmp_path, root)
    run = project.snakemake("factory", config=CONFIG)
    assert run.returncode == 0, run.stdout
    table = pd.read_csv(tmp_path / "results/zoo/tiny/models.csv")
    assert list(table)[:4] == ["model", "learning_rate", "optimiser", "momentum"]
    assert table["epochs"].tolist() == [1, 2, 1]
    assert table["test_accuracy"].tolist() == [table[f"test_accuracy_{of}"][row] for row, of in enumerate((1, 2, 1))]
    assert pd.read_csv(tmp_path / "results/zoo/tiny-pruned-50/models.csv")["sparsity"].tolist() == [0.5] * 3
    before = files.read(tmp_path / "results/zoo/tiny/shard-0000.h5", "zoo")["conv1.weight"]
    assert files.attributes(tmp_path / "results/zoo/tiny/shard-0000.h5", "zoo")["classes"] == ["cat", "car", "tree"]
    assert project.planned("factory", config=CONFIG) == {}

    zoo = zoofuse.load_zoo(tmp_path / "results/zoo/tiny", per_layer=True)
    assert (zoo[2][0]["conv1.weight"].numpy() == before[2]).all()
    larger = CONFIG | {"factory": {"tiny": CONFIG["factory"]["tiny"] | {"models": 5, "pruned": []}}}
    # Both shards, of which one gets a further CNN; none that is there is trained again (tests/unit/test_pruned.py).
    assert project.planned("factory", config=larger) == {"train_population": 2, "models_table": 1, "factory": 1}
    # The table of a concept's zoo is made by the same rule.
    plan = project.planned("results/zoo/cat/models.csv", config=larger)
    assert plan["models_table"] == 1
    assert "train_zoo_shard" in plan

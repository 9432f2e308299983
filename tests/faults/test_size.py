"""A run of 100,000 CNNs is planned in less than a minute."""

import copy

from small_project import CONFIG


def test_a_hundred_thousand_cnns_are_planned_in_a_minute(project):
    config = copy.deepcopy(CONFIG)
    config["concepts"]["cat"]["models"] = config["concepts"]["black"]["models"] = 50_000
    config["zoo"] = {"shard_size": 500}
    config["evaluation"] = {"shard_size": 500}
    planned = project.planned(config=config)
    assert planned["train_zoo_shard"] == 200
    assert planned["evaluate_shard"] == planned["zero_shot_shard"] > 1_000
    assert 2 < project.cpu_seconds < 58  # other processes may share the cores; two more are Snakemake's imports

"""Sets of tasks in a run."""

import functools
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from zoofuse.data import tasks as task_sets
from zoofuse.data.folders import spelled
from zoofuse.preflight.folder_checks import folders_digest
from zoofuse.workflow.names import known, shard_ranges

if TYPE_CHECKING:
    from zoofuse.workflow.run import Run


class Tasks:
    """What the jobs of a run's sets of tasks read and depend on."""

    def __init__(self, run: "Run"):
        self.run, self.settings = run, run.config["tasks"]

    def _settings(self, tasks: str) -> dict:
        return known(self.settings, tasks, "set of tasks")

    @functools.cache  # noqa: B019 - a run lives as long as its process
    def _plan(self, tasks: str) -> task_sets.Plan:
        settings = self._settings(tasks)
        numbers = [settings[key] for key in ("seen", "unseen", "small")]
        return task_sets.draw(settings["classes"], *numbers, self.run.seed, f"tasks.{tasks}")

    def plan(self, tasks: str) -> dict:
        """Which tasks are trained on, and which are only measured."""
        return asdict(self._plan(tasks))

    def source(self, tasks: str) -> dict:
        """What the images are made from, as `data.classes.prepare` takes it."""
        settings, images = self._settings(tasks), self.run.config["images"]
        source = {key: settings.get(key) for key in ("source", "dataset", "held_out")} | {"size": 32, "channels": 3}
        source |= {key: images[key] for key in ("validation_share", "unreadable", "duplicates", "leaks")}
        source["classes"] = {name: [name] for name in settings["classes"]}
        if settings["source"] == "synthetic":
            source |= {"images": settings["images"], "test_share": 0.25}
        if settings["source"] == "folder":
            source["classes"], source["tests"] = self._folders(settings, "train"), self._folders(settings, "test")
            listed = [folder for of in (source["classes"], source["tests"]) for each in of.values() for folder in each]
            source["folders"] = folders_digest(self.run.config["images_root"], listed)
        return source

    @staticmethod
    def _folders(settings: dict, part: str) -> dict[str, list[str]]:
        return {name: [str(Path(settings[part]) / name)] for name in settings["classes"]}

    def folders(self, tasks: str) -> list[str]:
        """The folders that the images lie in."""
        settings = self._settings(tasks)
        if settings["source"] != "folder":
            return []
        root = Path(self.run.config["images_root"])
        of = [
            folder for part in ("train", "test") for each in self._folders(settings, part).values() for folder in each
        ]
        return [str(spelled(root / folder)) for folder in of]

    def archive(self, tasks: str) -> dict[str, str]:
        """The archive that the workflow fetches a data set's images in."""
        dataset = self._settings(tasks).get("dataset")
        fetched = dataset in self.run.config["downloads"]
        return {"archive": f"resources/downloads/{dataset}.tar.gz"} if fetched else {}

    def recipe(self, tasks: str) -> dict:
        """How CNNs are trained, those of zoos, students and those trained on a task alike."""
        zoo, settings = self.run.config["zoo"], self._settings(tasks)
        recipe = {key: zoo[key] for key in ("architecture", "batch_size")} | {"schedule": "cosine", "flip": True}
        return recipe | {key: settings[key] for key in ("epochs", "images_per_epoch", "learning_rate")}

    def _blocks(self, tasks: str, n: int) -> Mapping[str, tuple[int, int]]:
        return shard_ranges(n, self._settings(tasks)["block"])

    def trained_part(self, tasks: str, shard: str) -> tuple[int, int]:
        """[start, stop) of the trained tasks of a job."""
        return known(self._blocks(tasks, len(self._plan(tasks).trained)), shard, f"part of tasks {tasks}")

    def trained_models(self, tasks: str, shard: str) -> list[int]:
        """CNNs of each of these: a zoo of each class, one CNN of each other task."""
        plan, models = self._plan(tasks), self._settings(tasks)["models"]
        return [models if place < len(plan.single) else 1 for place in range(*self.trained_part(tasks, shard))]

    def measured_part(self, tasks: str, shard: str) -> tuple[int, int]:
        """[start, stop) of the measured tasks of a job."""
        return known(self._blocks(tasks, len(self._plan(tasks).measured)), shard, f"part of tasks {tasks}")

    def networks(self, tasks: str) -> list[str]:
        """The CNNs of the trained tasks."""
        blocks = self._blocks(tasks, len(self._plan(tasks).trained))
        return [f"results/tasks/{tasks}/networks/{shard}.h5" for shard in blocks]

    def generated(self, tasks: str) -> list[str]:
        """What the hypernetwork and NetSpace give, if they are wanted."""
        ways = [way for way in ("hypernetwork", "netspace") if self._settings(tasks)[way]]
        return [f"results/tasks/{tasks}/{way}.h5" for way in ways]

    def hypernetwork(self, tasks: str) -> dict:
        """Its settings."""
        settings = self._settings(tasks)
        return {"hidden": settings["hidden"], "steps": settings["hypernetwork"]}

    def netspace(self, tasks: str) -> dict:
        """Settings of the space."""
        shared = self.run.config["netspace"]
        keys = ("code", "hidden", "networks", "inputs", "learning_rate", "temperature", "mixed", "compared", "probes")
        return {key: shared[key] for key in keys} | {"steps": self._settings(tasks)["netspace"]}

    def code_steps(self, tasks: str) -> int:
        """Steps in which a task's code is moved."""
        return self._settings(tasks)["code_steps"]

    def retrained(self, tasks: str) -> int:
        """CNNs that are trained on each unseen task."""
        return self._settings(tasks)["retrained"]

    def tables(self) -> list[str]:
        """The tables of all jobs.

        Raises:
            ValueError: the configuration has no tasks.
        """
        if not self.settings:
            raise ValueError("There are no tasks in the configuration. Call with --configfile config/tasks.yaml.")
        return [
            f"results/tasks/{name}/measured/{shard}.csv"
            for name in self.settings
            for shard in self._blocks(name, len(self._plan(name).measured))
        ]

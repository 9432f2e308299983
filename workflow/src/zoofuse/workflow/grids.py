"""Grids of conjunctions in a run."""

import functools
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from zoofuse.data import grid
from zoofuse.data.folders import spelled
from zoofuse.preflight.folder_checks import folders_digest
from zoofuse.workflow.names import known

if TYPE_CHECKING:
    from zoofuse.workflow.run import Run


class Grids:
    """What the jobs of a run's grids read and depend on."""

    def __init__(self, run: "Run"):
        self.run, self.settings = run, run.config["grid"]

    def _settings(self, name: str) -> dict:
        return known(self.settings, name, "grid")

    @functools.cache  # noqa: B019 - a run lives as long as its process
    def _grid(self, name: str) -> grid.Grid:
        return grid.from_settings(name, self._settings(name), self.run.seed)

    def facts(self, grid: str) -> dict:
        """All that says which pairs there are and which are held out."""
        return asdict(self._grid(grid))

    def source(self, grid: str) -> dict:
        """What the pool of images is made from."""
        settings = self._settings(grid)
        if settings["source"] == "synthetic":
            return {key: settings[key] for key in ("source", "images", "test_images")}
        source = {key: settings.get(key) for key in ("source", "dataset", "test_share", "colour_of")}
        source["unreadable"] = self.run.config["images"]["unreadable"]
        source["folders"] = self._folders(settings)
        if settings["source"] == "folder":
            listed = [folder for folders in source["folders"].values() for folder in folders]
            source["digest"] = folders_digest(self.run.config["images_root"], listed)
        return source

    def folders(self, grid: str) -> list[str]:
        """The folders of a grid's images."""
        settings = self._settings(grid)
        if settings["source"] != "folder":
            return []
        root = Path(self.run.config["images_root"])
        return [str(spelled(root / folder)) for folders in self._folders(settings).values() for folder in folders]

    def archive(self, grid: str) -> dict[str, str]:
        """The archive of a data set of torchvision."""
        settings = self._settings(grid)
        fetched = settings["source"] == "torchvision"
        return {"archive": f"resources/downloads/{settings['dataset']}.tar.gz"} if fetched else {}

    @staticmethod
    def _folders(settings: dict) -> dict[str, list[str]]:
        if settings["source"] == "folder":
            return {thing: [str(Path(settings["under"]) / thing)] for thing in settings["objects"]}
        return {thing: [thing] for thing in settings["objects"]}

    def concept(self, grid: str, concept: str) -> str:
        """An attribute or object by its name in paths."""
        return known(self._concepts(grid), concept, f"attribute or object of grid {grid}")

    def pair(self, grid: str, conjunction: str) -> list[str]:
        """A measured pair by its name in paths."""
        return list(known(self._pairs(grid), conjunction, f"measured pair of grid {grid}"))

    def _concepts(self, name: str) -> dict[str, str]:
        made = self._grid(name)
        return {grid.slug(concept): concept for concept in (*made.attributes, *made.objects)}

    def _pairs(self, name: str) -> dict[str, grid.Pair]:
        return {grid.slug(pair): pair for pair in self._grid(name).measured}

    def concept_settings(self, grid: str) -> dict:
        """How many CNNs and images a concept has, and how its images are split."""
        settings, images = self._settings(grid), self.run.config["images"]
        chosen = {key: settings[key] for key in ("models", "concept_images")}
        return chosen | {key: images[key] for key in ("validation_share", "validation_max")}

    def training(self) -> dict:
        """As `Run.training`, of concepts that have no settings of their own."""
        keys = ("architecture", "epochs", "batch_size", "learning_rate", "schedule", "balance", "images_per_epoch")
        return {key: self.run.config["zoo"][key] for key in keys}

    def images(self, grid: str, conjunction: str) -> list[str]:
        """The images files of a pair's attribute and object."""
        return self._files(grid, conjunction, "images")

    def zoos(self, grid: str, conjunction: str) -> list[str]:
        """The zoo files of a pair's attribute and object."""
        return self._files(grid, conjunction, "zoo")

    def others(self, grid: str, conjunction: str) -> list[str]:
        """The zoo and images files of all other concepts of the grid, by turns, where a method asks for them."""
        if not any("others" in self.run.entry(method).needs for method in self.methods(grid)):
            return []
        own = self.pair(grid, conjunction)
        names = [name for name, concept in self._concepts(grid).items() if concept not in own]
        return [f"results/grid/{grid}/{kind}/{name}.h5" for name in names for kind in ("zoo", "images")]

    def _files(self, name: str, conjunction: str, kind: str) -> list[str]:
        return [f"results/grid/{name}/{kind}/{grid.slug(part)}.h5" for part in self.pair(name, conjunction)]

    def methods(self, grid: str) -> list[str]:
        return self._settings(grid)["methods"]

    def method_codes(self, grid: str) -> list[str]:
        """The digests of the code of every method of a grid."""
        made = [name for name in self.methods(grid) if self.run.entry(name).makes_cnns]
        return [self.run.method_code(name) for name in made]

    @property
    def pair_threads(self) -> int:
        """Threads of a pair's job: no more than the CNNs it trains at once, as each is trained by one."""
        return min(self.run.threads, self.run.config["distil"]["models"])

    def pair_settings(self, grid: str) -> dict:
        """What the measurement of a pair depends on, beside its files."""
        config = self.run.config
        return {
            "pair_images": self._settings(grid)["pair_images"],
            "seed": config["seed"],
            "zoo": {"architecture": config["zoo"]["architecture"]},
            **{
                name: config[name]
                for name in ("distil", "distil_weights", "direct", "direct_pair", "operator", "variants")
            },
            "evaluation": {"zero_shot": config["evaluation"]["zero_shot"]},
        }

    def tables(self) -> list[str]:
        """The table of every measured pair.

        Raises:
            ValueError: the configuration has no grid.
        """
        if not self.settings:
            raise ValueError("There is no grid in the configuration. Call with --configfile config/grid.yaml.")
        return [f"results/grid/{name}/pairs/{pair}.csv" for name in self.settings for pair in self._pairs(name)]

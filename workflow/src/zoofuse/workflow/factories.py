"""Factory zoos in a run: populations of CNNs with varied hyper-parameters."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from zoofuse.config import factories
from zoofuse.data.folders import spelled
from zoofuse.importers import populations
from zoofuse.preflight.folder_checks import Fault, class_fault, folders_digest
from zoofuse.workflow.names import TRAINED, Refused, known, shard_ranges, shard_size

if TYPE_CHECKING:
    from zoofuse.workflow.run import Run


class Factories:
    """What the jobs of a run's factory zoos read and depend on. Their zoos lie beside those of concepts, so that the
    wildcard that names one is called concept."""

    def __init__(self, run: "Run"):
        self.run, self.settings = run, run.config["factory"]
        twins = {parent: factories.twins(parent, settings) for parent, settings in self.settings.items()}
        self.imported = [name for name, settings in self.settings.items() if settings.get("zoo")]
        self.trained = [name for name in self.settings if name not in self.imported]
        self.pruned = {name: (parent, percent) for parent, of in twins.items() for name, percent in of.items()}

    def _settings(self, concept: str) -> dict:
        """Of a factory zoo, or of the one that pruned twins come from."""
        return known(self.settings, self.parent(concept), "factory zoo")

    def parent(self, concept: str) -> str:
        """The zoo whose CNNs pruned twins come from; any other zoo itself."""
        return self.pruned[concept][0] if concept in self.pruned else concept

    def pruning(self, concept: str) -> dict:
        """How pruned twins are made."""
        return {"sparsity": self.pruned[concept][1] / 100, "epochs": self._settings(concept)["pruned_epochs"]}

    def source(self, concept: str) -> dict:
        """What the images are made from."""
        settings, images = self._settings(concept), self.run.config["images"]
        source = {key: settings.get(key) for key in ("source", "dataset", "classes", "size", "channels", "held_out")}
        source |= {key: images[key] for key in ("validation_share", "unreadable", "duplicates")}
        match settings["source"]:
            case "synthetic":
                source |= {key: settings[key] for key in ("images", "test_share")}
            case "torchvision":  # which has test images of its own
                source["leaks"] = images["leaks"]
            case "folder":
                source["test_share"] = settings["test_share"]
                source["folders"] = folders_digest(self.run.config["images_root"], self._folders(settings))
        return source

    @staticmethod
    def _folders(settings: dict) -> list[str]:
        return [folder for folders in settings["classes"].values() for folder in folders]

    def folders(self, concept: str) -> list[str]:
        """The folders that the images lie in; if they can't be listed, as `Images.concept_folders`.

        Raises:
            Refused: the folders can't be used.
        """
        settings = self._settings(concept)
        if settings["source"] != "folder":
            return []
        root = Path(self.run.config["images_root"])
        if fault := self._fault(concept):
            output = Path(f"{self.run.results}/images/{concept}.h5")
            if not (fault.gone and output.exists()):
                raise Refused(fault.words)
            self.run.warn(f"{fault.words}\nWhat was made of these images before is kept; nothing new is made of them.")
            return [str(root / f"(images of {concept})")]
        return [str(spelled(root / folder)) for folder in self._folders(settings)]

    @functools.cache  # noqa: B019 - a run lives as long as its process
    def _fault(self, concept: str) -> Fault | None:
        """Looked for once; not in a job on another node, as the process that submitted it has looked."""
        return class_fault(self.run.config, concept) if self.run.main else None

    def archive(self, concept: str) -> dict[str, str]:
        """The archive that the workflow fetches a data set's images in."""
        dataset = self._settings(concept).get("dataset")
        fetched = dataset in self.run.config["downloads"]
        return {"archive": f"resources/downloads/{dataset}.tar.gz"} if fetched else {}

    def training(self, concept: str) -> dict:
        """What a CNN's numbers depend on."""
        settings, of = self._settings(concept), factories.network(self._settings(concept))
        network = {"layers": of.layers, "channels": of.channels, "size": of.size, "classes": of.classes}
        return {"network": network} | {
            key: settings[key] for key in ("factors", "images_per_epoch", "checkpoint_every")
        }

    def _shards(self, concept: str) -> Mapping[str, tuple[int, int]]:
        models = self._settings(concept)["models"]
        return shard_ranges(models, shard_size(models, self.run.config["zoo"]["shard_size"], TRAINED))

    def shard_models(self, concept: str, shard: str) -> tuple[int, int]:
        """[start, stop) of a zoo file's global indices."""
        return known(self._shards(concept), shard, f"shard of factory zoo {concept}")

    def zoo(self, concept: str) -> list[str]:
        """The zoo files of a concept or of a factory zoo."""
        if concept not in {**self.settings, **self.pruned}:
            return self.run.zoo(concept)
        return [f"results/zoo/{concept}/shard-{shard}.h5" for shard in self._shards(concept)]

    def existing(self, concept: str) -> str:
        """The folder of an existing population."""
        return str(Path(self.run.config["zoo_root"]) / self._settings(concept)["zoo"])

    def existing_digest(self, concept: str, shard: str) -> str:
        """So that a changed population is read again."""
        return populations.digest(self.existing(concept), range(*self.shard_models(concept, shard)))

    def classes(self, concept: str) -> list[str]:
        """The names of an existing population's classes; none where the configuration names none."""
        return list(self._settings(concept)["classes"])

    def origin(self, concept: str) -> dict | None:
        """`source` and `dataset` of the images that a zoo is trained on; None where they are unknown."""
        if concept not in {**self.settings, **self.pruned}:
            return self.run.images.origin(concept)
        if concept in self.imported:
            return None
        return {key: self._settings(concept).get(key) for key in ("source", "dataset")}

    def reported(self) -> list[str]:
        """The zoos that are exported and reported on: factory zoos, or those of concepts where there is none."""
        return [*self.settings, *self.pruned] or list(self.run.concepts)

    def report(self) -> dict[str, list[str]]:
        """What the report on zoos reads of each."""
        inputs = {}
        for name in self.reported():
            inputs[f"zoo_{name}"] = self.zoo(name)
            inputs[f"models_{name}"] = [f"results/zoo/{name}/models.csv"]
            if name in {*self.trained, *self.pruned, *self.run.trained}:
                inputs[f"images_{name}"] = [self.images(name)]
        return inputs

    def images(self, concept: str) -> str:
        """The images that a zoo's CNNs are trained on."""
        return f"results/images/{self.parent(concept)}.h5"

    def parents(self, concept: str, shard: str) -> str:
        """The zoo file whose CNNs those of a file of pruned twins come from."""
        return f"results/zoo/{self.parent(concept)}/shard-{shard}.h5"

    def all(self) -> list[str]:
        """Every factory zoo and its pruned twins, and the table of each.

        Raises:
            ValueError: the configuration has none.
        """
        if not self.settings:
            raise ValueError(
                "There is no factory zoo in the configuration. Call with --configfile config/factory.yaml."
            )
        return [
            path
            for name in (*self.settings, *self.pruned)
            for path in (*self.zoo(name), f"results/zoo/{name}/models.csv")
        ]

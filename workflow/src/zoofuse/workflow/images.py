"""Images of a run: where they come from, and what is wrong with their folders."""

import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING

from zoofuse.data import expressions
from zoofuse.data.folders import spelled
from zoofuse.data.joins import Join
from zoofuse.preflight.folder_checks import Fault, folder_faults, folders_digest, made_from
from zoofuse.workflow.names import Refused

if TYPE_CHECKING:
    from zoofuse.workflow.run import Run


class Images:
    """What the images of a run's concepts and tests are made from."""

    def __init__(self, run: "Run"):
        self.run = run

    def of_fusion(self, fusion: str) -> list[str]:
        """The images of a fusion's concepts; an existing zoo brings none."""
        return [f"results/images/{name}.h5" for name in self.run.fusion_concepts(fusion) if name in self.run.trained]

    def judges(self, fusion: str) -> dict[str, str]:
        """The first file of each zoo, whose CNNs judge the images of the other concepts."""
        return {f"zoo_{side}": self.run.zoo(concept)[0] for side, concept in self.run.by_side(fusion).items()}

    @functools.cached_property
    def places(self) -> dict[str, dict]:
        """Where in the configuration -> concept or test that names images."""
        concepts = {f"concepts.{name}": self.run.concepts[name] for name in self.run.trained}
        return concepts | {f"fusions.{name}.test": fusion["test"] for name, fusion in self.run.fusions.items()}

    def source(self, place: dict) -> dict:
        """What an images file is made from: the keys of a place that name images.

        Raises:
            ValueError: the folders can't be listed.
        """
        source = {key: place.get(key) for key in ("source", "dataset", "positive", "negative")}
        if place["source"] == "folder":
            folders = place["positive"] + place["negative"]
            source["folders"] = folders_digest(self.run.config["images_root"], folders)
        if place["source"] == "synthetic":
            source["images"] = self.run.config["synthetic"]["images" if "models" in place else "test_images"]
        return source

    def origin(self, concept: str) -> dict | None:
        """`source` and `dataset` of the images that a concept's zoo is trained on; None for an existing zoo."""
        place = self.places.get(f"concepts.{concept}")
        return place and {key: place.get(key) for key in ("source", "dataset")}

    def concept_source(self, concept: str) -> dict:
        keys = ("validation_share", "validation_max", "unreadable", "duplicates")
        return self.source(self.run.concept(concept)) | self._settings(keys)

    def test_source(self, fusion: str) -> dict:
        test, settings = self.run.fusion(fusion)["test"], self._settings(("unreadable", "duplicates", "leaks"))
        if test["order"] != "positives_first":  # left out else, so that no finished run is done again
            settings["order"] = test["order"]
        if join := self.join(fusion):
            settings["join"] = join.written()
        return self.source(test) | settings

    def join(self, fusion: str) -> Join | None:
        """How the concepts' probabilities are joined; None where they are multiplied."""
        settings = self.run.fusion(fusion)
        names = {name.lower(): place for place, name in enumerate(settings["concepts"])}
        if "expression" not in settings:
            clauses = tuple(((place, True),) for place in range(len(names)))
            return Join(len(names), clauses, settings["combine"]) if settings["combine"] != "product" else None
        of = expressions.parse(settings["expression"], [*names], f"fusions.{fusion}.expression")
        clauses = tuple(tuple((names[word], positive) for word, positive in clause) for clause in of.clauses)
        return Join(len(names), clauses, settings["combine"])

    def sources(self) -> dict[str, dict]:
        """Where in the configuration -> what its images are made from."""
        return {where: self.source(place) for where, place in self.places.items()}

    def _settings(self, keys: tuple[str, ...]) -> dict:
        return {key: self.run.config["images"][key] for key in keys}

    @functools.cached_property
    def faults(self) -> dict[str, Fault]:
        """Place -> what is wrong with its folders; looked for once, by the first rule that reads any.

        Nothing in a job on another node: the process that submitted it has looked.
        """
        return folder_faults(self.run.config) if self.run.main else {}

    def _folders(self, where: str, output: str) -> list[str]:
        """The folders of a place; if they can't be used, a path that is missing for Snakemake too.

        Snakemake then goes on with `output` if it exists and was made from these folders.

        Raises:
            Refused: the folders can't be used, and `output` was made from others.
        """
        place = self.places[where]
        if place["source"] != "folder":
            return []
        root = Path(self.run.config["images_root"])
        if where not in self.faults:
            return [str(spelled(root / folder)) for folder in place["positive"] + place["negative"]]
        every = "\n".join(dict.fromkeys(fault.words for fault in self.faults.values()))
        if not self.faults[where].gone or (os.path.exists(output) and not made_from(Path(output), place)):
            raise Refused(every)
        self.run.warn(f"{every}\nWhat was made of these images before is kept; nothing new is made of them.")
        return [str(root / f"(images of {where})")]

    def _archive(self, where: str, key: str = "archive") -> dict[str, str]:
        place = self.places[where]
        if place["source"] != "torchvision":
            return {}
        return {key.format(**place): f"resources/downloads/{place['dataset']}.tar.gz"}

    def concept_folders(self, concept: str) -> list[str]:
        self.run.concept(concept)
        return self._folders(f"concepts.{concept}", f"{self.run.results}/images/{concept}.h5")

    def concept_archive(self, concept: str) -> dict[str, str]:
        self.run.concept(concept)
        return self._archive(f"concepts.{concept}")

    def test_folders(self, fusion: str) -> list[str]:
        self.run.fusion(fusion)
        return self._folders(f"fusions.{fusion}.test", f"{self.run.results}/test_images/{fusion}.h5")

    def test_archive(self, fusion: str) -> dict[str, str]:
        self.run.fusion(fusion)
        return self._archive(f"fusions.{fusion}.test")

    def checked_folders(self) -> list[str]:
        return [folder for where in self.places for folder in self._folders(where, "")]

    def checked_archives(self) -> dict[str, str]:
        """Data set -> its archive."""
        archives: dict[str, str] = {}
        for where in self.places:
            archives |= self._archive(where, "{dataset}")
        return archives

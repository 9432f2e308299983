"""A run: the shards, counts, inputs, params and targets that follow from its configuration."""

import itertools
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from zoofuse.config import sides
from zoofuse.core.code import HOME
from zoofuse.core.files import digest
from zoofuse.evaluation import foreign_predictions
from zoofuse.importers import foreign, imports
from zoofuse.methods import registry
from zoofuse.preflight.folder_checks import count_zoo, models_made
from zoofuse.workflow.across import Across
from zoofuse.workflow.architectures import Architectures
from zoofuse.workflow.board import Board
from zoofuse.workflow.factories import Factories
from zoofuse.workflow.goals import Goals
from zoofuse.workflow.grids import Grids
from zoofuse.workflow.images import Images
from zoofuse.workflow.names import EVALUATED, Refused, known, shard_ranges, shard_size, trained_shard
from zoofuse.workflow.netspace import NetSpace
from zoofuse.workflow.params import method_code
from zoofuse.workflow.sources import sources
from zoofuse.workflow.tasks import Tasks

CLUSTERERS = ("kmeans", "dbscan", "one_class_svm")
LEADERBOARD = ("leaderboard", "comparisons", "zero_shot", "selection", "groups")
REPLICATES = ("replicates", "replicate_comparisons")
PUBLISHED_CONCEPTS = ["black", "cat"]


class Run:
    """What follows from one configuration.

    Methods take the wildcards of a path as strings and return file names, as a list or by name, or
    the values of params. Those that look up a name raise ValueErrors worded for users.

    Args:
        config: as `config.complete` returns it. The sizes of existing zoos are filled in.
        main: whether this process plans the run; jobs on other nodes look at no images or zoos.
        warn: takes messages for the user.
        results: the folder of all outputs. The paths that methods return begin with "results", which Snakemake
            replaces where the workflow is a module with a `prefix`.
    """

    def __init__(
        self,
        config: dict,
        *,
        main: bool = True,
        warn: Callable[[str], None] = print,
        results: str = "results",
    ):
        self.config, self.main, self.warn, self.results = config, main, warn, results
        self.concepts, self.fusions = config["concepts"], config["fusions"]
        self.trained = [name for name, concept in self.concepts.items() if "zoo" not in concept]
        self.imported = [name for name in self.concepts if name not in self.trained]
        self.imported_fusions = [name for name, fusion in self.fusions.items() if "generators" in fusion]
        self.gpus = 0 if config["zoo"]["device"] == "cpu" else 1  # that a training job asks for
        self.threads = config["zoo"]["threads"]
        self.seed = config["seed"]
        self.zoo_faults: dict[str, str] = {}  # concept -> why its existing zoo can't be read
        self.settings = digest(config)  # before any size is filled in
        self.images, self.netspace, self.goals = Images(self), NetSpace(self), Goals(self)
        self.grids, self.factories, self.tasks = Grids(self), Factories(self), Tasks(self)
        self.board = Board(self)
        self.architectures, self.across = Architectures(self), Across(self)

    # ------------------------------------------------------------ what jobs on other nodes are given

    def count_zoos(self) -> None:
        """Fill in the sizes of existing zoos."""
        with foreign.reader():  # one child process for all of them
            for name in self.imported:
                self.concepts[name]["models"] = self._count(name)

    def begun(self) -> str:
        """What `resume` takes: the digest of the settings and the sizes of existing zoos.

        So only jobs that import an existing zoo look at it.
        """
        sizes = ",".join(str(self.concepts[name]["models"] or "-") for name in self.imported)
        return f"{self.settings}/{sizes}"

    def resume(self, begun: str) -> None:
        """Take over the sizes of existing zoos from the process that began this run.

        Raises:
            ValueError: the configuration was changed since.
        """
        settings, _, sizes = begun.partition("/")
        if settings != self.settings:
            raise ValueError(
                "The configuration was changed while a run goes on, so its jobs that are left are not done. Run the "
                "same command again when it has ended: what was changed is done again."
            )
        for name, size in zip(self.imported, sizes.split(",") if self.imported else [], strict=True):
            self.concepts[name]["models"] = None if size == "-" else int(size)

    def _count(self, concept: str) -> int | None:
        """CNNs of an existing zoo; None where nobody can tell, as it is gone, which zoo_faults says."""
        settings = self.concepts[concept]
        try:
            return count_zoo(self.config, concept)
        except ValueError as error:
            self.zoo_faults[concept] = str(error)
            folder = Path(f"{self.results}/zoo/{concept}")
            return models_made(Path(self._existing(settings["zoo"])), folder, settings["models"])

    def _existing(self, path: str) -> str:
        return str(Path(self.config["zoo_root"]) / path)

    # ------------------------------------------------------------------------------- names

    def concept(self, concept: str) -> dict:
        return known(self.concepts, concept, "concept")

    def fusion(self, fusion: str) -> dict:
        return known(self.fusions, fusion, "fusion")

    def methods(self, fusion: str) -> list[str]:
        return self.fusion(fusion)["methods"]

    def by_side(self, fusion: str) -> dict[str, str]:
        """Letter -> concept of a fusion."""
        return sides(self.fusion(fusion))

    def fusion_concepts(self, fusion: str) -> list[str]:
        return self.fusion(fusion)["concepts"]

    def volumes(self, fusion: str) -> list[str]:
        """What has a kernel bank and a CycleGAN of its own: each conv layer, or both together."""
        return ["joint"] if self.fusion(fusion)["joint"] else self.architectures.layers(fusion)

    def pairs(self, fusion: str) -> list[str]:
        """The wildcard `pair` of each two neighbouring concepts: "-ab", "-bc"; "" of the only two."""
        letters = list(self.by_side(fusion))
        return [""] if len(letters) == 2 else [f"-{one}{other}" for one, other in itertools.pairwise(letters)]

    # -------------------------------------------------------------------------------- zoos

    def models(self, concept: str) -> int:
        """CNNs of a concept's zoo: those asked for, or as many as its existing zoo holds.

        Raises:
            Refused: the existing zoo can't be read and nothing was imported from it before.
        """
        settings = self.concepts[concept]
        if settings["models"] is None and concept not in self.zoo_faults:
            settings["models"] = self._count(concept)
        if settings["models"] is None:
            raise Refused(self.zoo_faults[concept])
        return settings["models"]

    def _shards(self, concept: str) -> Mapping[str, tuple[int, int]]:
        self.concept(concept)
        models = self.models(concept)
        return shard_ranges(models, trained_shard(self.config["zoo"], models))

    def zoo(self, concept: str) -> list[str]:
        """The zoo files of a concept."""
        return [f"results/zoo/{concept}/shard-{shard}.h5" for shard in self._shards(concept)]

    def zoos(self, concepts: Iterable[str]) -> list[str]:
        return [shard for concept in concepts for shard in self.zoo(concept)]

    def shard_models(self, concept: str, shard: str) -> tuple[int, int]:
        """[start, stop) of a zoo file's global indices."""
        return known(self._shards(concept), shard, f"shard of concept {concept}")

    def training(self, concept: str) -> dict:
        """What a CNN's numbers depend on, in a fixed order; nothing else may re-run its training."""
        settings, zoo = self.concept(concept), self.config["zoo"]
        keys = ("architecture", "epochs", "batch_size", "learning_rate", "schedule", "balance", "checkpoint_every")
        training = {key: zoo[key] for key in keys} | {"architecture": settings["architecture"] or zoo["architecture"]}
        training["images_per_epoch"] = settings["images_per_epoch"] or zoo["images_per_epoch"]
        return training | {key: settings[key] for key in ("flip", "brightness", "colour")}

    def existing_zoo(self, concept: str) -> str:
        """An existing zoo; if it can't be read, a path that is missing for Snakemake too.

        Snakemake then goes on with what was imported from it before.
        """
        path = self._existing(self.concepts[concept]["zoo"])
        if concept not in self.zoo_faults:
            return path
        self.warn(f"{self.zoo_faults[concept]}\nWhat was imported from it before is kept; nothing new is imported.")
        return f"{path} (zoo of {concept})"

    def existing_zoo_digest(self, concept: str, shard: str) -> str:
        """So that a changed zoo is read again."""
        return imports.digest(self.existing_zoo(concept), range(*self.shard_models(concept, shard)))

    def layer_names(self, concept: str) -> dict:
        """Our layer -> its name in an existing zoo, where they differ."""
        return self.concepts[concept].get("layers", {})

    def concept_output(self, concept: str) -> int:
        """Which output of an existing zoo's linear layer stands for the concept."""
        settings = self.concepts[concept]
        if "concept_output" in settings:
            return settings["concept_output"]
        return imports.declared_output(self._existing(settings["zoo"]))

    # ------------------------------------------------------------------------------- fusions

    def unaligned_zoo(self, fusion: str, side: str) -> list[str]:
        """The files of one of a fusion's zoos, as trained or imported."""
        return self.zoo(known(self.by_side(fusion), side, f"concept of {fusion}"))

    def reference_zoo(self, fusion: str) -> list[str]:
        """The zoo whose channel order the others are brought into."""
        return self.unaligned_zoo(fusion, "a")

    def zoo_of(self, fusion: str, side: str) -> list[str]:
        """As `unaligned_zoo`, in one channel order where the fusion asks for that."""
        return (
            [f"results/aligned/{fusion}/{side}.h5"]
            if self.fusion(fusion)["align"]
            else self.unaligned_zoo(fusion, side)
        )

    def fusion_zoos(self, fusion: str) -> dict[str, list[str]]:
        """Letter -> zoo files, as they are translated and compared."""
        return {side: self.zoo_of(fusion, side) for side in self.by_side(fusion)}

    def parents(self, fusion: str) -> dict[str, list[str]]:
        """As `fusion_zoos`, by the names that the inputs of methods have."""
        return {f"zoo_{side}": paths for side, paths in self.fusion_zoos(fusion).items()}

    def existing_generators(self, fusion: str) -> str:
        return self._existing(self.fusions[fusion]["generators"])

    def domains(self, fusion: str, pair: str) -> str:
        """The two domains that a CycleGAN translates between: "AB" or, of several pairs, "BC"."""
        neighbours = map("".join, itertools.pairwise(map(str.upper, self.by_side(fusion))))
        return known(dict(zip(self.pairs(fusion), neighbours, strict=True)), pair, f"pair of {fusion}")

    def translated(self) -> dict[str, dict[str, str]]:
        """Fusion -> CycleGAN, such as conv1-bc -> its domains, in the order of `generators`."""
        return {
            fusion: {
                f"{v}{pair}": self.domains(fusion, pair) for v in self.volumes(fusion) for pair in self.pairs(fusion)
            }
            for fusion in self.fusions
        }

    def translations(self, fusion: str, volume: str, file: str) -> list[str]:
        """A file of each CycleGAN over a volume, in the order of the concepts."""
        return [f"results/cyclegan/{fusion}/{volume}{pair}/{file}" for pair in self.pairs(fusion)]

    def generators(self, fusion: str) -> list[str]:
        return [path for volume in self.volumes(fusion) for path in self.translations(fusion, volume, "generators.h5")]

    def histories(self, fusion: str) -> list[str]:
        return [path for volume in self.volumes(fusion) for path in self.translations(fusion, volume, "history.csv")]

    def counts(self, fusion: str) -> dict[str, int]:
        """Method -> number of CNNs it generates of each domain for a fusion."""
        return registry.counts(self._sizes(fusion), self.config)

    def _sizes(self, fusion: str) -> dict[str, int]:
        return {side: self.models(concept) for side, concept in self.by_side(fusion).items()}

    def method_count(self, fusion: str, method: str) -> int:
        entry, sizes = self.entry(method), self._sizes(fusion)
        if entry.makes_cnns and (not entry.letter or entry.letter in sizes):
            return entry.count(sizes, self.config, entry.settings(self.config))
        return known(self.counts(fusion), method, f"method of {fusion}")  # which raises

    def method_inputs(self, fusion: str, method: str) -> dict[str, list[str]]:
        """What a method generates its CNNs from, by what it says it needs (`registry.Method`)."""
        entry, concepts = self.entry(method), self.by_side(fusion)
        inputs: dict[str, list[str]] = {}
        for need in entry.needs:
            match need:
                case "zoos":
                    inputs |= self.parents(fusion)
                case "own zoo":
                    inputs[f"zoo_{entry.letter}"] = self.zoo_of(fusion, entry.letter)
                case "trained":  # in their own channel order
                    inputs |= {f"zoo_{side}": self.unaligned_zoo(fusion, side) for side in concepts}
                case "volumes" | "layers":
                    volumes = self.volumes(fusion) if need == "volumes" else self.architectures.layers(fusion)
                    inputs |= {f"bank_{volume}": [f"results/kernels/{fusion}/{volume}.h5"] for volume in volumes}
                case "generators":
                    for volume in self.volumes(fusion):
                        inputs[f"generators_{volume}"] = self.translations(fusion, volume, "generators.h5")
                case "images":
                    inputs |= {f"images_{side}": [f"results/images/{name}.h5"] for side, name in concepts.items()}
                case other if other.startswith("method:"):
                    name = other.removeprefix("method:")
                    inputs[f"made_{name}"] = [f"results/generated/{fusion}/{name}.h5"]
        return inputs

    def entry(self, method: str) -> registry.Method:
        """What is registered of a method or of a variant of one."""
        return registry.get(method, self.config["variants"])

    def methods_by_effort(self, *efforts: str) -> list[str]:
        methods = registry.methods(self.config["variants"])
        return [name for name, entry in methods.items() if entry.effort in efforts]

    def method_base(self, method: str) -> str:
        """The registered method: of a variant, the one that it varies."""
        return self.entry(method).of or method

    def method_options(self, method: str) -> dict:
        """A method's settings: a changed one generates its CNNs again."""
        return self.entry(method).settings(self.config)

    def method_code(self, method: str) -> str:
        """The digest of the code that generates a method's CNNs."""
        return method_code(self.method_base(method))

    def generated(self, fusion: str) -> list[str]:
        """The CNNs of every method of a fusion."""
        return [f"results/generated/{fusion}/{method}.h5" for method in self.methods(fusion)]

    # ----------------------------------------------------------------------------- evaluation

    def limit(self, method: str) -> int | None:
        """The setting that bounds how many of a method's CNNs are evaluated; None for all."""
        return self.config["evaluation"]["models" if self.entry(method).is_generated else "baselines"]

    def held_out(self, method: str) -> int | None:
        """How many CNNs of each domain of a method the held-out protocol evaluates; None for all."""
        return self.config["evaluation"]["held_out"] if self.entry(method).is_generated else None

    def evaluation_ranges(self, fusion: str, method: str) -> Mapping[str, tuple[int, int]]:
        """Shard name -> (start, stop) among the evaluated CNNs of a method, domain after domain."""
        each = self.method_count(fusion, method)
        total = self.entry(method).domains * min(each, self.limit(method) or each)
        return shard_ranges(total, shard_size(total, self.config["evaluation"]["shard_size"], EVALUATED))

    def evaluated_part(self, fusion: str, method: str, shard: str) -> dict:
        """Which CNNs of a method a shard evaluates, as `zoo.part` takes it."""
        start, stop = known(self.evaluation_ranges(fusion, method), shard, f"evaluation shard of {method}")
        return {"limit": self.limit(method), "start": start, "stop": stop}

    def evaluation_settings(self) -> dict:
        return {key: self.config["evaluation"][key] for key in ("embeddings", "umap", "tsne", *CLUSTERERS)}

    def recipe(self) -> dict:
        """How distilled CNNs are trained, and those of the oracle beside them."""
        keys = ("images", "epochs", "batch_size", "learning_rate", "shift")
        return {key: self.config["distil"][key] for key in keys}

    def _predictions(self, folder: str, fusion: str, methods: Iterable[str]) -> list[str]:
        return [
            f"results/{folder}/{fusion}/{method}/shard-{shard}.h5"
            for method in methods
            for shard in self.evaluation_ranges(fusion, method)
        ]

    def evaluated(self, fusion: str, methods: Iterable[str] | None = None) -> list[str]:
        """Predictions of methods' CNNs (default: every one's) by the published and the held-out protocol."""
        return self._predictions("evaluation", fusion, self.methods(fusion) if methods is None else methods)

    def zero_shot(self, fusion: str, methods: Iterable[str] | None = None) -> list[str]:
        """As `evaluated`, by the product of the CNNs' heads."""
        return self._predictions("zero_shot", fusion, self.methods(fusion) if methods is None else methods)

    def probe_images(self, fusion: str) -> list[str]:
        """The images of a fusion's concepts; none if one is an existing zoo, as probes need all."""
        images = self.images.of_fusion(fusion)
        return images if len(images) == len(self.by_side(fusion)) else []

    def predictions(self, fusion: str) -> list[str]:
        """Predictions of every method and baseline, by all protocols."""
        return [
            *self.evaluated(fusion),
            f"results/evaluation/{fusion}/baselines.h5",
            *self.zero_shot(fusion),
            f"results/zero_shot/{fusion}/baselines.h5",
        ]

    def foreign(self, fusion: str) -> dict[str, Path]:
        """Name -> file of other classifiers' predictions, looked through."""
        self.fusion(fusion)
        try:
            return foreign_predictions.find(fusion)
        except ValueError as error:
            raise Refused(str(error)) from None

    def foreign_file(self, fusion: str, name: str) -> str:
        return str(known(self.foreign(fusion), name, f"file in {foreign_predictions.FOLDER}/{fusion}"))

    def leaderboard(self, fusion: str) -> list[str]:
        """Predictions of every method, baseline and foreign classifier."""
        return self.predictions(fusion) + [f"results/foreign/{fusion}/{name}.h5" for name in self.foreign(fusion)]

    def replicates(self, fusion: str) -> list[str]:
        """`predictions` of this run and then of each run in `replicates`; a foreign file is of one run's images."""
        inputs = self.predictions(fusion)
        for folder in self.config["replicates"]:
            there = [os.path.join(folder, path) for path in self.predictions(fusion)]
            if missing := [path for path in there if not os.path.exists(path)]:
                self.warn(
                    f"replicates: {folder} lacks {os.path.relpath(missing[0], folder)}. Make it first, with the "
                    "same settings and another seed: "
                    f"snakemake tables --directory {folder} --config seed=NUMBER ..."
                )
            inputs += there
        return inputs

    def own_images(self, fusion: str) -> bool:
        """Whether another seed has other test images."""
        return self.fusion(fusion)["test"]["source"] == "synthetic"

    def searched(self, fusion: str) -> list[str]:
        return [f"results/evaluation/{fusion}/{method}/search.csv" for method in self.methods(fusion)]

    # ---------------------------------------------------------------------- tables and figures

    def tables(self, fusion: str) -> list[str]:
        rows = [f"{prefix}{clusterer}" for prefix in ("", "held_out_") for clusterer in CLUSTERERS]
        replicates = REPLICATES if self.config["replicates"] else ()
        names = [*LEADERBOARD, *replicates, "few_shot", "nearest_parent", *rows, "summary"]
        return [f"results/tables/{fusion}/{name}.csv" for name in names]

    def is_published(self, fusion: str) -> bool:
        return self.fusion_concepts(fusion) == PUBLISHED_CONCEPTS

    def published(self, fusion: str) -> list[str]:
        """The published tables, if the fusion is the published one."""
        return [
            str(HOME / "resources" / "published" / f"{clusterer}.csv")
            for clusterer in (CLUSTERERS if self.is_published(fusion) else ())
        ]

    def shown_method(self, fusion: str) -> str:
        """The method whose CNNs the figures show: the first one named."""
        return self.methods(fusion)[0]

    def shown_zoo(self, fusion: str) -> str:
        return f"results/generated/{fusion}/{self.shown_method(fusion)}.h5"

    def shown_predictions(self, fusion: str) -> list[str]:
        return self.evaluated(fusion, [self.shown_method(fusion)])

    def report(self) -> dict[str, str | list[str]]:
        """Every file the report shows, by `<kind>` or, of a fusion, `<kind>_<fusion>`."""
        inputs: dict[str, str | list[str]] = {
            "images": [f"results/images/{concept}.h5" for concept in self.trained],
            "tests": [f"results/test_images/{fusion}.h5" for fusion in self.fusions],
            "figures": ["results/figures/examples.png"],
        }
        if self.trained:
            inputs["zoo"] = "results/tables/zoo.csv"
            inputs["figures"] += [f"results/figures/{name}.png" for name in ("zoo_histogram", "zoo_curves")]
        for name, fusion in self.fusions.items():
            figures = ["cosine_selected", "cosine_median", "few_shot"]
            figures += ["replicates"] if self.config["replicates"] else []
            figures += ["suspects"] if self.images.of_fusion(name) else []
            if "cyclegan" in fusion["methods"]:
                figures += [f"kernels_{layer}" for layer in self.architectures.layers(name)]
                if name not in self.imported_fusions:
                    figures.append("cyclegan")
                    inputs[f"generators_{name}"] = self.generators(name)
            inputs[f"figures_{name}"] = [f"results/figures/{name}/{figure}.png" for figure in figures]
            inputs[f"shown_{name}"] = f"results/figures/{name}/shown.h5"
            summary = f"results/tables/{name}/summary.csv"
            inputs[f"made_{name}"] = sorted({path for paths in sources(self, name).values() for path in paths})
            inputs[f"tables_{name}"] = [path for path in self.tables(name) if path != summary]
            if self.is_published(name):
                inputs[f"published_{name}"] = [f"results/tables/{name}/published_{c}.csv" for c in CLUSTERERS]
        # Files that a run leaves behind for `snakemake --report` and for readers of tables; the report has its own.
        inputs["beside"] = [f"results/figures/{name}/methods.png" for name in self.fusions]
        inputs["beside"] += [f"results/tables/{name}/summary.csv" for name in self.fusions]
        return inputs

    def sources(self) -> dict[str, dict[str, list[str]]]:
        """Fusion -> row of its tables -> the files that it comes from."""
        return {name: sources(self, name) for name in self.fusions}

    def exported(self) -> list[str]:
        """A config.json for each fusion and method that generates CNNs.

        A baseline is exported when its file is named.
        """
        return [
            f"results/models/{name}/{method}/config.json"
            for name, fusion in self.fusions.items()
            for method in fusion["methods"]
            if self.entry(method).is_generated
        ]

    def benched_images(self) -> str:
        """The images that zoos are trained on to measure it: those of the first concept that has some."""
        if not self.trained:
            raise ValueError(
                "bench_zoo trains CNNs on a concept's images, and every concept here is an existing zoo. Run it with a "
                "configuration whose concepts name images; without --configfile it takes synthetic ones."
            )
        return f"results/images/{self.trained[0]}.h5"

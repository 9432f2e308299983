"""Fusions across architectures in a run."""

from typing import TYPE_CHECKING

from zoofuse.workflow.names import known

if TYPE_CHECKING:
    from zoofuse.workflow.run import Run


class Across:
    """What the jobs of fusions across architectures read and depend on."""

    def __init__(self, run: "Run"):
        self.run, self.settings = run, run.config["across"]

    def _settings(self, fusion: str) -> dict:
        return known(self.settings, fusion, "fusion under across")

    def image(self, fusion: str, side: str) -> str:
        """The images of one of the concepts."""
        concept = known(self.run.by_side(fusion), side, f"concept of {fusion}")
        return f"results/images/{concept}.h5"

    def images(self, fusion: str) -> list[str]:
        """The images of both concepts, "a" first."""
        return [self.image(fusion, side) for side in "ab"]

    def training(self, fusion: str, side: str, architecture: str) -> dict:
        """How CNNs of a zoo are trained."""
        settings, zoo = self._settings(fusion), self.run.config["zoo"]
        known(dict.fromkeys(settings["architectures"]), architecture, f"architecture under across.{fusion}")
        augmented = self.run.concept(self.run.by_side(fusion)[side])
        recipe = {"architecture": architecture, "batch_size": zoo["batch_size"], "schedule": "cosine"}
        recipe |= {key: settings[key] for key in ("epochs", "images_per_epoch", "learning_rate")}
        return recipe | {key: augmented[key] for key in ("flip", "brightness", "colour")}

    def seeds(self, fusion: str) -> dict:
        """How many zoos of each architecture, and CNNs in each."""
        return {key: self._settings(fusion)[key] for key in ("seeds", "models")}

    def students(self, fusion: str) -> list[str]:
        """Architectures of the students."""
        return self._settings(fusion)["students"]

    def compared(self, fusion: str) -> dict:
        """How features are compared."""
        return {key: self._settings(fusion)[key] for key in ("compared", "neighbours")}

    def zoo(self, fusion: str, side: str, architecture: str) -> str:
        """The zoos of one concept and architecture."""
        return f"results/across/{fusion}/zoo/{side}-{architecture}.h5"

    def parents(self, fusion: str, one: str, other: str) -> list[str]:
        """The zoos of both concepts, "a" first."""
        return [self.zoo(fusion, "a", one), self.zoo(fusion, "b", other)]

    def zoos(self, fusion: str) -> dict[str, list[str]]:
        """Side -> its zoos, in the order of the architectures."""
        return {side: [self.zoo(fusion, side, of) for of in self._settings(fusion)["architectures"]] for side in "ab"}

    def cells(self, fusion: str) -> list[str]:
        """What was measured of every two zoos."""
        kinds = self._settings(fusion)["architectures"]
        return [f"results/across/{fusion}/cells/{one}-{other}.h5" for one in kinds for other in kinds]

    def all_cells(self) -> list[str]:
        """`cells` of every fusion.

        Raises:
            ValueError: the configuration has none.
        """
        if not self.settings:
            raise ValueError("Nothing stands under across in the configuration: --configfile config/across.yaml.")
        return [path for fusion in self.settings for path in self.cells(fusion)]

    def similarities(self) -> list[str]:
        """The similarity of features of every fusion."""
        return [f"results/across/{fusion}/similarity.csv" for fusion in self.settings]

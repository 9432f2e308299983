"""NetSpace in a run, for fusions of two concepts."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoofuse.workflow.run import Run

ON_ZOOS = ("one_architecture", "interpolation", "latent_optimisation")
ON_ARCHITECTURES = ("several_architectures", "unseen_architectures")
SETTINGS = (*ON_ZOOS, *ON_ARCHITECTURES)


class NetSpace:
    """What the jobs of a run's NetSpace experiments read and depend on."""

    def __init__(self, run: "Run"):
        self.run, self.settings = run, run.config["netspace"]
        self.shapes, self.architectures = self.settings["shapes"], self.settings["architectures"]

    @property
    def fusions(self) -> list[str]:
        return [name for name in self.run.fusions if len(self.run.by_side(name)) == 2 and self._applies(name)]

    def _applies(self, fusion: str) -> bool:
        """Whether both zoos have zoo.architecture, a chain of convolutions."""
        kinds = set(self.run.architectures.of_zoos(fusion).values())
        shared = self.run.config["zoo"]["architecture"]
        return kinds == {shared} and bool(self.run.architectures.layers(fusion))

    def images(self, fusion: str) -> list[str]:
        """The images of both concepts, "a" first.

        Raises:
            ValueError: the fusion has more concepts, or an existing zoo, which brings no images.
        """
        if len(self.run.by_side(fusion)) > 2:
            raise ValueError(f"NetSpace joins two concepts, and {fusion} has more: name a fusion of two.")
        if not self._applies(fusion):
            raise ValueError(
                f"NetSpace is not applicable to {fusion}: its zoos have different architectures, or one that is not "
                "zoo.architecture or not a chain of convolutions."
            )
        images = self.run.images.of_fusion(fusion)
        if len(images) < 2:
            raise ValueError("NetSpace compares predictions on images: write positive and negative for both concepts.")
        return images

    def inputs(self, fusion: str) -> dict[str, list[str]]:
        """The images of both concepts and both zoos."""
        return {"images": self.images(fusion)} | {side: self.run.zoo_of(fusion, side) for side in "ab"}

    def cnns(self, a: Sequence[str], b: Sequence[str], images: Sequence[str]) -> dict:
        """What every job on the CNNs of both zoos takes, as `netspace.cnns.concepts` does."""
        sample = {key: self.settings[key] for key in ("held_out", "compared", "probes")}
        return sample | {
            "zoos": {"a": list(a), "b": list(b)},
            "image_files": dict(zip("ab", images, strict=True)),
            "architecture": self.run.config["zoo"]["architecture"],
            "seed": self.run.seed,
        }

    def tables(self) -> list[str]:
        """Every setting's table; shapes belong to no fusion."""
        if not self.fusions:
            raise ValueError("NetSpace joins two concepts, and no fusion here has two: name one.")
        names = [f"{fusion}/{setting}" for fusion in self.fusions for setting in SETTINGS]
        return [f"results/netspace/{name}.csv" for name in [*names, "shapes"]]

    def figures(self) -> list[str]:
        names = [f"{fusion}/netspace_{setting}" for fusion in self.fusions for setting in SETTINGS]
        return [f"results/figures/{name}.png" for name in [*names, "netspace_shapes"]]

    def space(self, steps: int) -> dict:
        """The settings of a space that is trained for this many steps."""
        keys = ("encoder", "code", "hidden", "width", "networks", "inputs", "learning_rate", "temperature", "mixed")
        return {key: self.settings[key] for key in keys} | {"steps": steps}

    def zoo_space(self) -> dict:
        return self.space(self.settings["steps"])

    def architectures_space(self) -> dict:
        own = self.architectures
        changed = {key: own[key] for key in ("learning_rate", "clip", "rise")}
        return self.space(own["steps"]) | changed | {"encoder": "predictions"}

    def shapes_space(self) -> dict:
        """Those of the other spaces where the space of shapes has none of its own."""
        keys = ("networks", "inputs", "learning_rate", "loss", "mixed")
        return self.space(self.shapes["steps"]) | {key: self.shapes[key] for key in keys} | {"encoder": "predictions"}

    def sirens(self) -> dict:
        keys = ("hidden", "layers", "points", "pool", "loss", "training_steps", "training_rate")
        return {key: self.shapes[key] for key in keys}

    def chosen(self, setting: str) -> dict:
        """The settings of one experiment."""
        return self.settings.get(setting, {})

    def concept(self, fusion: str) -> str:
        """The concept whose images networks of other architectures are trained on."""
        return self.run.by_side(fusion)[self.architectures["side"]]

    def concept_images(self, fusion: str) -> str:
        return f"results/images/{self.concept(fusion)}.h5"

    def names(self, setting: str) -> list[str]:
        """The architectures of an experiment."""
        return self.architectures[setting.removesuffix("_architectures")]

    def seen(self, setting: str) -> list[str]:
        """The architectures that a space has trained networks of."""
        names = self.names(setting)
        return [names[0], names[-1]] if setting == "unseen_architectures" else names

    def networks(self, fusion: str, setting: str) -> dict[str, str | list[str]]:
        """The networks of an experiment on several architectures, and the images they are compared on."""
        names, folder = self.names(setting), f"results/netspace/{fusion}/networks"
        return {
            "images": self.concept_images(fusion),
            "zoo": self.run.zoo(self.concept(fusion)) if "zoo" in names else [],
            "networks": [f"{folder}/{name}.h5" for name in names if name != "zoo"],
        }

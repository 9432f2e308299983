"""The leaderboard of weight-space methods in a run."""

import hashlib
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from zoofuse.config.board import SIMPLE
from zoofuse.methods.generators import registry
from zoofuse.workflow.names import Refused, known
from zoofuse.workflow.params import code_of

if TYPE_CHECKING:
    from zoofuse.workflow.run import Run

FOLDER = "results/leaderboard"


class Board:
    """What the jobs of a run's leaderboard read and depend on."""

    def __init__(self, run: "Run"):
        self.run, self.settings = run, run.config["leaderboard"]
        chosen = self.settings["generators"]
        every = registry.known()
        self.methods = [name for name, entry in every.items() if entry.control or not chosen or name in chosen]
        self.groups: dict[str, list[str]] = {SIMPLE: [name for name in self.methods if not every[name].trained]}
        self.groups |= {name: [name] for name in self.methods if every[name].trained}

    def zoo(self, zoo: str) -> list[str]:
        """The zoo files of a concept or a factory zoo."""
        return self.run.factories.zoo(zoo)

    def images(self, zoo: str) -> str:
        """The images that its networks are trained on and measured on."""
        return self.run.factories.images(zoo)

    def group(self, group: str) -> list[str]:
        """The methods of a job."""
        return known(self.groups, group, "group of methods")

    def group_code(self, group: str) -> str:
        """The digest of the code that makes a job's networks."""
        every = registry.known()
        functions = ["zoofuse.evaluation.board_jobs:networks"]
        functions += [f"{every[name].make.__module__}:{every[name].make.__name__}" for name in self.group(group)]
        return code_of("call", functions)(None)

    def sampling(self) -> dict:
        """How many networks are sampled, and how often."""
        return {key: self.settings[key] for key in ("seeds", "held_out", "networks")}

    def steps(self, group: str) -> int | None:
        """Training steps, of a method that is trained."""
        return None if group == SIMPLE else self.settings["steps"]

    def sizes(self, group: str) -> list[float]:
        """Sizes of noise, of the job that has it."""
        return self.settings["noise"] if group == SIMPLE else []

    def command(self, group: str) -> str:
        """The command of somebody else's method."""
        return known(self.settings["methods"], group, "method of others")["command"]

    def command_digest(self, group: str) -> str:
        """So that an edited script runs again: of every file that the command names."""
        contents = [Path(word).read_bytes() for word in shlex.split(self.command(group)) if Path(word).is_file()]
        return hashlib.sha256(b"\0".join(contents)).hexdigest()[:16]

    def sampled(self, zoo: str) -> list[str]:
        """The networks that every method sampled of a zoo."""
        return [f"{FOLDER}/{zoo}/{group}.h5" for group in [*self.groups, *self.settings["methods"]]]

    def given(self) -> dict[str, str]:
        """Method of others -> what it was given."""
        return {name: submission["given"] for name, submission in self.settings["methods"].items()}

    def fusions(self) -> dict[str, list[str]]:
        """The tables of each fusion that has rows."""
        names = ("zero_shot", "comparisons", "nearest_parent")
        return {
            f"fusion_{fusion}": [f"results/tables/{fusion}/{name}.csv" for name in names]
            for fusion in self.settings["fusions"]
        }

    def tables(self) -> list[str]:
        """The networks of all zoos, measured.

        Raises:
            Refused: the configuration has no leaderboard.
        """
        if not self.settings["zoos"] and not self.settings["fusions"]:
            raise Refused(
                "There is no leaderboard in the configuration. Call with --configfile config/leaderboard.yaml."
            )
        return [f"{FOLDER}/{zoo}/networks.csv" for zoo in self.settings["zoos"]]

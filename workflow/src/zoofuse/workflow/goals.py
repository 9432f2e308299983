"""What a call without a target makes, and the folder whose images are scored."""

from typing import TYPE_CHECKING

from zoofuse.config import wanted

if TYPE_CHECKING:
    from zoofuse.workflow.run import Run


class Goals:
    """A run ends in its report, and where `want` asks for a CNN, in that CNN and a gallery of the images it scores."""

    def __init__(self, run: "Run"):
        self.run = run
        self.wanted, self.method = wanted.wanted(run.config) or ("", "")
        for caveat in wanted.caveats(run.config) if run.main else ():
            run.warn(caveat)

    def default(self) -> list[str]:
        """What a call without a target makes."""
        if not self.wanted:
            return ["results/report.html"]
        name = f"{self.wanted}/{self.method}"
        return [f"results/models/{name}/config.json", f"results/predictions/{name}.html", "results/report.html"]

    def scored(self) -> str:
        """The folder whose images are scored: the one that is named, or the test images of what is wanted.

        Raises:
            ValueError: there is none.
        """
        if "predict" in self.run.config:
            return self.run.config["predict"]
        if not self.wanted:
            raise ValueError("Say which images are to be scored: --config predict=FOLDER.")
        return f"{self.run.results}/test_images/{self.wanted}"

    def scored_inputs(self) -> list[str]:
        """The folder, where a rule makes it."""
        return [f"results/test_images/{self.wanted}"] if self.wanted and "predict" not in self.run.config else []

    def scored_digest(self) -> str:
        """So that images are scored again when some were added to the folder."""
        if self.scored_inputs():
            return self.scored()
        from zoofuse.export import predict  # here, because pandas takes a while to import

        return predict.digest(self.scored())

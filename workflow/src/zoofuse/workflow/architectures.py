"""The architectures of a run's fusions."""

from typing import TYPE_CHECKING

from zoofuse.config import architectures
from zoofuse.methods.registry import LETTERS

if TYPE_CHECKING:
    from zoofuse.workflow.run import Run


class Architectures:
    """Which architectures a fusion's jobs work on. A planned run says what does not apply to its fusions."""

    def __init__(self, run: "Run"):
        self.run = run
        for message in (architectures.message(run.config, name) for name in run.fusions if run.main):
            if message:
                run.warn(message)

    def layers(self, fusion: str) -> list[str]:
        """The layers that have kernel banks; none where the zoos' layers differ."""
        return architectures.layers(self.run.config, self.run.fusion(fusion))

    def of_students(self, fusion: str) -> str:
        """That of CNNs that are trained or drawn for a fusion."""
        return architectures.of_students(self.run.config, self.run.fusion(fusion))

    def of_zoos(self, fusion: str) -> dict[str, str]:
        """Letter -> the architecture of its zoo's CNNs."""
        kinds = architectures.of_fusion(self.run.config, self.run.fusion(fusion))
        return dict(zip(LETTERS, kinds.values(), strict=False))

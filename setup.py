"""Puts the workflow into the package, so that a wheel brings both. All else is in pyproject.toml."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

BROUGHT = (
    "Snakefile",
    "workflow/Snakefile",
    *(f"workflow/{name}/**/*" for name in ("envs", "profiles", "report", "rules", "schemas", "scripts")),
    "config/*.yaml",
    "resources/published/*",
    "resources/concepts.yaml",
)


class BuildWithWorkflow(build_py):
    def run(self):
        super().run()
        if not self.editable_mode:
            for source, target in self._brought().items():
                self.mkpath(str(Path(target).parent))
                self.copy_file(source, target)

    def get_outputs(self, include_bytecode=True):
        return [*super().get_outputs(include_bytecode), *self._brought().values()]

    def _brought(self):
        """File -> where it lies in the wheel."""
        files = [path for pattern in BROUGHT for path in sorted(Path().glob(pattern))]
        target = Path(self.build_lib, "zoofuse", "_workflow")
        return {str(path): str(target / path) for path in files if path.is_file() and "__pycache__" not in path.parts}


setup(cmdclass={"build_py": BuildWithWorkflow})

"""zoofuse: neural networks made out of zoos of other neural networks."""

__version__ = "0.1.0"


def load(path):
    """The exported model in the folder `path`: `.predict(images)`, `.threshold`, `.concepts`; see zoofuse.export."""
    from zoofuse.export import models  # here, so that `import zoofuse` stays cheap

    return models.load(path)


def snakefile() -> str:
    """Path of the workflow's Snakefile, for `module zoofuse: snakefile: zoofuse.snakefile()`."""
    from zoofuse.core import code

    return str(code.HOME / "workflow" / "Snakefile")

"""zoofuse: neural networks made out of zoos of other neural networks."""

__version__ = "0.1.0"


def load(name, revision=None):
    """The exported model in a folder or a hub's repository: `.predict(images)`, `.threshold`, `.concepts`.

    Args:
        name: the model's folder, or a repository, "user/repo" or "user/repo@revision" (pip install "zoofuse[hub]").
        revision: of a repository: a commit, which pins its files, or a tag or branch.

    Returns:
        A zoofuse.export.models.Model.

    Raises:
        ValueError: the model is missing or corrupt; the message names the file.
    """
    from zoofuse.export import models  # here, so that `import zoofuse` stays cheap

    return models.load(name, revision)


def snakefile() -> str:
    """Path of the workflow's Snakefile, for `module zoofuse: snakefile: zoofuse.snakefile()`."""
    from zoofuse.core import code

    return str(code.HOME / "workflow" / "Snakefile")

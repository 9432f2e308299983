"""zoofuse: neural networks made out of zoos of other neural networks."""

__version__ = "0.1.0"


def load(path):
    """The exported model in the folder `path`: `.predict(pictures)`, `.threshold`, `.concepts`; see zoofuse.export."""
    from zoofuse import export  # here, so that `import zoofuse` stays cheap

    return export.load(path)

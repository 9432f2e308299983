"""zoofuse: neural networks made out of zoos of other neural networks."""

__version__ = "0.1.0"

"""Where the heavy work runs."""

import torch


def choose_device(device: str = "auto") -> str:
    """ "cuda" when asked for, or for "auto" when there is one; else "cpu". Raises ValueError for a missing GPU."""
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device cuda: PyTorch sees no CUDA device here; write device: auto or device: cpu.")
    return "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"

"""Vision transformers (Dosovitskiy et al. 2021), many at a time.

Without a class token, whose place the mean over all patches takes (Beyer et al. 2022, "Better plain ViT baselines"),
with learnt positions, normalisation before each half of a block, and GELU.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from zoofuse.models.architectures import HEAD


def features(weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """Feature vectors of n transformers whose layers are named as `architectures.VisionTransformer` names them.

    Args:
        weights: name -> (n, ...).
        x: normalised images, (b, 3, h, w) where all networks take the same, or (n, b, 3, h, w).

    Returns:
        (n, b, width): the mean over the patches.
    """
    n, width, values = weights["patch.weight"].shape
    side = round((values / 3) ** 0.5)
    # (..., b, rows, columns, 3, side, side): each patch as a convolution sees it
    patches = x.unfold(-2, side, side).unfold(-2, side, side).movedim(-5, -3)
    b, tokens = patches.shape[-6], patches.shape[-5] * patches.shape[-4]
    patches = patches.reshape(*patches.shape[:-6], b * tokens, values)
    if x.ndim == 4:  # all networks read the patches once
        h = F.linear(patches, weights["patch.weight"].flatten(0, 1), weights["patch.bias"].flatten())
        h = h.unflatten(1, (n, width)).transpose(0, 1)
    else:
        h = _linear(weights, "patch", patches)
    h = (h.unflatten(1, (b, tokens)) + weights["place.weight"][:, None]).flatten(1, 2)
    for block in range(1, _depth(weights) + 1):
        h = h + _attention(weights, f"block{block}", _norm(weights, f"block{block}.norm1", h), b)
        hidden = F.gelu(_linear(weights, f"block{block}.mlp1", _norm(weights, f"block{block}.norm2", h)))
        h = h + _linear(weights, f"block{block}.mlp2", hidden)
    return _norm(weights, "norm", h).unflatten(1, (b, tokens)).mean(2)


def _depth(weights: Mapping[str, Tensor]) -> int:
    return sum(name.endswith(".qkv.weight") for name in weights)


def _linear(weights: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    """(n, k, in) -> (n, k, out)."""
    return torch.baddbmm(weights[f"{name}.bias"][:, None], x, weights[f"{name}.weight"].transpose(1, 2))


def _norm(weights: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:]) * weights[f"{name}.weight"][:, None] + weights[f"{name}.bias"][:, None]


def _attention(weights: Mapping[str, Tensor], block: str, x: Tensor, b: int) -> Tensor:
    """Self-attention among the patches of each of b images, (n, b * tokens, width) both."""
    n, _, width = x.shape
    of_heads = _linear(weights, f"{block}.qkv", x).view(n * b, -1, 3, width // HEAD, HEAD)
    query, key, value = of_heads.permute(2, 0, 3, 1, 4)
    mixed = F.scaled_dot_product_attention(query, key, value)  # (n * b, heads, tokens, HEAD)
    return _linear(weights, f"{block}.out", mixed.transpose(1, 2).reshape(n, -1, width))

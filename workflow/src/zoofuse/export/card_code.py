"""Plain PyTorch code for model cards, of architectures that torch.nn.Sequential does not hold."""

_BEGIN = """\
import torch
from safetensors.torch import load_file
from torch import nn

F, w = nn.functional, load_file("model.safetensors")

"""
PYTORCH = {
    "resnet8": _BEGIN
    + """
def conv(name, x, stride=1):
    return F.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"], stride, 1)


def features(x):
    x = F.relu(conv("stem", x, 2))
    for stage, stride in enumerate((1, 2, 2)):
        y = conv(f"stage{stage}.0.1", F.relu(conv(f"stage{stage}.0.0", x, stride)))
        kept = x[:, :, ::stride, ::stride]
        x = F.relu(y + F.pad(kept, (0, 0, 0, 0, 0, y.shape[1] - kept.shape[1])))
    return x.mean((2, 3))

""",
    "vit": _BEGIN
    + """
def linear(name, x):
    return F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])


def norm(name, x):
    return F.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"])


def features(x):
    x = F.conv2d(x, w["patch.weight"].view(-1, 3, 4, 4), w["patch.bias"], 4).flatten(2).mT + w["place.weight"]
    for block in ("block1", "block2"):
        heads = linear(f"{block}.qkv", norm(f"{block}.norm1", x)).view(len(x), 64, 3, 2, 16).permute(2, 0, 3, 1, 4)
        x = x + linear(f"{block}.out", F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2))
        x = x + linear(f"{block}.mlp2", F.gelu(linear(f"{block}.mlp1", norm(f"{block}.norm2", x))))
    return norm("norm", x).mean(1)

""",
}

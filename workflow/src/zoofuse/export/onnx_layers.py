"""The layers of residual networks and vision transformers as nodes of an ONNX graph, operator set 17."""

import numpy as np
from onnx import helper

from zoofuse.models.architectures import HEAD, ResNet, VisionTransformer


class Graph:
    """Nodes that are added one after another, and the constants that they need besides a model's weights."""

    def __init__(self):
        self.nodes: list = []
        self.constants: dict[str, np.ndarray] = {}

    def add(self, kind: str, *inputs: str, **attributes) -> str:
        """Add a node, and return the name of what it gives."""
        name = f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, values) -> str:
        """Add a constant, and return its name."""
        name = f"constant{len(self.constants)}"
        self.constants[name] = np.asarray(values)
        return name


def features(graph: Graph, architecture: ResNet | VisionTransformer, x: str) -> str:
    """Add the nodes from normalised images to feature vectors.

    Args:
        graph: that the nodes are added to.
        architecture: of the model, whose weights have the names of `architecture.below`.
        x: name of the images, (m, 3, h, w).

    Returns:
        The name of the features, (m, f).
    """
    return (_residual if isinstance(architecture, ResNet) else _transformer)(graph, architecture, x)


def _residual(graph: Graph, architecture: ResNet, x: str) -> str:
    kept = x
    for at, (name, (cin, cout, stride)) in enumerate(architecture.layers.items()):
        opens = at % 2 == 1
        if opens:
            kept, halved, added = x, stride == 2, cout - cin
        x = graph.add("Conv", x, f"{name}.weight", f"{name}.bias", pads=[1] * 4, strides=[stride] * 2)
        if at and not opens:
            if halved:
                slices = [graph.constant(np.array(values)) for values in ([0, 0], [2**31, 2**31], [2, 3], [2, 2])]
                kept = graph.add("Slice", kept, *slices)
            if added:
                kept = graph.add("Pad", kept, graph.constant(np.array([0, 0, 0, 0, 0, added, 0, 0])))
            x = graph.add("Add", x, kept)
        x = graph.add("Relu", x)
    return graph.add("Flatten", graph.add("GlobalAveragePool", x))


def _transformer(graph: Graph, of: VisionTransformer, x: str) -> str:
    def linear(name: str, values: str) -> str:
        turned = graph.add("Transpose", f"{name}.weight", perm=[1, 0])
        return graph.add("Add", graph.add("MatMul", values, turned), f"{name}.bias")

    def norm(name: str, values: str) -> str:
        return graph.add("LayerNormalization", values, f"{name}.weight", f"{name}.bias", axis=-1, epsilon=1e-5)

    def shaped(values: str, *shape: int) -> str:
        return graph.add("Reshape", values, graph.constant(np.array(shape)))

    def attention(block: str, values: str) -> str:
        heads = shaped(linear(f"{block}.qkv", values), -1, of.tokens, 3, of.width // HEAD, HEAD)
        heads = graph.add("Transpose", heads, perm=[2, 0, 3, 1, 4])
        query, key, value = (graph.add("Gather", heads, graph.constant(np.array(i)), axis=0) for i in range(3))
        products = graph.add("MatMul", query, graph.add("Transpose", key, perm=[0, 1, 3, 2]))
        shares = graph.add("Softmax", graph.add("Mul", products, graph.constant(np.float32(HEAD**-0.5))), axis=-1)
        mixed = graph.add("Transpose", graph.add("MatMul", shares, value), perm=[0, 2, 1, 3])
        return linear(f"{block}.out", shaped(mixed, -1, of.tokens, of.width))

    def gelu(values: str) -> str:
        part = graph.add("Erf", graph.add("Mul", values, graph.constant(np.float32(0.5**0.5))))
        half = graph.add("Mul", values, graph.constant(np.float32(0.5)))
        return graph.add("Mul", half, graph.add("Add", part, graph.constant(np.float32(1))))

    kernels = shaped("patch.weight", of.width, 3, of.patch, of.patch)
    x = graph.add("Conv", x, kernels, "patch.bias", strides=[of.patch] * 2)
    x = graph.add("Transpose", shaped(x, -1, of.width, of.tokens), perm=[0, 2, 1])
    x = graph.add("Add", x, "place.weight")
    for block in (f"block{i}" for i in range(1, of.depth + 1)):
        x = graph.add("Add", x, attention(block, norm(f"{block}.norm1", x)))
        hidden = gelu(linear(f"{block}.mlp1", norm(f"{block}.norm2", x)))
        x = graph.add("Add", x, linear(f"{block}.mlp2", hidden))
    return graph.add("ReduceMean", norm("norm", x), axes=[1], keepdims=0)

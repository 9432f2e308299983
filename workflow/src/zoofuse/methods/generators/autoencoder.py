"""An autoencoder over tokens of weights with density sampling (the idea of SANE, Schürholt et al. 2024)."""

from typing import NamedTuple

import numpy as np

from zoofuse.methods.generators import alignment, densities
from zoofuse.methods.generators.registry import Given, generator
from zoofuse.models.network import Network

LATENT = 16  # numbers of a token's code
WIDTH = 64  # of the transformers


@generator(
    "autoencoder",
    label="token autoencoder (SANE)",
    trained=True,
    given="weights, validation accuracy",
    about="Each channel's weights are tokens of a transformer autoencoder, trained on re-based weights, standardised "
    "by tensor; codes are drawn from a kernel density for each token over the best quarter of the training networks. "
    "Without SANE's contrastive loss and windows, as the networks are small.",
    cites="Schürholt et al. 2024",
)
def autoencoder(given: Given) -> np.ndarray:
    weights = densities.rebased(given)
    trained = fitted(given.network, weights, given.steps, given.small())
    best = np.argsort(-given.accuracy, kind="stable")[: max(4, len(weights) // 4)]
    codes = trained.encode(weights[best])
    n, tokens, size = codes.shape
    chosen = given.drawn(n, given.count, tokens)
    mean, spread = codes.mean(0), codes.std(0) + 1e-6
    normal = given.normal(given.count, tokens, size)
    sampled = np.empty((given.count, tokens, size))
    for token in range(tokens):
        unit = (codes[:, token] - mean[token]) / spread[token]
        sampled[:, token] = densities.smoothed(unit, chosen[:, token], normal[:, token]) * spread[token] + mean[token]
    return trained.decode(sampled)


class Tokens(NamedTuple):
    """How flat weights are cut: a row for each output channel, in pieces of one width, padded with 0."""

    places: np.ndarray  # (tokens, width) in the flat weights; -1 pads
    mean: np.ndarray  # (parameters,) of its tensor
    spread: np.ndarray

    def cut(self, weights: np.ndarray) -> np.ndarray:
        """float32 (n, tokens, width) of weights (n, parameters)."""
        unit = np.pad((weights - self.mean) / self.spread, ((0, 0), (0, 1)))
        return unit[:, self.places].astype(np.float32)

    def join(self, tokens: np.ndarray) -> np.ndarray:
        """The inverse."""
        flat = np.empty((len(tokens), len(self.mean)))
        held = self.places >= 0
        flat[:, self.places[held]] = tokens[:, held]
        return (flat * self.spread + self.mean).astype(np.float32)


def tokens(network: Network, weights: np.ndarray) -> Tokens:
    """Tokens of a network's channels, their weights and bias together; as wide as the longest row of a conv layer."""
    shapes = network.shapes
    places = alignment.unflatten(network, np.arange(weights.shape[1])[None])
    mean, spread = np.empty(weights.shape[1]), np.empty(weights.shape[1])
    for name, values in alignment.unflatten(network, weights).items():
        mean[places[name].ravel()], spread[places[name].ravel()] = values.mean(), values.std() or 1
    layers = [step for step in network.steps if step.name]
    width = max(int(np.prod(shapes[f"{s.name}.weight"][1:])) + 1 for s in layers if s.kind == "conv")
    rows = []
    for step in layers:
        own = places[f"{step.name}.weight"][0].reshape(step.gives[0], -1)
        if step.bias:
            own = np.concatenate([own, places[f"{step.name}.bias"][0][:, None]], 1)
        for channel in own:
            rows += [np.pad(part, (0, width - len(part)), constant_values=-1) for part in _parts(channel, width)]
    return Tokens(np.stack(rows), mean, spread)


def _parts(row: np.ndarray, width: int) -> list[np.ndarray]:
    return np.array_split(row, -(-len(row) // width))


class Trained(NamedTuple):
    """An autoencoder with what cuts weights into tokens."""

    cut: Tokens
    encoder: object
    decoder: object

    def encode(self, weights: np.ndarray) -> np.ndarray:
        """(n, tokens, LATENT)."""
        import torch

        with torch.no_grad():
            return self.encoder(torch.from_numpy(self.cut.cut(weights))).numpy().astype(np.float64)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """float32 (n, parameters)."""
        import torch

        with torch.no_grad():
            return self.cut.join(self.decoder(torch.from_numpy(codes.astype(np.float32))).numpy())


def fitted(network: Network, weights: np.ndarray, steps: int, seed: int) -> Trained:
    """Train an autoencoder on re-based weights (n, parameters)."""
    import torch
    from torch import nn

    from zoofuse.methods.generators.learned import fit

    class Transformer(nn.Module):
        def __init__(self, takes: int, gives: int, length: int):
            super().__init__()
            self.first, self.last = nn.Linear(takes, WIDTH), nn.Linear(WIDTH, gives)
            self.position = nn.Parameter(0.02 * torch.randn(length, WIDTH))
            layer = nn.TransformerEncoderLayer(WIDTH, 4, 2 * WIDTH, 0.0, batch_first=True, norm_first=True)
            self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

        def forward(self, x):
            return self.last(self.body(self.first(x) + self.position))

    cut = tokens(network, weights)
    data = torch.from_numpy(cut.cut(weights))
    held = torch.from_numpy(cut.places >= 0)
    torch.manual_seed(seed)
    encoder = Transformer(data.shape[2], LATENT, data.shape[1])
    decoder = Transformer(LATENT, data.shape[2], data.shape[1])

    def loss(rows, numbers):
        clean = data[rows]
        codes = encoder(clean)
        noisy = codes + 0.1 * torch.randn(codes.shape, generator=numbers)  # as published, so that codes lie densely
        return (decoder(noisy) - clean)[:, held].square().mean()

    fit([*encoder.parameters(), *decoder.parameters()], loss, len(data), steps, 1e-3, seed)
    return Trained(cut, encoder.eval(), decoder.eval())

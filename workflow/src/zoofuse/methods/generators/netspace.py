"""NetSpace (Berardi et al. 2022): networks embedded by what they predict, and decoded to weights that predict alike."""

import numpy as np

from zoofuse.methods.generators import alignment, densities
from zoofuse.methods.generators.registry import Given, generator

CODE = 16
HIDDEN = 256
NETWORKS = 6  # in a step
IMAGES = 24  # in a step, and that the encoder reads predictions on
_SHARE = 4  # a step costs several times one of the other methods', so it gets so much fewer


@generator(
    "netspace",
    label="NetSpace",
    trained=True,
    given="weights, images",
    about="Codes drawn from a kernel density of the training networks' codes. The encoder reads a network's "
    "predictions on images, where the published one reads its weights; the decoder writes weights that predict alike, "
    "as changes of the re-based training networks' mean, where the published one begins from random weights.",
    cites="Berardi et al. 2022",
)
def netspace(given: Given) -> np.ndarray:
    encode, decode = embedded(given)
    codes = encode(np.arange(len(given.weights)))
    mean, spread = codes.mean(0), codes.std(0) + 1e-6
    chosen, normal = given.drawn(len(codes), given.count), given.normal(given.count, codes.shape[1])
    return decode(densities.smoothed((codes - mean) / spread, chosen, normal) * spread + mean)


def embedded(given: Given):
    """The trained space: from rows of the training networks to codes (n, CODE) float64, and from codes to weights
    float32 (n, parameters)."""
    import torch
    import torch.nn.functional as F
    from torch import nn
    from torch.func import vmap

    from zoofuse.methods.generators.learned import fit
    from zoofuse.models import cnn, forward

    network = given.network
    x = cnn.normalise(torch.from_numpy(np.ascontiguousarray(given.images[:256])))

    def tensors(flat):
        sizes = [int(np.prod(shape)) for shape in network.shapes.values()]
        parts = flat.split(sizes, 1)
        return {
            name: part.unflatten(1, shape) for (name, shape), part in zip(network.shapes.items(), parts, strict=True)
        }

    def predict(flat, images):
        return vmap(lambda weights: forward.logits(network, weights, images))(tensors(flat)).log_softmax(-1)

    weights = torch.from_numpy(given.weights)
    with torch.no_grad():
        targets = torch.cat([predict(part, x) for part in weights.split(NETWORKS)])
    torch.manual_seed(given.small())
    read = targets[:, :IMAGES].exp().flatten(1) - 0.5
    encoder = nn.Sequential(nn.Linear(read.shape[1], HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, CODE))
    decoder = nn.Sequential(nn.Linear(CODE, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, HIDDEN), nn.SiLU())
    decoder.append(nn.Linear(HIDDEN, network.parameters))
    middle = torch.from_numpy(densities.rebased(given).mean(0))
    scale = alignment.flatten(network, {
        name: np.full((1, *values.shape[1:]), values.std()) for name, values in
        alignment.unflatten(network, given.weights).items()
    })  # fmt: skip
    scale = torch.from_numpy(scale)

    def decoded(codes):
        return middle + scale * decoder(codes)

    def loss(rows, numbers):
        rows = rows[:NETWORKS]
        columns = torch.randperm(len(x), generator=numbers)[:IMAGES]
        wanted = targets[rows][:, columns]
        return F.kl_div(
            predict(decoded(encoder(read[rows])), x[columns]), wanted, log_target=True, reduction="batchmean"
        )

    fit(
        [*encoder.parameters(), *decoder.parameters()],
        loss,
        len(weights),
        max(1, given.steps // _SHARE),
        1e-3,
        given.small(),
    )

    def encode(rows: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return encoder(read[rows]).numpy().astype(np.float64)

    def decode(codes: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return decoded(torch.from_numpy(codes.astype(np.float32))).numpy()

    return encode, decode

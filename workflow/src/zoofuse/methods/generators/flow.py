"""Flow matching on re-based weights (the idea of DeepWeightFlow, Gupta et al. 2026)."""

import numpy as np

from zoofuse.methods.generators import densities
from zoofuse.methods.generators.registry import Given, generator

STEPS = 100  # of the sampler, Heun's


@generator(
    "flow",
    label="flow matching, re-based",
    trained=True,
    about="A flow from noise to the re-based training networks, in all their principal components, which lose nothing "
    "of them.",
    cites="Gupta et al. 2026 (DeepWeightFlow); Lipman et al. 2023",
)
def flow(given: Given) -> np.ndarray:
    weights = densities.rebased(given)
    fitted = densities.components(weights)
    codes = fitted.codes(weights)
    scale = fitted.spread / fitted.spread[0]  # as they lie among the weights, the first component of variance 1
    made = matched(codes * scale, given.normal(given.count, len(scale)), given.steps, given.small())
    return fitted.decode(made / scale)


def matched(codes: np.ndarray, start: np.ndarray, steps: int, seed: int, hidden: int = 256) -> np.ndarray:
    """Samples of a flow that is trained by conditional flow matching along straight lines.

    Args:
        codes: (n, k), the data.
        start: (m, k) standard normal numbers.
        steps: of training.
        seed: of its random numbers.
        hidden: units of the network.

    Returns:
        (m, k).
    """
    import torch

    from zoofuse.methods.generators.learned import begun, fit

    data, field = begun(codes, hidden, seed)

    def loss(rows, numbers):
        end = data[rows]
        noise = torch.randn(end.shape, generator=numbers)
        time = torch.rand(len(rows), generator=numbers)
        between = (1 - time[:, None]) * noise + time[:, None] * end
        return (field(between, time) - (end - noise)).square().mean()

    fit(field.parameters(), loss, len(data), steps, 1e-3, seed)
    x, width = torch.from_numpy(np.asarray(start, np.float32)), 1 / STEPS
    with torch.no_grad():
        for step in range(STEPS):
            now = torch.full((len(x),), step * width)
            slope = field(x, now)
            x = x + width / 2 * (slope + field(x + width * slope, now + width))
    return x.numpy().astype(np.float64)

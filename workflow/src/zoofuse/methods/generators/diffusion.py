"""Latent diffusion over weights as they are (the idea of p-diff, Wang et al. 2024)."""

import numpy as np

from zoofuse.methods.generators import densities
from zoofuse.methods.generators.registry import Given, generator

TIMES = 1000  # of the noise schedule
LATENT = 64


@generator(
    "diffusion",
    label="latent diffusion (p-diff)",
    trained=True,
    about="Diffusion over latent codes of the training networks, channels as they are, as p-diff has it; the codes are "
    "principal components, where p-diff trains a convolutional autoencoder.",
    cites="Wang et al. 2024; Ho et al. 2020",
)
def diffusion(given: Given) -> np.ndarray:
    fitted = densities.components(given.weights, LATENT)
    codes = fitted.codes(given.weights)
    return fitted.decode(denoised(codes, given.count, given.steps, given.small()))


def denoised(codes: np.ndarray, count: int, steps: int, seed: int, hidden: int = 256) -> np.ndarray:
    """Samples of a diffusion model that predicts the noise, with a linear schedule.

    Args:
        codes: (n, k), of variance about 1.
        count: samples.
        steps: of training.
        seed: of all random numbers.
        hidden: units of the network.

    Returns:
        (count, k).
    """
    import torch

    from zoofuse.methods.generators.learned import begun, fit

    data, field = begun(codes, hidden, seed)
    rates = torch.linspace(1e-4, 0.02, TIMES)
    kept = torch.cumprod(1 - rates, 0)

    def loss(rows, numbers):
        clean = data[rows]
        noise = torch.randn(clean.shape, generator=numbers)
        at = torch.randint(TIMES, (len(rows),), generator=numbers)
        share = kept[at, None]
        return (field(share.sqrt() * clean + (1 - share).sqrt() * noise, at / TIMES) - noise).square().mean()

    fit(field.parameters(), loss, len(data), steps, 1e-3, seed)
    numbers = torch.Generator().manual_seed(seed + 1)
    x = torch.randn((count, data.shape[1]), generator=numbers)
    with torch.no_grad():
        for at in reversed(range(TIMES)):
            predicted = field(x, torch.full((count,), at / TIMES))
            x = (x - rates[at] / (1 - kept[at]).sqrt() * predicted) / (1 - rates[at]).sqrt()
            if at:
                x = x + rates[at].sqrt() * torch.randn(x.shape, generator=numbers)
    return x.numpy().astype(np.float64)

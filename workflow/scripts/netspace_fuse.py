"""CNNs for the conjunction: codes optimised until the decoded CNN predicts both concepts."""

from typing import TYPE_CHECKING

import numpy as np
import torch

from zoofuse.core import devices, files, logs
from zoofuse.netspace import cnns

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    params, device = snakemake.params, devices.choose_device(snakemake.config["zoo"]["device"])
    space, by_side = cnns.opened(snakemake.input.space, snakemake.input.predictions, device, **params.cnns)
    arrays = cnns.fuse(space, by_side, params.seed, **params.chosen)
    count = len(arrays["conv1.bias"])
    arrays |= {"model": np.arange(count, dtype=np.int32), "domain": np.repeat(["-"], count)}
    sources = [files.fingerprint(snakemake.input.space), files.fingerprint(snakemake.input.predictions)]
    files.write(snakemake.output[0], "zoo", arrays, method="netspace", seed=params.seed, sources=sources)

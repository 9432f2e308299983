"""Figures of kernels and of the CycleGANs that translate them."""

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.lines import Line2D

from zoofuse.report.canvas import ACCENT, GREY, INK, SERIES, WIDTH, Path, canvas, plain

SLICES = 32  # filters, and input channels, of one CNN in a figure of kernels


def kernels(
    real_a: np.ndarray,
    a_to_b: np.ndarray,
    real_b: np.ndarray,
    b_to_a: np.ndarray,
    path: Path,
    names: Sequence[str] = "AB",
) -> None:
    """Kernels before and after translation; each row is one CNN of A and, independently, one of B.

    real_a, a_to_b, real_b, b_to_a: (rows, out, in, k, k), row i of a_to_b translated from row i of real_a. Three input
    channels are shown as colour patches, one per filter; otherwise every slice is grey, input channels down and
    filters across, SLICES of each at most. One scale for the whole figure, symmetric about zero, so that sizes compare.
    """
    a, b = (plain(name, 14) for name in names)
    titles = (f"{a}, trained", f"{a} → {b}", f"{b}, trained", f"{b} → {a}")
    stacks = (real_a, a_to_b, real_b, b_to_a)
    scale = max(np.quantile(np.abs(x), 0.995) for x in stacks) or 1.0
    mosaics = [[_mosaic(np.clip(x / scale, -1, 1) / 2 + 0.5) for x in stack] for stack in stacks]
    rows, (height, width) = len(real_a), mosaics[0][0].shape[:2]
    with canvas(path, 0.55 + rows * (WIDTH / 4 * height / width + 0.08)) as figure:
        axes = figure.subplots(rows, 4, squeeze=False)
        for column, (title, images) in enumerate(zip(titles, mosaics, strict=True)):
            for axis, image in zip(axes[:, column], images, strict=True):
                axis.imshow(image, cmap="gray", vmin=0, vmax=1)
                axis.set_axis_off()
            axes[0, column].set_title(title, color=ACCENT if "→" in title else INK)
        figure.supxlabel(
            f"grey or colour value: black is minus {scale:.2f}, mid-grey 0, white {scale:.2f}", fontsize=8, color=GREY
        )


def cyclegan_curves(histories: Mapping[str, Mapping[str, np.ndarray]], path: Path) -> None:
    """Losses and measures of the CycleGANs per epoch, a panel each; layers differ by colour, domains by dash.

    histories: layer -> name -> (epochs,), NaN where not measured; a name that ends in _A or _B belongs to that domain,
    of a layer named conv1-bc to the first or second of its two.
    """
    families = list(dict.fromkeys(_domain(name)[0] for history in histories.values() for name in history))
    columns = 3
    rows = math.ceil(len(families) / columns)
    with canvas(path, 0.6 + 1.35 * rows) as figure:
        panels = figure.subplots(rows, columns, squeeze=False, sharex=True).ravel()
        for axis, family in zip(panels, families, strict=False):
            for colour, history in zip(itertools.cycle(SERIES), histories.values(), strict=False):
                for name in (name for name in history if _domain(name)[0] == family):
                    values = np.asarray(history[name], float)
                    epochs = np.flatnonzero(np.isfinite(values))
                    look = {"linestyle": "--" if _domain(name)[1] == "B" else "-", "linewidth": 1.1, "color": colour}
                    marker = "." if len(epochs) <= 12 else None
                    axis.plot(epochs + 1, values[epochs], marker=marker, markersize=4, **look)
            axis.set_title(plain(family.replace("_", " ")), fontsize=8.5, fontweight="normal")
            axis.grid(axis="y")
            axis.set_ylim(bottom=min(0, axis.get_ylim()[0]))
        for axis in panels[len(families) :]:
            axis.set_visible(False)
        for axis in panels[max(0, len(families) - columns) : len(families)]:
            axis.xaxis.set_tick_params(labelbottom=True)
        colours = zip(itertools.cycle(SERIES), histories, strict=False)
        handles = [Line2D([], [], color=colour, label=plain(layer)) for colour, layer in colours]
        domains = (
            ("first domain", "second domain") if any("-" in layer for layer in histories) else ("domain A", "domain B")
        )
        handles += [
            Line2D([], [], color=GREY, linestyle=dash, label=domain)
            for domain, dash in zip(domains, ("-", "--"), strict=True)
        ]
        figure.legend(handles=handles, loc="outside upper right", ncols=min(len(handles), 6))
        figure.supxlabel("epoch", fontsize=9)


def _domain(name: str) -> tuple[str, str]:
    """loss_adversarial_A -> (loss_adversarial, A); a name without a domain keeps an empty one."""
    return (name[:-2], name[-1]) if name.endswith(("_A", "_B")) else (name, "")


def _mosaic(kernel: np.ndarray) -> np.ndarray:
    """(out, in, k, k) in [0, 1] -> RGB (h, w, 3) when in = 3, else grey (h, w); tiles a thin gap apart on white.

    Of a layer with more than SLICES filters or input channels the first ones, or none could be distinguished.
    """
    kernel = kernel[:SLICES, :SLICES]
    tiles = kernel.repeat(6, axis=2).repeat(6, axis=3)  # so that the gap is two thirds of a weight
    out, cin, size, _ = tiles.shape
    step = size + 4
    if cin == 3:
        columns = math.ceil(math.sqrt(out * 1.5))
        mosaic = np.ones((math.ceil(out / columns) * step, columns * step, 3))
        for i in range(out):
            y, x = i // columns * step, i % columns * step
            mosaic[y : y + size, x : x + size] = tiles[i].transpose(1, 2, 0)
        return mosaic
    mosaic = np.ones((cin * step, out * step))
    for y in range(cin):
        for x in range(out):
            mosaic[y * step : y * step + size, x * step : x * step + size] = tiles[x, y]
    return mosaic

"""NetSpace's figures, one for each setting, from the arrays of `experiments`."""

from collections.abc import Mapping

import numpy as np

from zoofuse.report.canvas import ACCENT, BLUE, GREY, INK, Path, canvas, plain

Arrays = Mapping[str, np.ndarray]


def _groups(arrays: Arrays) -> dict[str, dict[str, np.ndarray]]:
    groups: dict[str, dict[str, np.ndarray]] = {}
    for name, values in arrays.items():
        group, _, key = name.rpartition("/")
        groups.setdefault(group, {})[key] = values
    return groups


def one_architecture(arrays: Arrays, path: Path) -> None:
    """Each held-out CNN: its balanced accuracy against the decoded one's; on the line nothing changed."""
    groups = _groups(arrays)
    with canvas(path, 3.6) as figure:
        axes = figure.subplots(1, len(groups), squeeze=False, sharey=True)[0]
        for axis, (name, scores) in zip(axes, groups.items(), strict=True):
            axis.plot(scores["original"], scores["noise"], "x", color=GREY, label="plus noise")
            axis.plot(scores["original"], scores["average"], "_", color=INK, label="average of all")
            axis.plot(
                scores["original"], scores["decoded"], "o", color=ACCENT, markeredgecolor="white", label="decoded"
            )
            axis.axline([np.median(scores["original"])] * 2, slope=1, color=INK, linewidth=0.9, linestyle="--")
            axis.set_title(f"{plain(name)}: {len(scores['original'])} held-out CNNs")
            axis.set_xlabel("balanced accuracy, original")
            axis.grid()
        axes[0].set_ylabel("balanced accuracy")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper right", ncols=3)


def interpolation(arrays: Arrays, path: Path) -> None:
    """Balanced accuracy along interpolation paths, median and quartiles of the pairs: codes against raw weights."""
    groups = _groups(arrays)
    with canvas(path, 2.2 * -(-len(groups) // 2) + 0.4) as figure:
        axes = figure.subplots(-(-len(groups) // 2), 2, squeeze=False, sharex=True, sharey=True).ravel()
        for axis in axes[len(groups) :]:
            axis.set_visible(False)
        for axis, (name, scores) in zip(axes, groups.items(), strict=False):
            for key, words, colour, dash in (("decoded", "codes", ACCENT, "-"), ("raw", "raw weights", GREY, "--")):
                q25, median, q75 = np.quantile(scores[key], [0.25, 0.5, 0.75], axis=0)
                way = np.linspace(0, 1, len(median))
                axis.fill_between(way, q25, q75, color=colour, alpha=0.18, linewidth=0)
                axis.plot(way, median, color=colour, linestyle=dash, linewidth=1.6, label=words)
            axis.set_title(f"{plain(name.replace('_', ' '))} ({len(scores['raw'])} pairs)")
            axis.grid(axis="y")
        axes[0].legend(loc="lower left")
        figure.supxlabel("share of the interpolation path between two held-out CNNs", fontsize=9)
        figure.supylabel("balanced accuracy", fontsize=9)


def latent_optimisation(arrays: Arrays, path: Path) -> None:
    """Optimised codes and CNNs trained from scratch for as many steps, over the zoo and its best CNN."""
    _strips(
        _groups(arrays),
        {
            "zoo": ("zoo", GREY, "."),
            "scratch": ("from scratch", BLUE, "s"),
            "decoded": ("optimised code", ACCENT, "o"),
            "decoded_best": ("best of these", ACCENT, "D"),
        },
        path,
        line=("best", "best of the zoo"),
    )


def several_architectures(arrays: Arrays, path: Path) -> None:
    """Held-out networks of each architecture, original and decoded."""
    looks = {
        "original": ("original", BLUE, "s"),
        "average": ("average of all", GREY, "x"),
        "fresh": ("untrained", GREY, "+"),
    }
    _strips(_groups(arrays), looks | {"decoded": ("decoded", ACCENT, "o")}, path)


def shapes(arrays: Arrays, path: Path) -> None:
    """Surfaces: of a held-out shape of each kind the true one, its SIREN's and the decoded one's; beside them the
    accuracy; below, an interpolation path between two held-out shapes along codes and along weights."""
    meshes = _groups({name: values for name, values in arrays.items() if name.startswith("mesh/")})
    kinds = np.unique(arrays["reconstruction/kind"])
    looks = {"true": INK, "SIREN": BLUE, "decoded": ACCENT}
    with canvas(path, 1.45 * (len(kinds) + 2)) as figure:
        grid = figure.add_gridspec(len(kinds) + 2, 5)
        for y, kind in enumerate(kinds):
            for x, (column, colour) in enumerate(looks.items()):
                axis = figure.add_subplot(grid[y, x], projection="3d")
                _surface(axis, meshes[f"mesh/{kind}/{column}"], colour, f"{plain(kind)}, {column}")
        for y, (way, words, colour) in enumerate(
            (("decoded", "codes", ACCENT), ("raw", "raw weights", GREY)), len(kinds)
        ):
            path_meshes = sorted(name for name in meshes if name.startswith(f"mesh/{way}/"))
            for x, name in enumerate(path_meshes):
                axis = figure.add_subplot(grid[y, x], projection="3d")
                _surface(axis, meshes[name], colour, f"{words}, {name.rpartition('/')[2]}")
        axis = figure.add_subplot(grid[: len(kinds), 3:])
        for at, (key, words, colour, marker) in enumerate(_SHAPES):
            for y, kind in enumerate(kinds):
                values = arrays[f"reconstruction/{key}"][arrays["reconstruction/kind"] == kind]
                height = np.full(len(values), y + 0.25 * (at - 1))
                axis.plot(values, height, marker, color=colour, markersize=4, alpha=0.7, label=None if y else words)
        axis.axvline(0.9, color=INK, linewidth=0.9, linestyle="--")
        axis.set_yticks(range(len(kinds)), map(plain, kinds))
        axis.set_xlabel("share of points within 0.01")
        axis.set_xlim(-0.02, 1.02)  # marks at 0 and 1 are shown whole
        axis.grid(axis="x")
        axis.invert_yaxis()
        axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, columnspacing=0.8, handletextpad=0.1)


_SHAPES = [
    ("original", "SIREN", BLUE, "s"),
    ("decoded", "decoded", ACCENT, "o"),
    ("nearest", "nearest other", GREY, "x"),
]


def _surface(axis, mesh: Mapping[str, np.ndarray], colour: str, title: str) -> None:
    """A mesh seen from the front and above; where there is none, a text."""
    axis.set_title(title, fontsize=8, pad=-4)
    axis.set_axis_off()
    axis.set_box_aspect((1, 1, 1), zoom=1.5)
    axis.view_init(20, -60)
    for limits in (axis.set_xlim, axis.set_ylim, axis.set_zlim):
        limits(-0.42, 0.42)
    if len(mesh["triangles"]):
        x, y, z = mesh["vertices"].T  # y is up
        axis.plot_trisurf(x, z, y, triangles=mesh["triangles"][:, ::-1], color=colour, linewidth=0, antialiased=False)
    else:
        axis.text2D(0.5, 0.5, "no surface", transform=axis.transAxes, ha="center", color=INK)


def _strips(groups: Mapping, looks: Mapping, path: Path, line: tuple[str, str] | None = None) -> None:
    """One row for each group; in it a strip of dots for each known array, so that nothing overprints."""
    used = [key for key in looks if any(key in scores for scores in groups.values())]
    with canvas(path, 0.8 + 0.55 * len(groups)) as figure:
        axis = figure.subplots()
        for y, scores in enumerate(groups.values()):
            for at, key in enumerate(used):
                if key in scores:
                    words, colour, marker = looks[key]
                    height = np.full(len(scores[key]), y + 0.5 * ((at + 0.5) / len(used) - 0.5))
                    axis.plot(scores[key], height, marker, color=colour, markersize=4, alpha=0.7)
                    axis.plot(np.median(scores[key]), height[0], "|", color=INK, markersize=11, markeredgewidth=1.6)
            if line:
                axis.plot([scores[line[0]][0]] * 2, [y - 0.4, y + 0.4], color=INK, linewidth=0.9, linestyle="--")
        for key in used:
            words, colour, marker = looks[key]
            axis.plot([], [], marker, color=colour, markersize=4, label=words)
        axis.plot([], [], "|", color=INK, markersize=11, markeredgewidth=1.6, linestyle="", label="median")
        if line:
            axis.plot([], [], color=INK, linewidth=0.9, linestyle="--", label=line[1])
        axis.set_yticks(range(len(groups)), [plain(name.replace("_", " ")) for name in groups])
        axis.set_ylim(len(groups) - 0.5, -0.5)
        axis.set_xlabel("balanced accuracy")
        axis.grid(axis="x")
        figure.legend(loc="outside upper right", ncols=5)


FIGURES = {
    "one_architecture": one_architecture,
    "interpolation": interpolation,
    "latent_optimisation": latent_optimisation,
    "several_architectures": several_architectures,
    "unseen_architectures": several_architectures,
    "shapes": shapes,
}

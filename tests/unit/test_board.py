"""The leaderboard's measures and verdicts on planted networks, and commands of others."""

import sys

import numpy as np
import pandas as pd
import pytest
from test_generators import TINY, given, networks

from zoofuse.evaluation import board, board_fusions, board_submissions
from zoofuse.methods import registry as fusion_methods


def test_novelty_in_predictions_is_1_minus_the_largest_intersection_over_union():
    errors = np.array([[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 1]], bool)
    training = np.array([[1, 0, 0, 0], [1, 1, 1, 0]], bool)
    np.testing.assert_allclose(board.novelty_in_predictions(errors, training), [1 - 2 / 3, 1, 1 - 1 / 4], atol=1e-6)
    assert board.novelty_in_predictions(errors, errors).max() == 0


def test_balanced_accuracy_counts_classes_alike():
    labels = np.array([0, 0, 0, 1])
    np.testing.assert_allclose(board.balanced_accuracy(np.array([[0, 0, 0, 0], [0, 0, 1, 1]]), labels), [0.5, 5 / 6])


def planted(methods: dict[str, tuple[float, float]], repetitions: int = 3, each: int = 24) -> pd.DataFrame:
    """Rows of networks: method -> (quality, novelty), with some spread; noise falls from 0.9 to 0.3."""
    random, rows = np.random.default_rng(1), []
    curve = {"copy": (0.9, 0.0)} | {f"noise_{size}": (0.9 - 0.6 * size, size) for size in (0.25, 0.5, 1.0)}
    for name, (quality, novelty) in (curve | methods).items():
        for repetition in range(repetitions):
            spread = 0 if name == "copy" else 0.02
            rows += [
                {
                    "zoo": "z", "method": name, "repetition": repetition,
                    "quality": quality + 0.02 * random.standard_normal(),
                    "novelty_weights": novelty + spread * random.standard_normal(),
                    "novelty_predictions": novelty + spread * random.standard_normal(),
                    "degenerate": False, "seconds": 0.5,
                }
                for _ in range(each)
            ]  # fmt: skip
    return pd.DataFrame(rows)


def verdicts(methods: dict) -> pd.DataFrame:
    rows = planted(methods)
    names = list(rows["method"].unique())
    curve = [name for name in names if name == "copy" or name.startswith("noise_")]
    made = board.table(rows, dict.fromkeys(names, "weights"), [*curve, "held_out"], curve, 1)
    assert list(made) == list(board.COLUMNS)
    return made.set_index("method")


def test_copies_are_called_out_noise_is_on_its_curve_and_a_perfect_sampler_is_better():
    made = verdicts(
        {
            "held_out": (0.9, 1.0),
            "copier": (0.9, 0.0),
            "noisy": (0.9 - 0.6 * 0.7, 0.7),
            "good": (0.85, 0.9),
            "bad": (0.4, 0.5),
        }
    )
    words = made["verdict"].to_dict()
    assert words["copy"] == words["copier"] == "copies" or abs(made.loc["copier", "novelty_weights"]) < 0.05
    assert words["noisy"] == "inconclusive"
    assert abs(made.loc["noisy", "minus_noise_weights"]) < 0.02
    assert words["good"] == words["held_out"] == "better"
    assert words["bad"] == "worse"
    assert {words[name] for name in words if name.startswith("noise_")} == {"control"}
    assert (made["quality_low"] < made["quality"]).all()
    assert (made["quality"] < made["quality_high"]).all()
    text = board.sentence(made.reset_index())
    assert text == (
        "1 of 4 methods are significantly better than noise of matched size at equal novelty. Held-out networks, a "
        "perfect sampler, are better than noise on 1 of 1 zoos."
    )


def test_a_method_counts_that_is_better_on_every_zoo():
    one = planted({"held_out": (0.9, 1.0), "good": (0.85, 0.9), "some": (0.85, 0.9)})
    other = planted({"held_out": (0.9, 1.0), "good": (0.85, 0.9)}).assign(zoo="y")
    rows = pd.concat([one, other])
    names = list(rows["method"].unique())
    curve = [name for name in names if name == "copy" or name.startswith("noise_")]
    made = board.table(rows, dict.fromkeys(names, "weights"), [*curve, "held_out"], curve, 1)
    assert board.sentence(made) == (
        "1 of 2 methods are significantly better than noise of matched size at equal novelty on all 2 zoos: 2 of 2 on "
        "z, 1 of 1 on y. Held-out networks, a perfect sampler, are better than noise on 2 of 2 zoos."
    )


def test_one_sense_of_novelty_is_not_enough():
    rows = planted({"rescaled": (0.85, 0.9)})
    rows.loc[rows["method"] == "rescaled", "novelty_predictions"] = 0.0  # predicts as a training network does
    curve = [name for name in rows["method"].unique() if name != "rescaled"]
    made = board.table(rows, dict.fromkeys([*curve, "rescaled"], "weights"), curve, curve, 1).set_index("method")
    assert made.loc["rescaled", "minus_noise_weights_low"] > 0
    assert made.loc["rescaled", "verdict"] != "better"


FOREIGN = """
import sys
import h5py
with h5py.File(sys.argv[1]) as zoo, h5py.File(sys.argv[3], "w") as made:
    for name in zoo:
        if name.startswith(("conv", "fc")):
            made[name] = zoo[name][: int(sys.argv[2])] * 0.5
"""


def command(tmp_path, text: str) -> str:
    (tmp_path / "method.py").write_text(text)
    return f"{sys.executable} {tmp_path / 'method.py'}"


def test_a_command_s_networks_are_read(tmp_path):
    own = given(networks(8), count=3)
    made = board_submissions.call(command(tmp_path, FOREIGN), own, tmp_path, "ours")
    np.testing.assert_allclose(made, own.weights[:3] * 0.5)
    assert [path.name for path in tmp_path.iterdir()] == ["method.py"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import sys; sys.exit('no such zoo')", "failed with exit status 1.*no such zoo"),
        ("pass", "wrote no file"),
        ("import sys; open(sys.argv[3], 'w').write('x')", "can't be read as HDF5"),
        (FOREIGN.replace('"conv", "fc"', '"conv", "gc"'), "lacks fc1.weight"),
        (FOREIGN.replace("int(sys.argv[2])", "2"), r"conv1.weight is float32 \(2, 4, 1, 3, 3\)"),
    ],
)
def test_what_a_command_does_wrong_is_said(tmp_path, text, words):
    with pytest.raises(ValueError, match=f"(?s)leaderboard.methods.ours.command: .*{words}"):
        board_submissions.call(command(tmp_path, text), given(networks(8), count=3), tmp_path, "ours")
    with pytest.raises(ValueError, match="can't be started"):
        board_submissions.call("./nothing-there", given(networks(8), TINY), tmp_path, "ours")


def test_a_fusion_s_rows_come_from_its_tables():
    scores = [("distil", "own", 0.9), ("average", "own", 0.5), ("parent_a", "probe", 0.6), ("ensemble", "own", 0.95)]
    zero_shot = pd.DataFrame(
        [
            {
                "method": name,
                "head": head,
                "n": 4,
                "median": value,
                "median_low": value - 0.1,
                "median_high": value + 0.04,
            }
            for name, head, value in scores
        ]
    )
    comparisons = pd.DataFrame(
        [
            ["distil", "zero_shot", "own", "average", "median", "better"],
            ["distil", "held_out", "kmeans", "average", "median", "worse"],
        ],
        columns=["method", "protocol", "clusterer", "baseline", "what", "verdict"],
    )
    nearest = pd.DataFrame([["distil", 1.2], ["parent_a", 0.8], ["parent_b", 0.8]], columns=["method", "median"])
    made = board_fusions.rows("black_cat", zero_shot, comparisons, nearest).set_index("method")
    assert made["verdict"].to_dict() == {"distil": "better", "average": "control", "ensemble": "control"}
    assert made.loc["distil", "novelty_weights"] == pytest.approx(1.5)
    assert made.loc["distil", ["track", "given", "quality"]].tolist() == [
        "fuse",
        "weights, images, concept labels",
        0.9,
    ]
    assert board.sentence(made.reset_index()).startswith("No method")


def test_what_a_fusion_s_method_was_given_follows_from_what_it_needs():
    given_to = {
        name: board_fusions.given(fusion_methods.get(name)) for name in ("average", "distil", "direct", "colour")
    }
    assert given_to["average"] == "weights"
    assert given_to["distil"] == "weights, images, concept labels"
    assert given_to["direct"] == "images, concept labels"
    assert given_to["colour"].startswith("images")

"""Shapes: distances that hold, SIRENs that learn them and go on to the same bits, and their space."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from zoofuse.core import rng
from zoofuse.models import fit
from zoofuse.netspace import experiments, figures, shape_experiments, shapes, spaces
from zoofuse.settings.netspace import Interpolation, Shapes

BALL_ROOM = shapes.uniform_points(4000, 9, "test")
QUICK = Shapes(hidden=16, layers=2, training_steps=12, points=64, training_rate=2e-3, pool=512)
FAMILY = [shapes.shape(1, i) for i in range(12)]


def test_a_distance_is_that_to_the_nearest_point_of_the_surface():
    """Against points drawn densely on the faces of a box and the sides of a cylinder."""
    one = shapes.Shape("table", np.array([[0, 0.1, 0, 0.3, 0.05, 0.2]]), np.array([[0, -0.2, 0, 0.1, 0.2]]))
    u, v = rng.uniform((2, 60_000), 1, "surface").astype(float)
    faces = []
    for axis in range(3):
        face = np.stack([2 * u - 1, 2 * v - 1, np.sign(np.arange(len(u)) % 2 - 0.5)], 1)
        faces.append(np.roll(face, axis, 1) * [0.3, 0.05, 0.2] + [0, 0.1, 0])
    side = np.stack([0.1 * np.cos(7 * u), 0.2 * (2 * v - 1) - 0.2, 0.1 * np.sin(7 * u)], 1)
    floor = np.stack([0.1 * np.sqrt(u) * np.cos(7 * v), np.full(len(u), -0.4), 0.1 * np.sqrt(u) * np.sin(7 * v)], 1)
    surface = np.concatenate([*faces, side, floor])
    points = BALL_ROOM[:300]
    distance = one.distance(points)
    nearest = np.array([np.linalg.norm(surface - point, axis=1).min() for point in points])
    outside = distance > 0
    assert outside.any()
    assert not outside.all()
    np.testing.assert_allclose(distance[outside], nearest[outside], atol=5e-3)
    assert (distance[~outside] >= -0.2).all()


def test_a_family_has_its_kinds_by_turns_inside_the_cube_and_nothing_twice():
    assert [one.kind for one in FAMILY[:4]] == ["chair", "table", "lamp", "chair"]
    for i, one in enumerate(FAMILY):
        assert (np.abs(one.bounds[:, :3]) + one.bounds[:, 3:] <= 0.5).all()
        near = shapes.near_points(one, 500, 1, i)
        assert np.abs(one.distance(near)).mean() < 0.5 * np.abs(one.distance(BALL_ROOM)).mean()
        assert (one.distance(BALL_ROOM) != FAMILY[i - 1].distance(BALL_ROOM)).any()
    assert np.array_equal(FAMILY[3].boxes, shapes.shape(1, 3).boxes)


def test_a_mesh_lies_on_the_surface_and_there_may_be_none():
    for one in FAMILY[:3]:
        vertices, triangles = shapes.mesh(one.distance)
        assert np.abs(one.distance(vertices)).max() < 1 / shapes.GRID
        assert triangles.max() < len(vertices)
    vertices, triangles = shapes.mesh(lambda points: np.ones(len(points)))
    assert len(vertices) == len(triangles) == 0


def test_accuracy_counts_points_within_a_hundredth():
    assert shapes.accuracy(np.array([[0.0, 0.009, 0.011, 1]]), np.zeros((1, 4))) == [0.5]


class Killed(Exception):
    pass


def test_sirens_learn_and_stopped_training_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    whole = shapes.train(FAMILY[:3], 1, tmp_path / "whole.h5", QUICK)
    monkeypatch.setattr(fit, "SAVE_EVERY", 0.0)

    def kill(step, loss):
        if step == 5:
            raise Killed

    with pytest.raises(Killed):
        shapes.train(FAMILY[:3], 1, tmp_path / "state.h5", QUICK, progress=kill)
    steps = []
    resumed = shapes.train(FAMILY[:3], 1, tmp_path / "state.h5", QUICK, progress=lambda step, loss: steps.append(step))
    assert steps == list(range(6, 13))
    for name, values in whole.items():
        assert torch.equal(values, resumed[name]), name
    # each by itself: a smaller family trains the same networks
    alone = shapes.train(FAMILY[:2], 1, tmp_path / "alone.h5", QUICK)
    for name, values in alone.items():
        torch.testing.assert_close(values, whole[name][:2], rtol=1e-3, atol=1e-5)


def test_a_space_of_sirens_reconstructs_walks_and_has_a_figure(tmp_path, monkeypatch):
    monkeypatch.setattr(shapes, "GRID", 16)
    few = replace(QUICK, training_steps=300, points=128, pool=2048, compared=1024, probes=128, measured=512)
    weights = shapes.train(FAMILY, 1, tmp_path / "sirens.h5", few)
    found = shape_experiments.family(FAMILY, shapes.siren(16, 2), weights, replace(few, held_out=0.25), 1)
    assert sorted([*found.trained, *found.held_out]) == list(range(12))
    settings = spaces.Settings(
        code=16, hidden=64, steps=400, networks=6, inputs=128, learning_rate=2e-3, loss="l1", mixed=0.25
    )
    space = shape_experiments.embed(found, settings, 1, tmp_path / "state.h5")

    fitted = shape_experiments.reconstruct(space, found, found.trained, 1)
    assert np.median(fitted["decoded"]) > 3 * np.median(fitted["average"])
    assert np.median(fitted["agreement"]) > np.median(fitted["agreement_nearest"])
    assert (fitted["apart_original"] > 0).all()  # nearest to another one, not to itself

    rows, arrays = experiments.shapes(space, found, 1, Interpolation(pairs=2, points=4))
    table = experiments.table(rows).set_index("measure")
    assert table.loc["accuracy", "n"] == 3
    assert table.loc["accuracy", "decoded"] > table.loc["accuracy_average", "control"]
    assert table.loc["midpoint", "decoded"] > table.loc["midpoint", "control"]
    # a walk starts at what the first code decodes to, and at the SIREN itself
    shown = shapes.uniform_points(128, 1, "shapes", "walk")
    truth = FAMILY[found.held_out[0]].distance(shown)
    own = shapes.accuracy(shapes.predictions(found.network, found.of(found.held_out[:1]), shown), truth)
    assert arrays["walk/raw"][0, 0] == own[0]
    assert arrays["walk/decoded"].shape == (2, 4)
    figures.shapes(arrays, tmp_path / "shapes.png")
    assert (tmp_path / "shapes.png").stat().st_size > 20_000


def test_the_slope_of_a_true_distance_is_one():
    """A network that answers 0.5 x has a slope of 0.5 everywhere."""
    network = shapes.siren(1, 0)
    weights = {"layer0.weight": torch.tensor([[[0.5, 0.0, 0.0]]]), "layer0.bias": torch.zeros(1, 1)}
    np.testing.assert_allclose(shape_experiments.slope(network, weights, BALL_ROOM[:10]), 0.5)

"""The published protocol over orders of the same test images."""

from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest

from zoofuse.evaluation import orders
from zoofuse.models import cnn
from zoofuse.report import figures
from zoofuse.settings.evaluation import Evaluation


def test_orders_move_the_accuracy_of_noise_and_not_that_of_what_is_clear(tmp_path):
    """Random CNNs on noise, and on black images beside white ones: only the former depend on the order."""
    generator = np.random.default_rng(0)
    zoo = cnn.initial_weights(cnn.ARCHITECTURES["published"], 1, "cat", np.arange(2))
    zoo |= {"model": np.arange(2, dtype=np.int32), "domain": np.array(["A", "B"])}
    truth = np.arange(40) < 20
    noise = generator.integers(0, 255, (40, 32, 32, 3)).astype(np.uint8)
    clear = np.where(truth[:, None, None, None], noise // 8, 255 - noise // 8).astype(np.uint8)
    settings = asdict(Evaluation())
    tables = {}
    for name, images in (("noise", noise), ("clear", clear)):
        table = orders.accuracies(zoo, images, truth, settings, orders=6, seed=1)
        assert len(table) == 2 * 7 * 3
        tables[name] = orders.ranges(table)
    kmeans = {name: table[table["clusterer"] == "kmeans"] for name, table in tables.items()}
    assert (kmeans["clear"][["given", "least", "greatest"]] == 1).all(axis=None)
    assert (kmeans["noise"]["greatest"] - kmeans["noise"]["least"] > 0.02).all()
    assert (tables["noise"]["orders"] == 6).all()
    figures.orders(tables["noise"], tmp_path / "orders.png")
    assert (tmp_path / "orders.png").stat().st_size > 1000


def test_the_given_order_stands_apart():
    values = {0: 0.9, 1: 0.5, 2: 0.6, 3: 0.7}
    rows = [{"domain": "A", "model": 1, "order": n, "clusterer": "kmeans", "accuracy": v} for n, v in values.items()]
    (row,) = orders.ranges(pd.DataFrame(rows)).to_dict("records")
    assert [row[key] for key in ("given", "least", "median", "greatest", "orders")] == pytest.approx(
        [0.9, 0.5, 0.6, 0.7, 3]
    )

"""An exported model answers alike in zoofuse, plain PyTorch and ONNX Runtime, and its card says where it comes from."""

import json
import re
import subprocess
import sys

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from PIL import Image

import zoofuse
from zoofuse.core import intervals, rng
from zoofuse.data import images, synthetic
from zoofuse.data.decoding import ImageError
from zoofuse.evaluation import zero_shot
from zoofuse.export import models
from zoofuse.models import cnn

METHOD = "cyclegan"
COLUMNS = ["method", "head", "selected", "validation", "test", "test_low", "test_high"]
ZERO_SHOT = pd.DataFrame(
    [
        (METHOD, "own", "A/1", 0.70, 0.90, 0.80, 0.99),
        (METHOD, "probe", "B/1", 0.80, 0.75, 0.70, 0.80),
        ("random", "probe", "3", 0.95, 0.65, 0.60, 0.70),
        ("average", "own", "0", 0.50, 0.55, 0.50, 0.60),
        ("average", "probe", "1", 0.50, 0.54, 0.50, 0.60),
        ("product", "own", "2", 0.60, 0.85, 0.80, 0.90),
    ],
    columns=COLUMNS,
)
LEADERBOARD = pd.DataFrame(
    [
        (METHOD, "held_out", "kmeans", "A/0", 0.60),
        (METHOD, "held_out", "dbscan", "B/0", 0.65),
        (METHOD, "published", "kmeans", "A/1", np.nan),
        ("random", "held_out", "kmeans", "3", 0.70),
    ],
    columns=["method", "protocol", "clusterer", "selected", "validation"],
)
COMPARISONS = pd.DataFrame(
    [
        (METHOD, "zero_shot", "probe", "random", "selected", "better"),
        (METHOD, "zero_shot", "own", "random", "selected", "worse"),
        (METHOD, "zero_shot", "probe", "average", "selected", "inconclusive"),
        (METHOD, "zero_shot", "probe", "product", "median", "better"),
        (METHOD, "held_out", "kmeans", "product", "selected", "better"),
    ],
    columns=["method", "protocol", "clusterer", "baseline", "what", "verdict"],
)


def concept(word: str, n: int = 40) -> zero_shot.Concept:
    sides = [synthetic.draw([text], 2 * n, 1, word)[0] for text in (word, f"non-{word}")]
    labels = np.repeat([1, 0], n)
    training, validation = (np.concatenate([side[part] for side in sides]) for part in (slice(n), slice(n, None)))
    return zero_shot.Concept(training, labels, validation, labels)


def zoo(architecture: str = "published") -> dict[str, np.ndarray]:
    """Four CNNs, A/0, A/1, B/0, B/1, with heads of their own."""
    weights = cnn.initial_weights(cnn.ARCHITECTURES[architecture], 1, "zoo", np.arange(4))
    other = cnn.initial_weights(cnn.ARCHITECTURES[architecture], 1, "other", np.arange(4))
    arrays = {name: values for name, values in weights.items() if not name.startswith("fc1")}
    for part in ("weight", "bias"):
        arrays |= {f"fc_a.{part}": 10 * weights[f"fc1.{part}"], f"fc_b.{part}": 10 * other[f"fc1.{part}"]}
    return arrays | {"model": np.array([0, 1, 0, 1]), "domain": np.array(["A", "A", "B", "B"])}


@pytest.fixture(scope="module")
def concepts() -> list[zero_shot.Concept]:
    return [concept("black"), concept("cat")]


@pytest.fixture(scope="module")
def test() -> dict[str, np.ndarray]:
    sides = [synthetic.draw([word], 30, 1, "test")[0] for word in ("black cat", "non-black non-cat")]
    return {"images": np.concatenate(sides), "labels": np.repeat([1, 0], 30)}


VALIDATION = np.arange(60) % 2 == 0


def exported(folder, concepts, test, choice, architecture="published") -> models.Model:
    weights, threshold = models.with_heads(
        models.select_cnn(zoo(architecture), choice), choice, concepts, test, VALIDATION
    )
    about = choice._asdict() | {"fusion": "black_cat", "method": METHOD, "threshold": threshold, "seed": 7}
    config = models.configuration(weights, ["black", "cat"], **about, sources={"zoo": "0123456789abcdef" * 4})
    model = models.Model({name: torch.from_numpy(values) for name, values in weights.items()}, config)
    config["test"] = models.measured(model, test["images"][~VALIDATION], test["labels"][~VALIDATION], 7)
    others = models.baselines(ZERO_SHOT, COMPARISONS, METHOD, choice.head)
    source = {"source": "folder", "dataset": None, "positive": ["cats"], "negative": ["no `cats` <b>"]}
    photographs = [{"concept": "cat", "images": [321, 123], "validation": [3, 4], "source": source}]
    photographs.append({"fusion": "black_cat", "images": [30, 31], "source": source})
    models.write(folder, weights, config, models.card(config, others, photographs))
    return models.load(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, concepts, test):
    folder = tmp_path_factory.mktemp("models") / "model"
    exported(folder, concepts, test, models.choose_cnn(ZERO_SHOT, LEADERBOARD, METHOD))
    return folder


def blocks(card: str) -> list[str]:
    """The card's Python: zoofuse, images, PyTorch, ONNX Runtime."""
    return re.findall(r"```python\n(.*?)```", card, re.DOTALL)


# What the card shows is run as it stands, in a process of its own where zoofuse can't be imported; beside the one
# image that it reads, it gets those of `more.npy`.
WITHOUT_ZOOFUSE = """
import sys
sys.modules["zoofuse"] = None
{pictures}
images = np.concatenate([images, np.load("more.npy")])
{way}
np.save("score.npy", score)
"""


@pytest.mark.parametrize("architecture", list(cnn.ARCHITECTURES))
@pytest.mark.parametrize("head", ["own", "probe"])
def test_zoofuse_pytorch_and_onnx_runtime_give_the_same_scores(tmp_path, concepts, test, head, architecture):
    choice = models.Choice("B", 1, head, "concept labels")
    model = exported(tmp_path, concepts, test, choice, architecture)
    scores = model.predict(test["images"])
    assert scores.dtype == np.float32
    assert np.ptp(scores) > 0.01
    # What the evaluation says of this CNN among the others.
    evaluated = zero_shot.predict(zoo(architecture), concepts, test["images"])
    np.testing.assert_allclose(scores, evaluated[f"{head}/scores"][3], atol=1e-5)
    assert model.threshold == pytest.approx(evaluated[f"{head}/threshold"][3], rel=1e-4)

    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    found = session.run(["score", "probabilities"], {"images": test["images"]})
    np.testing.assert_allclose(found[0], scores, atol=1e-5)
    np.testing.assert_allclose(found[1], model.probabilities(test["images"]), atol=1e-5)

    space = {"images": test["images"], "file": tmp_path / "model.safetensors"}
    block = blocks((tmp_path / "README.md").read_text())[2].replace('"model.safetensors"', "file")
    exec(block, space)
    np.testing.assert_allclose(space["score"], scores, atol=1e-5)


@pytest.mark.parametrize("way", [2, 3])
def test_what_the_card_shows_runs_without_zoofuse(tmp_path, folder, test, way):
    card = (folder / "README.md").read_text()
    for name in ("model.safetensors", "model.onnx"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    turned = Image.Exif()
    turned[0x0112] = 6
    large = Image.fromarray(test["images"][0]).resize((90, 70), Image.Resampling.BICUBIC)
    large.save(tmp_path / "image.jpg", exif=turned, quality=95)
    np.save(tmp_path / "more.npy", test["images"])
    code = WITHOUT_ZOOFUSE.format(pictures=blocks(card)[1], way=blocks(card)[way])
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    scores = np.load(tmp_path / "score.npy")
    model = models.load(folder)
    np.testing.assert_allclose(scores[0], model.predict([tmp_path / "image.jpg"])[0], atol=1e-5)
    np.testing.assert_allclose(scores[1:], model.predict(test["images"]), atol=1e-5)


def test_three_lines_load_it(folder, test, tmp_path, monkeypatch):
    Image.fromarray(test["images"][5]).save(folder / "image.jpg", quality=95)
    monkeypatch.chdir(folder)
    space = {}
    block = blocks((folder / "README.md").read_text())[0]
    assert len(block.strip().splitlines()) == 3
    exec(block, space)
    assert space["score"].shape == (1,)
    np.testing.assert_array_equal(space["score"], zoofuse.load(folder).predict(images.decode("image.jpg")[None]))


def test_importing_zoofuse_stays_cheap(root):
    code = "import sys, zoofuse; zoofuse.load; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=root / "workflow/src", check=True)


def test_the_cnn_is_chosen_by_the_concepts_own_images():
    assert models.choose_cnn(ZERO_SHOT, LEADERBOARD, METHOD) == (
        "B",
        1,
        "probe",
        "concept labels",
    )  # not A/1, best on the test
    assert models.choose_cnn(ZERO_SHOT, LEADERBOARD, "random") == ("-", 3, "probe", "concept labels")


def test_without_the_concepts_images_the_labelled_half_chooses():
    unknown = ZERO_SHOT.assign(validation=np.nan, selected=None)
    assert models.choose_cnn(unknown, LEADERBOARD, METHOD) == ("B", 0, "own", "few-shot")
    with pytest.raises(ValueError, match=r"no method 'netspace'; write one of cyclegan, random"):
        models.choose_cnn(unknown, LEADERBOARD, "netspace")


def test_no_label_of_the_conjunction_goes_into_the_model(concepts, test):
    choice = models.Choice("A", 0, "probe", "concept labels")
    one = models.select_cnn(zoo(), choice)
    before, threshold = models.with_heads(one, choice, concepts, test, VALIDATION)
    turned = {"images": test["images"][::-1].copy(), "labels": 1 - test["labels"]}
    after, other = models.with_heads(one, choice, concepts, turned, ~VALIDATION)
    assert threshold == other
    for name, values in before.items():
        np.testing.assert_array_equal(values, after[name])


def test_the_labelled_threshold_sees_one_half_only(test):
    choice = models.Choice("A", 1, "own", "few-shot")
    one = models.select_cnn(zoo(), choice)
    threshold = models.with_heads(one, choice, [], test, VALIDATION)[1]
    labels = np.where(VALIDATION, test["labels"], 1 - test["labels"])
    assert models.with_heads(one, choice, [], test | {"labels": labels}, VALIDATION)[1] == threshold
    weights = models.with_heads(one, choice, [], test, VALIDATION)[0]
    model = models.Model(
        {name: torch.from_numpy(values) for name, values in weights.items()}, models.configuration(weights, ["a", "b"])
    )
    scores = model.predict(test["images"][VALIDATION])[None]
    assert threshold == pytest.approx(zero_shot.best_threshold(scores, test["labels"][VALIDATION])[0][0], rel=1e-4)
    assert models.with_heads(one, choice, [], test, ~VALIDATION)[1] != threshold


def test_a_fusion_of_three_has_three_heads_everywhere(tmp_path, test):
    choice = models.Choice("A", 1, "own", "few-shot")
    three = zoo() | {f"fc_c.{part}": -2 * zoo()[f"fc_a.{part}"] for part in ("weight", "bias")}
    weights, threshold = models.with_heads(models.select_cnn(three, choice), choice, [], test, VALIDATION)
    about = {"fusion": "all", "method": METHOD, "threshold": threshold, "seed": 7, "sources": {}} | choice._asdict()
    config = models.configuration(weights, ["small", "black", "cat"], **about)
    model = models.Model({name: torch.from_numpy(values) for name, values in weights.items()}, config)
    config["test"] = models.measured(model, test["images"][~VALIDATION], test["labels"][~VALIDATION], 7)
    models.write(tmp_path, weights, config, models.card(config, [], []))
    model = models.load(tmp_path)
    probabilities = model.probabilities(test["images"])
    logit = np.log(probabilities / (1 - probabilities))
    np.testing.assert_allclose(logit[:, 2], -2 * logit[:, 0], atol=1e-3)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(["score"], {"images": test["images"]})[0], probabilities.prod(1), atol=1e-5)
    card = (tmp_path / "README.md").read_text()
    assert "shows **small and black and cat** at once" in card
    assert "The training images of the concepts' CNNs are unknown" in card
    space = {"images": test["images"]}
    exec(
        blocks(card)[2].replace('"model.safetensors"', "file"), space | {"file": tmp_path / "model.safetensors"}, space
    )
    np.testing.assert_allclose(space["score"], probabilities.prod(1), atol=1e-5)


def test_cnns_without_heads_are_refused_in_words(test):
    choice = models.Choice("A", 1, "own", "few-shot")
    bare = {name: values for name, values in models.select_cnn(zoo(), choice).items() if not name.startswith("fc")}
    with pytest.raises(ValueError, match="no heads for the fusion's concepts"):
        models.with_heads(bare, choice, [], test, VALIDATION)
    with pytest.raises(ValueError, match="B/7 0 times"):
        models.select_cnn(zoo(), choice._replace(domain="B", model=7))


def test_config_and_card_say_what_was_measured(folder, test):
    config, card = json.loads((folder / "config.json").read_text()), (folder / "README.md").read_text()
    truth = test["labels"][~VALIDATION] == 1
    scores = zoofuse.load(folder).predict(test["images"][~VALIDATION])[None]
    value, low, high = config["test"]["auroc"]
    assert value == pytest.approx(intervals.auroc(scores, truth)[0])
    answers = scores >= config["threshold"]
    assert config["test"]["balanced_accuracy"][0] == pytest.approx(intervals.balanced_accuracy(answers, truth)[0])
    assert low < value <= high
    assert (config["test"]["positive"], config["test"]["negative"]) == (15, 15)
    assert f"| {value:.3f} | {low:.3f} to {high:.3f} |" in card
    assert "positive `cats`; negative `` no `cats` <b> ``." in card
    assert "**Of 2 that it was compared with, it is significantly better than 1 and worse than 0.**" in card
    assert "Whether those contain images of black and cat was not checked" in " ".join(card.split())
    for reported in (
        "3,674",
        "`concept labels`",
        "321 that show it",
        "**Seed** 7",
        "CNN 1 of domain B",
        "0123456789abcdef",
    ):
        assert reported in card


def test_a_model_hub_reads_the_cards_front_matter(folder):
    config = json.loads((folder / "config.json").read_text())
    card = ModelCard.load(folder / "README.md")
    assert card.text.lstrip().startswith("# black_cat, by cyclegan")
    data = card.data
    assert (data.license, data.library_name, data.pipeline_tag) == ("unknown", "zoofuse", "image-classification")
    assert data.datasets is None  # folders of somebody's own
    assert data.metrics == ["roc_auc", "balanced_accuracy"]
    assert data.model_name == "black_cat, cyclegan"
    assert [result.metric_type for result in data.eval_results] == data.metrics
    for result, key in zip(data.eval_results, ("auroc", "balanced_accuracy"), strict=True):
        value, low, high = config["test"][key]
        assert (result.metric_value, result.metric_args) == (value, {"low": low, "high": high})
        assert f"95 % interval ({low:.3f} to {high:.3f})" in result.metric_name
        assert (result.dataset_type, result.dataset_name) == ("folder", "black_cat: 30 test images")
    assert yaml.safe_load(data.to_yaml()) == yaml.safe_load(card.content.split("---\n")[1])


def test_controls_stand_beside_it_with_verdicts_on_the_same_heads():
    rows = models.baselines(ZERO_SHOT, COMPARISONS, METHOD, "probe")
    reported = {(row["method"], row["head"]): row["verdict"] for row in rows}
    assert list(reported) == [("product", "own"), ("random", "probe"), ("average", "own"), ("average", "probe")]
    assert list(reported.values()) == ["", "better", "", "inconclusive"]


def test_a_damaged_or_foreign_folder_is_refused(tmp_path, folder):
    with pytest.raises(ValueError, match=r"no model in this folder \(config\.json is missing\)"):
        zoofuse.load(tmp_path)
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    zoofuse.load(tmp_path)
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / "model.safetensors").write_bytes(data)
    with pytest.raises(ValueError, match=r"does not belong to config.json"):
        zoofuse.load(tmp_path)
    (tmp_path / "config.json").write_text('{"format": "another"}')
    with pytest.raises(ValueError, match="not a 'zoofuse model' of version 1"):
        zoofuse.load(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match="corrupt"):
        zoofuse.load(tmp_path)


def test_images_of_another_kind_are_refused(folder):
    model = zoofuse.load(folder)
    for wrong in (np.zeros((2, 32, 32, 3)), np.zeros((2, 3, 32, 32), np.uint8), np.zeros((32, 32), np.uint8)):
        with pytest.raises(ValueError, match=r"uint8 \(m, 32, 32, 3\)"):
            model.predict(wrong)
    with pytest.raises(ImageError, match=r"config\.json: JSON text, not the image"):
        model.predict([folder / "config.json"])
    assert model.predict(np.zeros((32, 32, 3), np.uint8)).shape == (1,)  # one image
    assert model.predict([]).shape == (0,)
    assert model.predict(np.zeros((0, 32, 32, 3), np.uint8)).shape == (0,)


def test_many_images_are_scored_as_few_are(folder):
    model = zoofuse.load(folder)
    pictures = (255 * rng.uniform((600, 32, 32, 3), 1, "pictures")).astype(np.uint8)
    scores = model.predict(pictures)
    np.testing.assert_allclose(scores[[0, 299, 599]], model.predict(pictures[[0, 299, 599]]), atol=1e-6)

"""Named concepts: a registry says what the words of `want` stand for."""

import copy

import pytest
import yaml

from zoofuse.config import ConfigError, complete, named

REGISTRY = {
    "concepts": {
        "red": {"positive": ["red"], "negative": ["not_red"], "synonyms": ["crimson"]},
        "car": {"positive": ["car"], "negative": ["not_car"], "synonyms": ["automobile"], "models": 8},
        "dog": {"zoo": "zoos/dog", "synonyms": ["puppy"]},
        "plane": {"source": "torchvision", "dataset": "cifar10", "class": "airplane"},
        "ship": {"source": "torchvision", "dataset": "cifar10"},
        "frog": {"source": "torchvision", "dataset": "cifar10"},
    },
    "tests": {
        "red car": {"positive": ["test/red_car"], "negative": ["test/other"]},
        "dog and not red": {"positive": ["test/dog"], "negative": ["test/other"]},
    },
}


@pytest.fixture
def written(root, tmp_path):
    """Completes a configuration that wants something of the registry, after a change of it."""

    def completed(want: str, change=lambda registry: None) -> dict:
        registry = copy.deepcopy(REGISTRY)
        change(registry)
        path = tmp_path / "concepts.yaml"
        path.write_text(yaml.safe_dump(registry))
        config = yaml.safe_load((root / "config/config.yaml").read_text())
        return complete(config | {"want": want, "registry": str(path)})

    return completed


def test_words_and_synonyms_find_their_folders(written):
    config = written("crimson automobile")
    assert list(config["fusions"]) == ["red_and_car"]
    assert config["fusions"]["red_and_car"]["concepts"] == ["red", "car"]
    assert config["fusions"]["red_and_car"]["methods"] == ["distil"]
    assert config["fusions"]["red_and_car"]["test"]["positive"] == ["test/red_car"]
    assert set(config["concepts"]) == {"red", "car"}  # nothing else is trained
    assert config["concepts"]["car"]["positive"] == ["car"]
    assert (config["concepts"]["red"]["models"], config["concepts"]["car"]["models"]) == (32, 8)
    # The order of the words makes another fusion of the same zoos, which are there.
    assert written("car red")["concepts"] == config["concepts"]


def test_an_or_is_composed_of_the_zoos_of_its_words(written):
    tests = {"crimson or automobile": REGISTRY["tests"]["red car"]}
    config = written("automobile or crimson", lambda of: of.update(tests=tests))
    (fusion,) = config["fusions"].values()
    assert fusion["concepts"] == ["car", "red"]
    assert fusion["expression"] == "(car or red)"


def test_an_existing_zoo_is_taken_as_it_is_and_needs_no_images(written):
    config = written("puppy and not red")
    assert config["fusions"]["dog_and_not_red"]["concepts"] == ["dog", "not_red"]
    assert config["fusions"]["dog_and_not_red"]["methods"] == ["distil_weights"]
    assert config["concepts"]["dog"]["zoo"] == "zoos/dog"
    assert config["concepts"]["not_red"]["positive"] == ["not_red"]


def test_classes_of_a_data_set_bring_their_own_test(written):
    config = written("not plane and not ship")
    fusion = config["fusions"]["not_plane_and_not_ship"]
    assert fusion["test"]["source"] == "torchvision"
    assert fusion["test"]["positive"] == ["non-airplane non-ship"]
    assert set(fusion["test"]["negative"]) == {"ship non-airplane", "airplane non-ship"}
    concept = config["concepts"]["not_plane_of_not_plane_and_not_ship"]
    assert (concept["dataset"], concept["positive"], concept["negative"]) == (
        "cifar10", ["ship non-airplane"], ["airplane"],
    )  # fmt: skip


def test_without_a_registry_the_shipped_synonyms_are_known(root):
    config = yaml.safe_load((root / "config/config.yaml").read_text())
    one, other = (complete(config | {"want": want}) for want in ("red automobile", "red car"))
    assert one["concepts"] == other["concepts"]
    assert one["fusions"] == other["fusions"]
    assert named.read(None).words["gray"] == "grey"


@pytest.mark.parametrize(
    ("want", "words"),
    [
        ("red autmobile", "'autmobile' is not a concept; did you mean automobile"),
        ("red and ship", "nobody knows which images show 'red and ship'"),
        ("plane and ship", "no image of cifar10 shows 'plane and ship'"),
        ("red and not dog", "not dog needs images of dog"),
    ],
)
def test_what_it_has_not_is_refused(written, want, words):
    change = {"red and not dog": lambda of: of["tests"].update({"red and not dog": of["tests"]["red car"]})}
    with pytest.raises(ConfigError, match=words):
        written(want, *([change[want]] if want in change else []))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda of: of["concepts"]["red"].update(synonym=["x"]), "concepts.red.synonym: unknown key; write synonyms"),
        (lambda of: of.update(test={}), "test: unknown key; write tests"),
        (lambda of: of["concepts"]["dog"]["synonyms"].append("Car"), "'Car' already stands for car"),
        (lambda of: of["concepts"]["dog"]["synonyms"].append("puppy"), "'puppy' already stands for dog"),
        (lambda of: of["concepts"]["dog"]["synonyms"].append("big dog"), "'big dog' can't be a name"),
        (lambda of: of["concepts"]["dog"]["synonyms"].append("not"), "'not' can't be a name"),
        (lambda of: of["concepts"]["dog"].update(synonyms="hound"), r"write a list, such as \[hound\]"),
        (lambda of: of["concepts"]["dog"].update(positive=["dog"], negative=["no"]), "dog: write one of"),
        (lambda of: of["concepts"]["red"].pop("negative"), "red: write one of positive and negative"),
        (lambda of: of["concepts"].update(red=["red"]), "concepts.red: write a mapping"),
        (lambda of: of["concepts"]["plane"].update({"class": "aeroplane"}), "did you mean airplane"),
        (lambda of: of["concepts"]["plane"].update(dataset="cifar"), "torchvision cifar is unknown"),
        (lambda of: of["tests"].update({"red kar": {}}), "'kar' is not a concept; did you mean car"),
        (lambda of: of.pop("concepts"), "has no concepts"),
    ],
)
def test_what_is_wrong_with_a_registry_is_said(written, change, words):
    with pytest.raises(ConfigError, match=words):
        written("red car", change)


def test_a_registry_that_can_t_be_read_is_named(root, tmp_path):
    config = yaml.safe_load((root / "config/config.yaml").read_text()) | {"want": "red car"}
    with pytest.raises(ConfigError, match=r"none.yaml can't be read: No such file"):
        complete(config | {"registry": str(tmp_path / "none.yaml")})
    (tmp_path / "broken.yaml").write_text("concepts: {red: [")
    with pytest.raises(ConfigError, match=r"broken.yaml can't be read"):
        complete(config | {"registry": str(tmp_path / "broken.yaml")})
    (tmp_path / "twice.yaml").write_text("concepts:\n  red: {zoo: a}\n  red: {zoo: b}\n")
    with pytest.raises(ConfigError, match="red"):
        complete(config | {"registry": str(tmp_path / "twice.yaml")})

"""A configuration is completed or refused with words that say what to write."""

import copy
import dataclasses
import re

import jsonschema
import pytest
import yaml

from zoofuse import config
from zoofuse.config import old_keys
from zoofuse.config import table as config_table
from zoofuse.data import synthetic
from zoofuse.methods import registry
from zoofuse.settings.training import Distil

COMPLETE = {
    "images_root": "photos",
    "concepts": {
        "cat": {"positive": ["cat"], "negative": ["random"]},
        "black": {"positive": ["black"], "negative": ["random"]},
    },
    "fusions": {"black_cat": {"concepts": ["black", "cat"], "test": {"positive": ["t/yes"], "negative": ["t/no"]}}},
}


def changed(path: str, value) -> dict:
    """COMPLETE with the key at a dotted path set."""
    result = copy.deepcopy(COMPLETE)
    *parents, last = path.split(".")
    place = result
    for key in parents:
        place = place.setdefault(key, {})
    place[last] = value
    return result


def test_only_images_and_fusions_are_needed():
    done = config.complete(COMPLETE)
    assert done["concepts"]["cat"] | {"positive": 0, "negative": 0} == {
        "source": "folder", "positive": 0, "negative": 0, "models": 64, "architecture": None, "images_per_epoch": None,
        "flip": False, "brightness": 0, "colour": 0,
    }  # fmt: skip
    assert done["zoo"]["epochs"] == 20
    assert done["zoo"]["batch_size"] == 128
    assert done["zoo"]["learning_rate"] == 0.01
    assert done["evaluation"]["dbscan"] == {"eps": 3, "min_samples": 3}
    assert done["fusions"]["black_cat"]["methods"][:4] == ["cyclegan", "distil", "distil_weights", "random"]
    assert config.complete(done) == done


def test_an_existing_zoo_needs_no_images():
    done = config.complete(changed("concepts.cat", {"zoo": "cat.h5"}))
    assert done["concepts"]["cat"]["models"] is None  # as many as it holds
    assert "distil" not in done["fusions"]["black_cat"]["methods"]  # there are no images to learn on
    assert "distil_weights" in done["fusions"]["black_cat"]["methods"]


def of_three(**fusion) -> dict:
    """COMPLETE with a third concept."""
    asked = changed("concepts.small", {"positive": ["small"], "negative": ["random"]})
    asked["fusions"]["black_cat"] |= {"concepts": ["black", "cat", "small"]} | fusion
    return asked


def test_a_fusion_of_three_has_the_parents_of_all():
    done = config.complete(of_three())
    assert config.sides(done["fusions"]["black_cat"]) == {"a": "black", "b": "cat", "c": "small"}
    methods = done["fusions"]["black_cat"]["methods"]
    assert methods[methods.index("parent_a") :][:4] == ["parent_a", "parent_b", "parent_c", "average"]
    assert config.complete(done) == done
    assert config.sides(config.complete(COMPLETE)["fusions"]["black_cat"]) == {"a": "black", "b": "cat"}


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (of_three(concepts=["black", "cat", "cat"]), r"black_cat.concepts: names 'cat' twice; write it once"),
        (of_three(concepts=["black", "smal"]), r"black_cat.concepts: there is no concept 'smal'; did you mean small\?"),
        (of_three(concepts=["cat"]), r"black_cat.concepts: names 1; name at least 2"),
        (of_three(concepts=list("abcdef")), r"black_cat.concepts: names 6; name at most 5"),
        (of_three(concepts="cat"), r"black_cat.concepts: 'cat' is of the wrong type; write a list"),
        (of_three(methods=["netspace"]), r"black_cat.methods: netspace joins two concepts, not 3; leave it out"),
        (of_three(methods=["parent_d"]), r"black_cat.methods: parent_d needs 4 concepts, not 3; leave it out"),
    ],
)
def test_fusions_of_more_are_refused_in_words(asked, message):
    with pytest.raises(config.ConfigError, match=message):
        config.complete(asked)


def test_distilling_on_images_needs_them():
    asked = changed("concepts.cat", {"zoo": "cat.h5"})
    asked["fusions"]["black_cat"]["methods"] = ["distil"]
    with pytest.raises(config.ConfigError, match=r"black_cat.methods: distil learns on .* cat is an existing zoo"):
        config.complete(asked)


def test_numbers_written_as_text_are_numbers():
    # YAML 1.1 reads 1e-3 as text, and --config delivers every nested value as text.
    done = config.complete(changed("zoo.learning_rate", yaml.safe_load("1e-3")) | {"seed": "7"})
    assert done["zoo"]["learning_rate"] == 0.001
    assert done["seed"] == 7


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("zoo.epohcs", 3, r"zoo.epohcs: unknown key; write epochs\. Known here: .*shard_size"),
        ("colour", 1, r"colour: unknown key"),
        ("zoo.epochs", "many", r"zoo.epochs: 'many' is of the wrong type; write a whole number \(the default is 20\)"),
        ("zoo.epochs", 2.5, "zoo.epochs: 2.5 is of the wrong type"),
        ("zoo.epochs", 0, "zoo.epochs: 0 is out of range; write at least 1"),
        ("zoo.balance", "balance", "zoo.balance: 'balance' is unknown; write one of balanced, published; did"),
        ("zoo", [1], r"zoo: \[1\] is of the wrong type; write a mapping"),
        ("concepts.cat.models", 0, r"concepts.cat.models: 0 is out of range; write at least 1 \(the default is null\)"),
        ("concepts.cat.models", 3, "concepts.cat.models: 3 CNNs are too few to train a CycleGAN"),
        ("concepts.cat.positive", [], "concepts.cat.positive: is empty; name at least one"),
        ("concepts.cat.positive", "cat", "concepts.cat.positive: 'cat' is of the wrong type; write a list"),
        ("concepts.cat", {"positive": ["cat"]}, "concepts.cat: missing negative; .*needs both classes"),
        ("concepts.cat.zoo", "cat.h5", "concepts.cat: has both a zoo and positive and negative"),
        ("concepts.cat.layers", {"conv1": "net.0"}, "concepts.cat.layers: is for an existing zoo only"),
        ("concepts.cat.concept_output", 1, "concepts.cat.concept_output: is for an existing zoo only"),
        ("concepts.big cat", {"positive": ["x"], "negative": ["y"]}, "'big cat': not a usable name"),
        ("concepts.cat.dataset", "cifar10", "dataset is for source torchvision only"),
        ("concepts.cat.source", "torchvision", "source torchvision needs dataset"),
        ("concepts", {}, "concepts: is empty"),
        ("fusions.black_cat.concepts", ["black", "cats"], "there is no concept 'cats'; did you mean cat?"),
        ("fusions.black_cat.concepts", ["black", "black"], "concepts: names 'black' twice"),
        ("fusions.black_cat.methods", ["cyclgan"], "'cyclgan' is unknown; write one of cyclegan"),
        ("cyclegan.epochs", -1, "cyclegan.epochs: -1 is out of range"),
    ],
)  # fmt: skip
def test_faults_name_the_key_and_what_to_write(path, value, message):
    with pytest.raises(config.ConfigError, match=message):
        config.complete(changed(path, value))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("drawn", {"images": 40}, "drawn: is now called synthetic; write synthetic."),
        ("evaluation.controls", 8, "evaluation.controls: is now called baselines; write evaluation.baselines."),
        ("zoo.backend", "fused", "zoo.backend: fused is now called cpp; write cpp."),
        ("zoo.backend", "stacked", "zoo.backend: stacked is now called batched; write batched."),
        ("concepts.cat.source", "drawn", "concepts.cat.source: drawn is now called synthetic; write synthetic."),
        (
            "fusions.black_cat.test.source",
            "drawn",
            "black_cat.test.source: drawn is now called synthetic; write synthetic.",
        ),
    ],
)
def test_names_of_earlier_versions_are_told_with_the_new_one(path, value, message):
    with pytest.raises(config.ConfigError) as error:
        config.complete(changed(path, value))
    assert message in str(error.value)
    assert str(error.value).count("\n") == 1


def of_variants(variants: dict, *methods: str) -> dict:
    asked = copy.deepcopy(COMPLETE) | {"variants": variants}
    asked["fusions"]["black_cat"]["methods"] = [*methods, "random"]
    return asked


def test_a_variant_is_its_method_with_other_options():
    variants = {"plain": {"method": "distil", "remedies": []}, "one": {"method": "distil", "models": "1", "label": "x"}}
    done = config.complete(of_variants(variants, "plain", "one"))
    assert config.complete(done) == done
    assert done["variants"] == variants | {"one": {"method": "distil", "models": 1, "label": "x"}}
    known = registry.known(done["variants"])
    names = list(known)
    assert names[names.index("distil") :][:4] == ["distil", "plain", "one", "distil_weights"]
    settings = known["plain"].settings(done)
    assert settings == dataclasses.asdict(Distil(remedies=[]))
    assert (settings["models"], settings["teachers"], settings["choice"], settings["student"]) == (8, 16, "best", None)
    assert (known["plain"].label, known["one"].label, known["one"].make) == ("plain", "x", known["distil"].make)
    assert registry.counts({"a": 20, "b": 30}, done) | {"plain": 8, "one": 1} == registry.counts(
        {"a": 20, "b": 30}, done
    )
    assert "plain" not in registry.known({})
    assert registry.get("plain").options is None  # somebody else's name, unless `use` was told


def test_a_variant_s_supervision_follows_from_its_options():
    """The best teachers are chosen by labels of validation images, the first ones by nothing."""
    variants = {
        "first": {"method": "distil_weights", "choice": "first"},
        "best": {"method": "distil_weights"},
        "kept": {"method": "cyclegan", "parents": "best"},
    }
    known = registry.known(variants)
    assert {name: known[name].supervision for name in variants} == {
        "first": "none", "best": "concept labels", "kept": "concept labels",
    }  # fmt: skip
    assert known["cyclegan"].supervision == "none"


def test_the_best_of_the_translated_are_fewer():
    done = config.complete(of_variants({"best": {"method": "cyclegan", "parents": "best"}}, "best"))
    assert registry.counts({"a": 30, "b": 21}, done)["best"] == 6
    assert registry.counts({"a": 30, "b": 21}, done)["cyclegan"] == 21


@pytest.mark.parametrize(
    ("variants", "method", "message"),
    [
        ({"mine": {"method": "distil", "remedys": []}}, "mine",
         "variants.mine.remedys: unknown key; write remedies. Known here: batch_size, choice, colour_from, epochs"),
        ({"mine": {"method": "distil", "remedies": ["fair"]}}, "mine",
         "variants.mine.remedies.0: 'fair' is unknown; write one of filtered_negatives, colour_transfer"),
        ({"mine": {"method": "distil", "models": 0}}, "mine",
         "variants.mine.models: 0 is out of range; write at least 1"),
        ({"mine": {"method": "distill", "remedies": []}}, "mine",
         "variants.mine.method: 'distill' is unknown; write one of cyclegan, distil, distil_weights, direct, direct_"
         "pair, operator; did you mean distil?"),
        ({"mine": {"remedies": []}}, "mine", "variants.mine: missing method"),
        ({"mine": {"method": "cyclegan", "epochs": 3}}, "mine", "variants.mine.epochs: unknown key"),
        ({"average": {"method": "distil"}}, "average",
         "variants.average: is the name of a method or baseline; write an"),
        ({"Mine": {"method": "distil"}, "mine": {"method": "distil"}}, "mine",
         "variants: Mine and mine differ in capitals"),
        ({"mine": {"method": "distil"}}, "mein", "fusions.black_cat.methods.0: 'mein' is unknown"),
        ({}, "distil_plain", "fusions.black_cat.methods: distil_plain is a variant now; write it at the top level, as "
         "variants: {distil_plain: {method: distil, remedies: []}}."),
    ],
)  # fmt: skip
def test_faults_of_variants_say_what_to_write(variants, method, message):
    with pytest.raises(config.ConfigError) as error:
        config.complete(of_variants(variants, method))
    assert message in str(error.value)
    assert str(error.value).count("\n") == 1


@pytest.mark.parametrize("name", old_keys.VARIANTS)
def test_the_variant_that_an_old_name_is_told_is_valid(name):
    variants = {name: yaml.safe_load(old_keys.VARIANTS[name])}
    assert config.complete(of_variants(variants, name))["fusions"]["black_cat"]["methods"] == [name, "random"]


@pytest.mark.parametrize(
    ("fusion", "words"),
    [
        ({"a": "black", "b": "cat"}, "a: name the concepts in one list: concepts: [black, cat]"),
        ({"b": "cat", "concepts": ["black", "dog"]}, "b: name the concepts in one list: concepts: [black, cat]"),
        (
            {"c": "small", "concepts": ["black", "cat"]},
            "c: name the concepts in one list: concepts: [black, cat, small]",
        ),
    ],
)
def test_concepts_by_letter_are_told_as_a_list(fusion, words):
    test = {"positive": ["t/yes"], "negative": ["t/no"]}
    with pytest.raises(config.ConfigError) as error:
        config.complete(changed("fusions.black_cat", fusion | {"test": test}))
    assert str(error.value).splitlines()[1:] == [f"  fusions.black_cat.{words}"]


def test_unknown_words_of_a_drawing_are_refused():
    drawn = {"source": "synthetic", "positive": ["non-blakc cat"], "negative": ["non-cat"]}
    with pytest.raises(config.ConfigError, match=r"concepts.cat.positive: .*blakc.*black"):
        config.complete(changed("concepts.cat", drawn))


def test_all_faults_are_told_at_once():
    broken = changed("zoo.epohcs", 3) | {"seed": -1, "imagesroot": "x"}
    with pytest.raises(config.ConfigError) as error:
        config.complete(broken)
    assert str(error.value).count("\n") == 3


def test_what_lies_on_top_of_the_default():
    assert config.is_overlay({})
    assert config.is_overlay({"zoo": {"epochs": 2}})
    assert config.is_overlay({"concepts": {"cat": {"models": 8}}})
    assert not config.is_overlay(COMPLETE)
    # a concept that misses one side is the user's own, and wrong; never a part of the default
    assert not config.is_overlay({"concepts": {"cat": {"positive": ["cat"]}}})


def test_layers_that_make_no_one_volume_are_refused_in_words():
    asked = changed("fusions.black_cat.joint", True)
    config.complete(asked)
    deep = changed("zoo.architecture", "deep") | {"fusions": copy.deepcopy(asked["fusions"])}
    with pytest.raises(config.ConfigError, match=r"joint: layers of a deep CNN .* zoo.architecture: published or wide"):
        config.complete(deep)
    asked["fusions"]["black_cat"]["generators"] = "g.h5"
    with pytest.raises(config.ConfigError, match="black_cat: joint is for CycleGANs trained here, and generators are"):
        config.complete(asked)


@pytest.mark.parametrize("name", ["config.yaml", "photos.yaml", "three.yaml"])
def test_shipped_configurations_are_complete(root, name):
    config.complete(yaml.safe_load((root / "config" / name).read_text()))


def test_the_table_of_settings_is_up_to_date(root):
    readme = (root / "config/README.md").read_text()
    table = readme.split(config_table.BEGIN)[1].split(config_table.END)[0].strip()
    assert table == config_table.settings_table().strip(), "run: make format"


def test_every_setting_is_described():
    assert not [row for row in config_table.settings_table().splitlines()[2:] if row.endswith("|  |")]


def test_the_schema_for_editors_is_up_to_date():
    assert config_table.SCHEMA.read_text() == config_table.schema_text(), "run: make format"


def test_the_schema_is_valid_and_has_no_stray_keys():
    schema = config.full_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    known = {
        "type", "enum", "default", "description", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
        "items", "minItems", "maxItems", "uniqueItems", "contains", "properties", "additionalProperties", "required",
        "propertyNames", "minProperties", "minLength", "maxLength", "pattern", "const",
    }  # fmt: skip

    def look(sub: dict):
        assert set(sub) <= known, sub
        inner = [sub[key] for key in ("items", "additionalProperties") if isinstance(sub.get(key), dict)]
        for part in [*sub.get("properties", {}).values(), *inner]:
            look(part)

    look(schema)


def test_the_readme_names_every_word_of_the_drawings(root):
    section = (root / "config/README.md").read_text().split("* `synthetic`")[1].split("* `torchvision`")[0]
    assert set(synthetic.VOCABULARY) <= set(re.findall(r"[a-z]+", section))

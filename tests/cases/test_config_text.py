"""Configurations that strangers wrote: what YAML makes of them without a word is said, before any job."""

import json
import re
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from zoofuse import config
from zoofuse.config import files as config_files
from zoofuse.data import images, synthetic
from zoofuse.evaluation import few_shot, protocols
from zoofuse.preflight import folder_checks

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))
from small_project import CONFIG, project  # noqa: F401

BASE = """\
images_root: photos
concepts:
  cat:
    positive: [cat]
    negative: [random]
  black:
    positive: [black]
    negative: [random]
fusions:
  black_cat: {concepts: [black, cat], test: {positive: [t/yes], negative: [t/no]}}
"""


def refusal(folder: Path, *texts: str, suffix: str = ".yaml", arguments=()) -> str:
    """What is said of files that are merged as Snakemake does it; nothing where they are fine."""
    from snakemake.common.configfile import load_configfile
    from snakemake.utils import update_config

    merged, paths = {}, []
    for number, text in enumerate(texts):
        paths.append(folder / f"{number}{suffix}")
        paths[-1].write_text(text)
        update_config(merged, load_configfile(paths[-1]))
    try:
        config.complete(merged, config_files.read(paths, arguments))
    except config.ConfigError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("yes", "True"), ("No", "False"), ("on", "True"), ("OFF", "False"), ("true", "True"),
        ("1_000", "1000"), ("0x10", "16"), ("012", "10"), ("1.5e+3", "1500.0"), ("2024-01-01", "datetime.date"),
        ("2024-01-01 10:00:00", "datetime.datetime"), ("1:30", "90"), ("null", "None"), ("~", "None"),
        ("2024", "2024"), ("1.0", "1.0"), ("0b11", "3"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", ["folder", "root", "name"])
def test_case_09_words_that_yaml_reads_as_something_else(tmp_path, written, read, place):
    where = {
        "folder": ("positive: [cat]", f"positive: [cat, {written}]", "concepts.cat.positive.1: YAML reads"),
        "root": ("images_root: photos", f"images_root: {written}", "images_root: YAML reads"),
        "name": ("  cat:\n", f"  {written}:\n", "concepts: the key"),
    }[place]
    said = refusal(tmp_path, BASE.replace(where[0], where[1], 1))
    line = {"folder": 4, "root": 1, "name": 3}[place]
    assert where[2] in said
    assert f'; write it in quotes: "{written}"' in said
    assert f"YAML reads {written} as {read}" in said
    assert f"0.yaml, line {line})" in said
    if place == "folder":  # in quotes it is text
        quoted = BASE.replace("positive: [cat]", f'positive: ["{written}"]', 1)
        assert not refusal(tmp_path, quoted)


def test_case_09_infinite_and_empty(tmp_path):
    assert "concepts.cat.positive.0: infinite, not a number" in refusal(tmp_path, BASE.replace("[cat]", "[.inf]"))
    said = refusal(tmp_path, BASE.replace("positive: [cat]", "positive:\n      -"))
    assert "concepts.cat.positive.0: nothing is written" in said
    said = refusal(tmp_path, BASE.replace("[cat]", "[{cat}]"))
    assert "{'cat': None} is of the wrong type; write text, in quotes if it begins with { or [" in said


@pytest.mark.parametrize(
    ("zoo", "said"),
    [
        ("epochs: 012", r"zoo.epochs: YAML reads 012 as 10 (0.yaml, line 11); write 10 or 12."),
        ("epochs: 1:30", r"zoo.epochs: YAML reads 1:30 as 90 (0.yaml, line 11); write 90."),
        ("epochs: yes", r"zoo.epochs: 'yes' is of the wrong type; write a whole number (the default is 20)."),
        ("balance: no", r"zoo.balance: 'no' is unknown (YAML reads no as False (0.yaml, line 11)); write one of"),
        ("epochs: 0x10", ""),
        ("epochs: 1_0", ""),
        ("learning_rate: 1e-3", ""),
    ],
)
def test_case_09_numbers_that_were_meant_otherwise(tmp_path, monkeypatch, zoo, said):
    monkeypatch.chdir(tmp_path)
    found = refusal(tmp_path, BASE + f"zoo: {{{zoo}}}\n").replace(f"{tmp_path}/", "")
    assert said in found if said else not found, found


def test_case_09_a_later_file_or_command_line_counts(tmp_path):
    said = refusal(tmp_path, BASE.replace("[cat]", "[yes]"), "concepts: {cat: {positive: [off]}}")
    assert "YAML reads off as False" in said
    assert "1.yaml, line 1" in said
    values = yaml.safe_load(BASE.replace("[cat]", "[yes]"))
    values["concepts"]["cat"]["positive"] = [2024]  # by --config, of which no text is known
    with pytest.raises(config.ConfigError, match=r"positive.0: 2024 is of the wrong type; write text, in quotes"):
        config.complete(values, config_files.read([tmp_path / "0.yaml"]))


DEEP = "zoo: {epochs: 2}\nevaluation:\n  umap:\n    metric: cosine\n    min_dist: 0\n    metric: euclidean\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BASE + "zoo: {epochs: 2}\nseed: 1\nzoo: {shard_size: 3}\n", "zoo: stands twice in 0.yaml (lines 11 and 13)"),
        (BASE + DEEP, "evaluation.umap.metric: stands twice in 0.yaml (lines 14 and 16)"),
        (BASE.replace("negative: [random]", "positive: [x]", 1), "concepts.cat.positive: stands twice"),
        (BASE + "seed: 1\n'seed': 2\n\"seed\": 3\n", "seed: stands 3 times in 0.yaml (lines 11, 12 and 13)"),
        (BASE + "x: &x {a: 1, a: 2}\ny: *x\n", "x.a: stands twice in 0.yaml (lines 11 and 11)"),
    ],
)
def test_case_54_a_key_twice_is_refused(tmp_path, text, said):
    found = refusal(tmp_path, text).replace(f"{tmp_path}/", "")
    assert said in found
    assert "and only the last would count; write it once." in found
    assert found.count("stands") == 1


def test_case_54_a_key_twice_in_json(tmp_path):
    whole = json.dumps(yaml.safe_load(BASE), indent=1)
    twice = whole[:-1].rstrip() + ',\n "seed": 1,\n "se\\u0065d": 2\n}'
    for text in (twice, twice.replace("\n ", "\n\t")):
        assert json.loads(text)["seed"] == 2
        assert "seed: stands twice" in refusal(tmp_path, text, suffix=".json")
    assert not refusal(tmp_path, whole, suffix=".json")


def test_case_54_a_key_twice_in_any_of_several_files_and_on_the_command_line(tmp_path):
    assert not refusal(tmp_path, BASE + "seed: 1\n", "seed: 2\n")  # one in each: the later file counts, as ever
    said = refusal(tmp_path, BASE, "zoo: {epochs: 2}\nzoo: {epochs: 3}\n", "seed: 1\nseed: 2\n")
    assert "1.yaml (lines 1 and 2)" in said
    assert "2.yaml (lines 1 and 2)" in said
    said = refusal(tmp_path, BASE, arguments=["zoo={epochs: 2, epochs: 3}", "seed=2", "begun=x"])
    assert "zoo.epochs: stands twice in --config zoo, and only the last would count; write it once." in said


def test_null_on_the_command_line_is_no_value():
    """Snakemake reads numbers and true within the braces of --config, and leaves null a word."""
    values = yaml.safe_load(BASE) | {"evaluation": {"models": "null", "baselines": "~"}, "images_root": "null"}
    written = config_files.read([], ["evaluation={models: null, baselines: ~}", 'images_root="null"'])
    completed = config.complete(values, written)
    assert completed["evaluation"]["models"] is completed["evaluation"]["baselines"] is None
    assert completed["images_root"] == "null"


def test_case_54_anchors_and_merge_keys_are_fine(tmp_path):
    text = """
concepts:
  cat: &c {positive: [cat], negative: [random], models: 8}
  black: {<<: *c, positive: [black]}
fusions: {black_cat: {concepts: [black, cat], test: {positive: [x], negative: [y]}}}
"""
    assert not refusal(tmp_path, text)


def laughs(levels: int, each: int, leaf="[lol]", sequence=True) -> str:
    """A few lines that stand for each ** levels values."""
    lines = [f"x0: &x0 {leaf}"]
    for i in range(levels):
        uses = [f"*x{i}" if sequence else f"k{j}: *x{i}" for j in range(each)]
        lines.append(f"x{i + 1}: &x{i + 1} {'[' if sequence else '{'}{', '.join(uses)}{']' if sequence else '}'}")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("where", ["", "replicates", "concepts.cat.positive", "evaluation.umap"])
def test_billion_laughs_do_not_hang(where):
    values = yaml.safe_load(BASE)
    place = values
    *parents, last = where.split(".") if where else ["x"]
    for key in parents:
        place = place.setdefault(key, {})
    for sequence in (True, False):
        place[last] = yaml.safe_load(laughs(40, 9, "{a: b}", sequence))["x40"]
        began = time.process_time()
        with pytest.raises(config.ConfigError, match="more than 100,000 values, those behind an anchor"):
            config.complete(values)
        assert time.process_time() - began < 1


def test_billion_laughs_in_a_file_do_not_hang_the_reader(tmp_path):
    for text in (laughs(60, 9), laughs(60, 9, "{a: b}", False), "a: " + "[" * 10_000 + "]" * 10_000, "a: &a [*a]\n"):
        (tmp_path / "x.yaml").write_text(BASE + text)
        began = time.process_time()
        assert not config_files.read([tmp_path / "x.yaml"]).values
        assert time.process_time() - began < 2
    (tmp_path / "long.yaml").write_text("a: " + "x" * (config_files.MOST_BYTES + 1))
    assert config_files.read([tmp_path / "long.yaml", tmp_path / "none.yaml"]) == ([], {}, {})


def test_blocks_that_hold_themselves_and_deep_ones():
    for text in ("a: &a [*a]", "a: &a {b: *a}", "a: &a {b: [{c: *a}]}"):
        with pytest.raises(config.ConfigError, match="a block holds itself, by an anchor"):
            config.complete(yaml.safe_load(BASE + text))
    deep = []
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(config.ConfigError, match="blocks lie more than 50 deep"):
        config.complete(yaml.safe_load(BASE) | {"seed": deep})


@pytest.mark.parametrize("value", ["x" * 10**6, 10**400, -(10**400), ["x" * 10**6], "a\0b", "\ud800", {"x" * 10**6: 1}])
@pytest.mark.parametrize("place", ["images_root", "seed", "concepts", "predict"])
def test_huge_and_unusable_values_are_shown_in_short(place, value):
    with pytest.raises(config.ConfigError) as error:
        config.complete(yaml.safe_load(BASE) | {place: value})
    assert len(str(error.value)) < 3000
    str(error.value).encode()


NAMES = [
    "cat\n",
    "ca{t}",
    "<logs>",
    "c t",
    "",
    "_cat",
    "-cat",
    "aux.",
    "kätzchen",
    "c\u0661",
    "x" * 65,
    "cat/",
    "c\x1b[2J",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_that_are_refused(tmp_path, name):
    values = yaml.safe_load(BASE)
    values["concepts"][name] = values["concepts"]["cat"]
    values["fusions"][name] = values["fusions"]["black_cat"]
    with pytest.raises(config.ConfigError) as error:
        config.complete(values)
    faults = str(error.value).splitlines()[1:]
    assert len(faults) == 2
    assert all("not a usable name" in fault or "write at most 64" in fault for fault in faults)
    assert "\x1b" not in str(error.value)


def test_names_that_differ_in_capitals_only():
    values = yaml.safe_load(BASE)
    values["concepts"]["Cat"] = values["concepts"]["cat"]
    with pytest.raises(config.ConfigError, match="concepts: cat and Cat differ in capitals only"):
        config.complete(values)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("a{b}", r"Snakemake takes '\{b\}' in a file's name for a word to be replaced; rename the folder, or"),
        ("a{ wildcards.x , [^/]+ }", "for a word to be replaced"),
        ("${DATA}/photos", "variables are not replaced in a configuration; write the whole path"),
        ("x/<logs>/y", r"Snakemake takes '<logs>'"),
        ("file:///photos", "is an address, not a path of this machine; write /photos"),
        ("s3://bucket/photos", "is an address, not a path of this machine; copy it here"),
        ("x" * 300, "has a part of over 255 bytes"),
        ("ä" * 200, "has a part of over 255 bytes"),
    ],
)
def test_paths_that_are_refused(path, said):
    values = yaml.safe_load(BASE)
    values |= {"images_root": path, "zoo_root": path, "predict": path, "replicates": [path]}
    values["concepts"]["cat"]["positive"] = [path]
    values["concepts"]["old"] = {"zoo": path}
    values["fusions"]["black_cat"]["test"]["negative"] = ["fine", path]
    with pytest.raises(config.ConfigError, match=said) as error:
        config.complete(values)
    faults = str(error.value).splitlines()[1:]
    wanted = ["images_root", "zoo_root", "predict", "replicates.0", "concepts.old.zoo", "concepts.cat.positive.0"]
    assert [fault.split(":")[0].strip() for fault in faults] == [*wanted, "fusions.black_cat.test.negative.1"]


def test_home_is_expanded_and_variables_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    done = config.complete(yaml.safe_load(BASE) | {"images_root": "~/photos", "replicates": ["~/old"]})
    assert done["images_root"] == f"{tmp_path}/photos"
    assert done["replicates"] == [f"{tmp_path}/old"]
    assert config.complete(done) == done
    monkeypatch.chdir(tmp_path)
    for path, said in (
        ("$HOME/photos", "variables are not replaced"),
        ("$DATA/photos", "variables are not replaced"),
        ("%USERPROFILE%\\photos", "variables are not replaced"),
        ("photos ", "it begins or ends with white space"),
        (" photos", "it begins or ends with white space"),
        ("C:\\photos\\cats", r"write / between folders"),
    ):
        done = config.complete(yaml.safe_load(BASE) | {"images_root": path, "zoo_root": path})
        faults = folder_checks.folder_faults(done)
        assert sorted(faults) == ["concepts.black", "concepts.cat", "fusions.black_cat.test"]
        assert all(re.search(f"^images_root: there is no folder .*: {said}", fault.words) for fault in faults.values())
        done["concepts"]["cat"] = {"zoo": "cat.h5", "models": None}
        with pytest.raises(ValueError, match=f"^zoo_root: there is no folder .*: {said}"):
            folder_checks.count_zoo(done, "cat")
        Path(path).mkdir(parents=True)  # one that is really called so is read
        assert config.missing_root("images_root", path) is None


def test_all_faults_are_told_at_once(tmp_path):
    said = refusal(
        tmp_path,
        BASE.replace("[black, cat]", "[black, cats]").replace(
            "  cat:\n", "  CAT: {positive: [a], negative: [b]}\n  cat:\n"
        )
        + "seed: .inf\nzoo: {epohcs: 3, epochs: 012}\nimages: {leaks: yes}\nzoo: {epochs: 012, epohcs: 1}\nyes: 1\n",
    )
    for fault in (
        "zoo: stands twice", "the key yes is no text", "seed: infinite", "zoo.epohcs: unknown key",
        "YAML reads 012 as 10", "images.leaks: 'yes' is unknown", "there is no concept 'cats'", "in capitals only",
    ):  # fmt: skip
        assert fault in said, said
    assert len(said.splitlines()) == 9


def test_terminal_escapes_are_shown(tmp_path):
    said = refusal(tmp_path, BASE + '"\\e[2J\\u202e": 1\nimages_root2: "\\e]0;x\\a"\nzoo: {balance: "\\e[31m"}\n')
    assert "\\x1b[2J\\u202e: unknown key" in said
    assert not {"\x1b", "\u202e", "\a"} & set(said)


@pytest.mark.parametrize(
    ("key", "value"),
    [("nu", 1), ("nu", 0), ("nu", 1.5)],
)
def test_case_12_settings_that_scikit_learn_refuses(key, value):
    with pytest.raises(config.ConfigError, match=f"evaluation.one_class_svm.{key}: {value} is out of range; write"):
        config.complete(yaml.safe_load(BASE) | {"evaluation": {"one_class_svm": {key: value}}})


def test_case_12_nu_just_below_one_works():
    points = np.random.default_rng(0).normal(size=(8, 2))
    for nu in (1e-12, float(np.nextafter(1, 0))):
        config.complete(yaml.safe_load(BASE) | {"evaluation": {"one_class_svm": {"nu": nu}}})
        clusters, _ = protocols.one_class_svm(points, np.arange(8) < 4, {"nu": nu, "gamma": "scale"})
        assert len(clusters) == 8


def test_case_12_extremes_of_the_evaluation_on_the_smallest_test(tmp_path):
    """What passes the plan must not fail after all training: four images of a class, and settings at their ends."""
    labels = np.repeat([1, 0], images.LEAST_TEST)
    groups = np.array(["$x_{$", "NA", "nan", ""] * 2)
    validation = protocols.split(labels, groups, 1, "f")
    features = np.random.default_rng(0).normal(size=(1, len(labels), 40)).astype(np.float32)
    done = config.complete(yaml.safe_load(BASE))["evaluation"]
    for own in (
        {"umap": {"n_neighbors": 2, "min_dist": 0}, "kmeans": {"k": 2}, "dbscan": {"eps": 1e-12, "min_samples": 1}},
        {"umap": {"n_neighbors": 10**17, "min_dist": 1}, "kmeans": {"k": 10**17}, "dbscan": {"min_samples": 10**17}},
    ):
        settings = done | {key: done[key] | value for key, value in own.items()}
        rows, _ = protocols.evaluate(features[0], labels == 1, settings)
        more, _ = protocols.held_out(features[0], labels == 1, validation, settings)
        assert len(rows) == len(more) == 3
    curve = few_shot.curve(features, labels, validation, [1, 2, 10**17], draws=2, seed=1, fusion="f")
    assert sorted(curve) == [1, 2]


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ({"netspace": {"networks": 1}}, "netspace.networks: 1 is out of range; write at least 2"),
        ({"netspace": {"inputs": 1}}, "netspace.inputs: 1 is out of range; write at least 2"),
        ({"netspace": {"learning_rate": 1e9}}, "netspace.learning_rate: 1000000000.0 is out of range"),
        ({"netspace": {"temperature": 1e-300}}, "netspace.temperature: 1e-300 is out of range"),
        ({"netspace": {"code": 10**15}}, "netspace.code: 1000000000000000 is out of range"),
        ({"netspace": {"architectures": {"several": ["zoo", "zoo"]}}}, "several: names 'zoo' twice; write it once"),
        ({"cyclegan": {"hidden": 10**9}}, "cyclegan.hidden: 1000000000 is out of range; write at most 4096"),
        ({"zoo": {"epochs": 10**15}}, "zoo.epochs: 1000000000000000 is out of range"),
        ({"evaluation": {"embeddings": ["tsne"]}}, "evaluation.embeddings: lacks umap"),
    ],
)
def test_case_12_settings_that_would_fail_in_a_job(block, said):
    with pytest.raises(config.ConfigError) as error:
        config.complete(yaml.safe_load(BASE) | block)
    assert said in str(error.value)


def test_case_12_netspace_needs_four_cnns():
    values = yaml.safe_load(BASE)
    values["fusions"]["black_cat"]["methods"] = ["netspace"]
    values["concepts"]["cat"]["models"] = 3
    with pytest.raises(config.ConfigError, match=r"concepts.cat.models: 3 CNNs are too few for netspace; write 4 or"):
        config.complete(values)


def test_case_12_too_few_images_and_other_faults_in_one_plan(project):  # noqa: F811
    """By Snakemake itself: two tests of three images, a folder that is missing, and nothing has begun."""
    for path in sorted((project.folder / "photos/test/black_cat").iterdir())[3:]:
        path.unlink()
    asked = yaml.safe_load(yaml.safe_dump(CONFIG))
    asked["concepts"]["cat"]["negative"] = ["none"]
    run = project.snakemake("-n", config=asked)
    assert run.returncode == 1
    assert "fusions.black_cat.test.positive: 3 usable images, at least 4 are needed. Add images" in run.stdout
    assert "concepts.cat.negative: there is no folder 'none'" in run.stdout
    assert "Traceback" not in run.stdout


def test_billion_laughs_and_a_key_twice_end_a_plan(project):  # noqa: F811
    text = yaml.safe_dump(CONFIG)
    for added, said in ((laughs(30, 9), "more than 100,000 values"), ("seed: 1\nseed: 2\n", "seed: stands twice in")):
        (project.folder / "mine.yaml").write_text(text + added)
        began = time.monotonic()
        run = project.snakemake("-n", "--configfile", "mine.yaml")
        assert run.returncode == 1
        assert said in run.stdout
        assert "Traceback" not in run.stdout
        assert time.monotonic() - began < 120


def test_folders_with_odd_names_are_read(project):  # noqa: F811
    """Braces around no word, and what a shell would take for its own."""
    photos = project.folder / "photos"
    names = {"cat": "{ c-at}", "cat_random": "a{}b $HOME `x`", "black": "<Logs> ~", "black_random": " no; 'x' \"y\""}
    for old, new in names.items():
        (photos / old).rename(photos / new)
    asked = yaml.safe_load(yaml.safe_dump(CONFIG))
    for concept in ("cat", "black"):
        asked["concepts"][concept] |= {"positive": [names[concept]], "negative": [names[f"{concept}_random"]]}
    run = project.snakemake("results/images/cat.h5", "results/images/black.h5", config=asked)
    assert run.returncode == 0, run.stdout
    assert len(images.read_concept(project.folder / "results/images/cat.h5")["images"])


def test_drawings_are_large_enough_for_a_test():
    """The least that the schema allows is enough for both halves."""
    least = config.full_schema()["properties"]["synthetic"]["properties"]["test_images"]["minimum"]
    assert least >= images.LEAST_TEST
    found, _ = synthetic.draw(["black cat"], least, 1, "fusions.x.test.positive")
    assert len(np.unique(found.reshape(len(found), -1), axis=0)) >= images.LEAST_TEST

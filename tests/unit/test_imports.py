"""Foreign zoos come in as they are, odd files are named, and nothing that a file wants to run is run."""

import io
import json
import os
import pickle
import subprocess
import sys
import zipfile

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from zoofuse.core import files
from zoofuse.importers import foreign, imports
from zoofuse.methods.cyclegan.io import read_generators, read_history
from zoofuse.methods.cyclegan.translation import translate
from zoofuse.models import cnn
from zoofuse.zoo import zoo

PUBLISHED = cnn.ARCHITECTURES["published"]
LAYOUTS = ["HDF5", "state_dicts", "safetensors", "trials"]


@pytest.fixture(autouse=True, scope="module")
def one_child():
    """One process that reads foreign files for all tests: loading PyTorch takes seconds."""
    with foreign.reader():
        yield


def cnns(n: int) -> list[dict[str, torch.Tensor]]:
    """State_dicts of n CNNs, all different."""
    weights = cnn.initial_weights(PUBLISHED, 1, "cat", np.arange(n))
    return [{name: torch.from_numpy(values[i].copy()) for name, values in weights.items()} for i in range(n)]


def stacked(states) -> dict[str, np.ndarray]:
    return {name: np.stack([state[name].numpy() for state in states]) for name in states[0]}


def save_stack(path, states, **more) -> None:
    with h5py.File(path, "w") as handle:
        for name, values in (stacked(states) | more).items():
            handle[name] = values


def save_trial(folder, saved, lines=(), checkpoint="checkpoint_000019", name="checkpoints") -> None:
    (folder / checkpoint).mkdir(parents=True)
    torch.save(saved, folder / checkpoint / name)
    if lines:
        (folder / "result.json").write_text("\n".join(map(json.dumps, lines)) + "\n")


def save(layout: str, folder, states):
    """A zoo of this layout; returns its path."""
    if layout == "HDF5":
        save_stack(folder / "stack.h5", states)
        return folder / "stack.h5"
    path = folder / layout
    path.mkdir(exist_ok=True)
    for i, state in enumerate(states):
        if layout == "state_dicts":
            torch.save(state, path / f"cnn_{i}.{'pt' if i % 2 else 'pth'}")
        elif layout == "safetensors":
            save_file(state, path / f"cnn_{i}.safetensors")
        else:
            save_trial(path / f"train_{i}", (state, {"state": {}, "param_groups": [{"lr": 0.01}]}), [{"accuracy": i}])
    return path


@pytest.fixture
def load(tmp_path):
    """Imports a zoo and returns what its zoo file holds; `load.said` are the lines told, `load.output` the file."""

    def run(path, models=None, **more):
        load.said.clear()
        models = range(imports.count(path)) if models is None else models
        arguments = {"concept": "cat", "architecture": "published", "models": models, "say": load.said.append} | more
        imports.import_zoo(path, load.output, **arguments)
        return files.read(load.output, "zoo")

    load = run
    load.said, load.output = [], tmp_path / "imported.h5"
    return load


def same(imported, states) -> None:
    """The imported CNNs are these, with the concept, their output 0, as output 1."""
    for name, values in stacked(states).items():
        values = values[:, ::-1] if name.startswith("fc1") else values
        assert imported[name].dtype == np.float32
        assert np.array_equal(imported[name], values), name


# ---------------------------------------------------------------------------------------------- what is taken


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_its_cnns_in_natural_order(layout, tmp_path, load):
    states = cnns(12)  # enough for cnn_10 to come after cnn_2
    path = save(layout, tmp_path, states)
    assert imports.find_zoo(path).kind == layout
    assert imports.count(path) == 12
    imported = load(path)
    same(imported, states)
    assert imported["model"].tolist() == list(range(12))
    reported = files.attributes(load.output, "zoo")
    assert reported["source"]["path"] == str(path)
    assert reported["source"]["sha256"] == imports.digest(path)
    assert reported["classes"] == ["other", "cat"]
    assert reported["skipped"]["count"] == 0


@pytest.mark.parametrize("layout", LAYOUTS)
def test_shards_together_are_the_whole(layout, tmp_path, load):
    path = save(layout, tmp_path, cnns(5))
    whole = load(path)
    shards = []
    for models in (range(2), range(2, 5)):
        load(path, models)
        shards.append(load.output.rename(tmp_path / f"shard-{models.start}.h5"))
    together = zoo.read(shards)
    assert together.keys() == whole.keys()
    for name, values in whole.items():
        assert np.array_equal(together[name], values, equal_nan=values.dtype.kind == "f"), name


def test_published_indices_are_kept_and_rise(tmp_path, load):
    states = cnns(4)
    save_stack(tmp_path / "zoo.h5", states, model=np.array([7, 3, 20, 5]))
    imported = load(tmp_path / "zoo.h5", range(1, 3))
    assert imported["model"].tolist() == [5, 7]
    same(imported, [states[3], states[0]])


@pytest.mark.parametrize("concept_output", [0, 1])
def test_a_module_answers_as_its_imported_cnn_does(tmp_path, load, concept_output):
    net = nn.Sequential(nn.Conv2d(3, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(),
                        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(400, 2))  # fmt: skip
    torch.save(nn.DataParallel(net).state_dict(), tmp_path / "net.pt")
    names = {"conv1": "0", "conv2": "3", "fc1": "7"}
    imported = load(tmp_path, names=names, concept_output=concept_output)
    weights = {name: torch.from_numpy(imported[name]) for name in PUBLISHED.shapes}
    images = torch.randn(4, 3, 32, 32)
    ours, theirs = cnn.logits(weights, images)[0], net(images)
    assert torch.allclose(ours[:, 1], theirs[:, concept_output], atol=1e-5)
    assert torch.allclose(ours[:, 0], theirs[:, 1 - concept_output], atol=1e-5)
    assert f"write concepts.cat.concept_output: {1 - concept_output}" in load.said[-1]


@pytest.mark.parametrize("name", ["state_dict", "model_state_dict", "model_state", "net"])
def test_nested_state_dicts_are_found(name, tmp_path, load):
    (state,) = cnns(1)
    optimiser = torch.optim.Adam([nn.Parameter(state["conv1.bias"])]).state_dict()
    torch.save({"epoch": 20, name: state, "optimizer": optimiser, "loss": 0.5}, tmp_path / "a.pt")
    same(load(tmp_path), [state])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_other_widths_become_float32(layout, dtype, tmp_path, load):
    if layout == "HDF5" and dtype == torch.bfloat16:
        pytest.skip("HDF5 has no bfloat16")
    states = [{name: values.to(dtype) for name, values in state.items()} for state in cnns(2)]
    imported = load(save(layout, tmp_path, states))
    same(imported, [{name: values.float() for name, values in state.items()} for state in states])


def test_hdf5_of_groups_and_other_names(tmp_path, load):
    (state,) = cnns(1)
    ours = {"conv1": "net/first", "conv2": "net/second", "fc1": "out"}
    with h5py.File(tmp_path / "zoo.h5", "w") as handle:
        for name, values in state.items():
            layer, part = name.split(".")
            handle[f"{ours[layer]}/{part}"] = values[None].numpy()
        handle["accuracy"] = np.array([0.5, 0.6, 0.7])  # other data, of another length
    assert imports.count(tmp_path / "zoo.h5") == 1
    same(load(tmp_path / "zoo.h5", names=ours), [state])


def test_a_zoo_file_of_this_project_comes_in_again(tmp_path, load):
    states = cnns(2)
    more = {"model": np.array([4, 9], np.int32), "history/loss": np.zeros((2, 3), np.float32)}
    more |= {"checkpoints/conv1.weight": np.zeros((2, 1, 6, 3, 5, 5), np.float32)}
    files.write(tmp_path / "shard.h5", "zoo", stacked(states) | more)
    imported = load(tmp_path / "shard.h5")
    same(imported, states)
    assert imported["model"].tolist() == [4, 9]


# ---------------------------------------------------------------------------------------------- trials


def test_trials_give_the_last_checkpoint_and_accuracy(tmp_path, load):
    first, last, other = cnns(3)
    zoo_path = tmp_path / "ray"
    lines = [{"mean_accuracy": 0.25}, {"mean_accuracy": 0.75, "epoch": 2}, {"mean_accuracy": None}]
    save_trial(zoo_path / "train_0", first, lines, "checkpoint_9")
    save_trial(zoo_path / "train_0", last, (), "checkpoint_10")
    with open(zoo_path / "train_0" / "result.json", "a") as handle:
        handle.write('{"mean_accuracy": 0.9, "epo')  # killed while it wrote
    save_trial(zoo_path / "train_1", {"model_state": other}, name="checkpoint.pt")  # no result.json
    (zoo_path / "experiment_state.json").write_text("{}")
    imported = load(zoo_path)
    same(imported, [last, other])
    assert imported["source/accuracy"][0] == 0.75
    assert np.isnan(imported["source/accuracy"][1])
    assert imported["source/name"].tolist() == ["train_0", "train_1"]


def test_trials_without_a_checkpoint_are_odd(tmp_path, load):
    path = save("trials", tmp_path, cnns(1))
    (path / "train_1").mkdir()
    (path / "train_1" / "result.json").write_text('{"accuracy": 1}\n')
    (path / "train_2" / "checkpoint_000001").mkdir(parents=True)
    with pytest.raises(imports.ZooError, match="2 of the 3 CNNs") as error:
        load(path)
    assert "train_1: has no checkpoint_NNNNNN" in str(error.value)
    assert "train_2: checkpoint_000001 holds none of checkpoints" in str(error.value)
    assert load(path, on_unreadable="skip")["model"].tolist() == [0]


# ---------------------------------------------------------------------------------------------- odd CNNs


def spoil(folder) -> None:
    """Six odd files beside cnn_0.pth and cnn_1.pt."""
    (state,) = cnns(1)
    torch.save(state | {"conv1.weight": torch.zeros(6, 1, 5, 5)}, folder / "grey.pt")
    torch.save(state | {"conv2.weight": torch.full((16, 6, 5, 5), torch.nan)}, folder / "nan.pt")
    whole = (folder / "cnn_0.pth").read_bytes()
    (folder / "truncated.pt").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.pt").write_bytes(b"")
    torch.save([1, 2], folder / "numbers.pt")
    torch.save({"epoch": 3}, folder / "nothing.pt")


def test_odd_files_are_counted_and_named(tmp_path, load):
    path = save("state_dicts", tmp_path, cnns(2))
    spoil(path)
    with pytest.raises(imports.ZooError) as error:
        load(path)
    reported = str(error.value)
    assert "6 of the 8 CNNs" in reported
    assert "grey.pt: conv1.weight is (6, 1, 5, 5), not (6, 3, 5, 5)" in reported
    assert "nan.pt: contains NaN or Inf: conv2.weight" in reported
    assert "truncated.pt: truncated or corrupt" in reported
    assert "empty.pt: empty file" in reported
    assert "numbers.pt: holds int, not a state_dict" in reported
    assert "nothing.pt: holds no tensors and no state_dict, only epoch" in reported
    assert "write images.unreadable: skip" in reported
    assert not load.output.exists()


def test_odd_files_are_left_out_where_asked_for(tmp_path, load):
    states = cnns(2)
    path = save("state_dicts", tmp_path, states)
    spoil(path)
    imported = load(path, on_unreadable="skip")
    same(imported, states)
    skipped = files.attributes(load.output, "zoo")["skipped"]
    assert skipped["count"] == 6
    assert "NaN" in skipped["named"]["nan.pt"]
    assert any("6 CNNs are left out" in line for line in load.said)


def test_many_odd_files_are_named_ten_at_most(tmp_path, load):
    for i in range(25):
        (tmp_path / f"cnn_{i}.pt").write_bytes(b"")
    with pytest.raises(imports.ZooError) as error:
        load(tmp_path, on_unreadable="skip")  # nothing is left to go on with
    assert "25 of the 25 CNNs" in str(error.value)
    assert "cnn_9.pt and 15 more: empty file" in str(error.value)
    assert "cnn_10.pt" not in str(error.value)


def test_many_causes_are_named_ten_at_most(tmp_path, load):
    path = save("state_dicts", tmp_path, cnns(1))
    for i in range(1, 14):
        torch.save(cnns(1)[0] | {"conv1.bias": torch.zeros(100 + i)}, path / f"cnn_{i}.pt")
    with pytest.raises(imports.ZooError, match="13 of the 14 CNNs") as error:
        load(path)
    assert "cnn_10.pt: conv1.bias is (110,), not (6,)\n  and 3 more\n" in str(error.value)


def test_odd_safetensors_are_named(tmp_path, load):
    path = save("safetensors", tmp_path, cnns(2))
    whole = (path / "cnn_0.safetensors").read_bytes()
    (path / "cnn_2.safetensors").write_bytes(whole[:-8])
    (path / "cnn_3.safetensors").write_bytes(b"\xff" * 64)  # a header of 2**64 bytes
    with pytest.raises(imports.ZooError, match="2 of the 4 CNNs") as error:
        load(path)
    assert "cnn_2.safetensors: truncated or corrupt" in str(error.value)
    assert "cnn_3.safetensors: truncated or corrupt" in str(error.value)


def test_integers_are_no_weights(tmp_path, load):
    state = {name: values.to(torch.int8) for name, values in cnns(1)[0].items()}
    torch.save(state, tmp_path / "a.pt")
    with pytest.raises(imports.ZooError, match=r"conv1.weight is torch.int8; save it as a plain float32"):
        load(tmp_path)
    save_stack(tmp_path / "zoo.h5", [state])
    with pytest.raises(imports.ZooError, match=r"conv1.bias is int8|conv1.weight is int8"):
        load(tmp_path / "zoo.h5")


def test_too_large_for_float32_becomes_inf(tmp_path, load):
    (state,) = cnns(1)
    save_stack(tmp_path / "zoo.h5", [state | {"fc1.bias": torch.tensor([1e300, 0], dtype=torch.float64)}])
    with pytest.raises(imports.ZooError, match=r"contains NaN or Inf: fc1.bias"):
        load(tmp_path / "zoo.h5")


# ---------------------------------------------------------------------------------------------- hostile files


class Evil:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("layout", ["state_dicts", "trials"])
@pytest.mark.parametrize("form", ["zip", "legacy", "pickle"])
def test_a_pickle_that_wants_to_run_code_is_refused_and_not_run(form, layout, tmp_path, load):
    (state,) = cnns(1)
    path = save(layout, tmp_path, [state])
    ran = tmp_path / "ran"
    content = io.BytesIO()
    if form == "pickle":
        pickle.dump(Evil(ran), content)
    else:
        torch.save(state | {"more": Evil(ran)}, content, _use_new_zipfile_serialization=form == "zip")
    file = path / "x_evil.pt" if layout == "state_dicts" else path / "x_evil" / "checkpoint_1" / "checkpoints"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content.getvalue())

    with pytest.raises(imports.ZooError, match="1 of the 2 CNNs") as error:
        load(path)
    assert "evil" in str(error.value)
    assert ("not run: it asks for" if form == "zip" else "not opened") in str(error.value)
    assert load(path, on_unreadable="skip")["model"].tolist() == [0]
    imports.digest(path)
    assert not ran.exists()
    content.seek(0)
    pickle.load(content) if form == "pickle" else torch.load(content, weights_only=False)
    assert ran.exists()  # so the file would have done it


def test_a_pickled_module_is_refused_with_the_way_out(tmp_path, load):
    torch.save(nn.Conv2d(3, 6, 5), tmp_path / "whole.pt")
    with pytest.raises(imports.ZooError, match=r"Conv2d; save net.state_dict\(\) alone"):
        load(tmp_path)


def test_files_have_a_size_limit(tmp_path, load, monkeypatch):
    path = save("state_dicts", tmp_path, cnns(1))
    (path / "large.pt").write_bytes(b"PK\x03\x04" + bytes(100_000))
    with zipfile.ZipFile(path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10_000_000))
    monkeypatch.setattr(imports, "MAX_FILE", 50_000)
    with pytest.raises(imports.ZooError, match="2 of the 3 CNNs") as error:
        load(path)
    assert "large.pt: 100,004 bytes; at most 50,000 are read" in str(error.value)
    assert "bomb.pt: 10,000,000 bytes unpacked; at most 50,000 are read" in str(error.value)


def test_an_old_torch_is_warned_about(tmp_path, load, monkeypatch):
    path = save("state_dicts", tmp_path, cnns(1))
    ask = foreign.Reader.ask
    version = ["2.9.1+cpu"]

    def reported(child, operation, **arguments):
        return ({"version": version[0]}, {}) if operation == "torch_version" else ask(child, operation, **arguments)

    monkeypatch.setattr(foreign.Reader, "ask", reported)
    load(path)
    assert any("torch 2.9.1+cpu has a known vulnerability" in line for line in load.said)
    assert any("install torch 2.10 or later" in line for line in load.said)
    version[0] = "2.10.0"
    load(path)
    assert not any("install torch" in line for line in load.said)


# ---------------------------------------------------------------------------------------------- names and heads

THEIRS = {"conv1": "net.0", "conv2": "net.3", "fc1": "net.7"}


def renamed(state, names):
    return {f"{names[name.split('.')[0]]}.{name.split('.')[1]}": values for name, values in state.items()}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_other_names_need_a_map_and_are_told_which(layout, tmp_path, load):
    states = cnns(2)
    path = save(layout, tmp_path, [renamed(state, THEIRS) for state in states])
    with pytest.raises(imports.ZooError) as error:
        load(path)
    assert "net.0.weight (6, 3, 5, 5)" in str(error.value)
    assert "write layers: {conv1: net.0, conv2: net.3, fc1: net.7}" in str(error.value)
    assert not load.output.exists()
    same(load(path, names=THEIRS), states)


def test_layers_of_equal_shape_are_all_proposed(tmp_path, load):
    state = renamed(cnns(1)[0], THEIRS)
    torch.save(state | {"twin.weight": state["net.0.weight"], "twin.bias": state["net.0.bias"]}, tmp_path / "a.pt")
    with pytest.raises(imports.ZooError, match=r"\{conv1: net\.0 or twin, conv2: net\.3, fc1: net\.7\}"):
        load(tmp_path)


def test_a_linear_layer_of_another_name_is_not_dropped(tmp_path, load):
    (state,) = cnns(1)
    torch.save(renamed(state, {"conv1": "conv1", "conv2": "conv2", "fc1": "out"}), tmp_path / "a.pt")
    with pytest.raises(imports.ZooError, match=r"layers: \{fc1: out\}"):
        load(tmp_path)


def test_a_wrong_map_is_told(tmp_path, load):
    path = save("state_dicts", tmp_path, cnns(1))
    with pytest.raises(imports.ZooError, match=r"has no net\.0\.weight, net\.0\.bias; it holds conv1"):
        load(path, names={"conv1": "net.0"})
    with pytest.raises(imports.ZooError, match="conv3 is unknown; architecture published has conv1, conv2, fc1"):
        load(path, names={"conv3": "net.0"})


def test_no_layer_fits(tmp_path, load):
    torch.save({"a.weight": torch.zeros(8, 3, 3, 3), "a.bias": torch.zeros(8)}, tmp_path / "a.pt")
    with pytest.raises(imports.ZooError, match=r"None of these fits conv1 \(6, 3, 5, 5\), conv2 \(16, 6, 5, 5\)"):
        load(tmp_path)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_head_of_other_sizes_is_left_out_and_told(layout, tmp_path, load):
    head = {"fc1.weight": torch.zeros(120, 400), "fc1.bias": torch.zeros(120), "fc2.weight": torch.zeros(10, 120)}
    states = cnns(2)
    imported = load(save(layout, tmp_path, [state | head for state in states]))
    convolutions = [{name: values for name, values in state.items() if name[:4] == "conv"} for state in states]
    same(imported, convolutions)
    assert not {"fc1.weight", "fc1.bias"} & imported.keys()
    assert any("linear layers are left out" in line for line in load.said)


def test_further_linear_layers_mean_other_logits(tmp_path, load):
    torch.save(cnns(1)[0] | {"fc2.weight": torch.zeros(2, 2), "fc2.bias": torch.zeros(2)}, tmp_path / "a.pt")
    assert "fc1.weight" not in load(tmp_path)


def test_batch_norm_is_another_architecture(tmp_path, load):
    torch.save(cnns(1)[0] | {"bn1.weight": torch.ones(6), "bn1.running_mean": torch.ones(6)}, tmp_path / "a.pt")
    with pytest.raises(imports.ZooError, match=r"another architecture: it also holds bn1\.weight \(6,\)"):
        load(tmp_path)


def test_the_first_cnn_decides_about_the_linear_layer(tmp_path, load):
    states = cnns(3)
    bare = {name: values for name, values in states[1].items() if name[:4] == "conv"}
    path = save("state_dicts", tmp_path, [states[0], bare, states[2]])
    with pytest.raises(imports.ZooError, match=r"cnn_1\.pt: has no linear layer"):
        load(path, range(1, 3))  # also in a shard without the first
    torch.save(bare, path / "cnn_0.pth")
    assert "fc1.weight" not in load(path, range(2, 3))


# ---------------------------------------------------------------------------------------------- HDF5


def test_an_index_twice_is_refused_or_its_first_row_taken(tmp_path, load):
    states = cnns(4)
    save_stack(tmp_path / "zoo.h5", states, model=np.array([3, 1, 3, 2]))
    with pytest.raises(imports.ZooError, match=r"row 2 \(model 3\): an earlier row has the same model"):
        load(tmp_path / "zoo.h5")
    with pytest.raises(imports.ZooError, match="same model"):
        load(tmp_path / "zoo.h5", range(3, 4))  # the earlier row is in another shard
    imported = load(tmp_path / "zoo.h5", on_unreadable="skip")
    assert imported["model"].tolist() == [1, 2, 3]
    same(imported, [states[1], states[3], states[0]])


def test_rows_that_are_not_finite_are_named(tmp_path, load):
    states = cnns(3)
    states[1]["conv2.bias"][3] = torch.inf
    save_stack(tmp_path / "zoo.h5", states, model=np.array([10, 11, 12]))
    with pytest.raises(
        imports.ZooError, match=r"1 of the 3 CNNs(.|\n)*row 1 \(model 11\): contains NaN or Inf: conv2\.bias"
    ):
        load(tmp_path / "zoo.h5")
    assert load(tmp_path / "zoo.h5", on_unreadable="skip")["model"].tolist() == [10, 12]


@pytest.mark.parametrize(
    ("more", "reported"),
    [
        ({"conv1.weight": np.zeros((2, 6, 1, 5, 5), np.float32)}, r"conv1.weight is \(6, 1, 5, 5\), not"),
        ({"conv1.weight": np.zeros((3, 6, 3, 5, 5), np.float32)}, "differ in their number of CNNs"),
        ({"model": np.array([0.5, 1.5])}, r"model is not \(2,\) integers"),
        ({"model": np.array([0, -1])}, "indices from -1 to 0"),
        ({"model": np.array([0, 2**40])}, "indices from 0 to 1099511627776"),
    ],
)
def test_a_stack_that_does_not_fit_is_refused(more, reported, tmp_path, load):
    save_stack(tmp_path / "zoo.h5", cnns(2), **more)
    with pytest.raises(imports.ZooError, match=reported):
        load(tmp_path / "zoo.h5", range(2), on_unreadable="skip")


def test_a_truncated_stack_is_refused(tmp_path):
    path = save("HDF5", tmp_path, cnns(2))
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(imports.ZooError, match="truncated, corrupt"):
        imports.count(path)


def test_more_than_there_are(tmp_path, load):
    with pytest.raises(imports.ZooError, match=r"holds 2 CNNs; write concepts\.cat\.models: 2"):
        load(save("HDF5", tmp_path, cnns(2)), range(3))


def test_of_many_rows_the_first_of_each_index_is_taken(tmp_path, load):
    states = cnns(60)
    save_stack(tmp_path / "zoo.h5", states, model=np.arange(60) % 30)
    same(load(tmp_path / "zoo.h5", on_unreadable="skip"), states[:30])


# ---------------------------------------------------------------------------------------------- finding


def test_places_without_a_zoo_are_told_apart(tmp_path):
    with pytest.raises(imports.ZooError, match="no such file or folder"):
        imports.count(tmp_path / "nowhere")
    with pytest.raises(imports.ZooError, match="no CNN in this folder"):
        imports.count(tmp_path)
    (tmp_path / "readme.txt").write_text("nothing usable")
    (tmp_path / ".hidden.pt").write_bytes(b"")
    (tmp_path / "sub").mkdir()
    with pytest.raises(imports.ZooError, match=r"no CNN in this folder\. Name an HDF5"):
        imports.count(tmp_path)
    save_stack(tmp_path / "cat.h5", cnns(1))
    with pytest.raises(imports.ZooError, match=r"It holds cat\.h5: name one of them"):
        imports.count(tmp_path)
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(imports.ZooError, match="corrupt, or not HDF5"):
        imports.count(tmp_path / "text.h5")
    path = save("state_dicts", tmp_path, cnns(2))
    with pytest.raises(imports.ZooError, match="name its folder instead"):
        imports.count(path / "cnn_1.pt")
    save_file(cnns(1)[0], path / "a.safetensors")
    with pytest.raises(imports.ZooError, match="holds 1 safetensors and 2 state_dicts"):
        imports.count(path)


def test_other_datasets_are_no_zoo(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as handle:
        handle["images"] = np.zeros(3)
    with pytest.raises(imports.ZooError, match="holds no stacked parameters"):
        imports.count(tmp_path / "a.h5")


def test_counting_and_digests_need_no_torch(tmp_path):
    paths = [str(save(layout, tmp_path, cnns(1))) for layout in LAYOUTS]
    program = "import sys; from zoofuse.importers import imports"
    program += "; [(imports.count(p), imports.digest(p)) for p in sys.argv[1:]]"
    program += "; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program, *paths], env=os.environ | PATHS).returncode == 0


PATHS = {"PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_digest_follows_the_bytes(layout, tmp_path):
    states = cnns(3)
    path = save(layout, tmp_path, states)
    before = imports.digest(path), imports.digest(path, range(2))
    assert before == (imports.digest(path), imports.digest(path, range(2)))
    copy = tmp_path / "copy"
    copy.mkdir()
    assert imports.digest(save(layout, copy, states)) == before[0]
    states[2]["conv1.bias"][0] += 1
    if layout == "trials":
        torch.save(states[2], path / "train_2" / "checkpoint_000019" / "checkpoints")
    else:
        save(layout, tmp_path, states)
    assert imports.digest(path) != before[0]
    assert (imports.digest(path, range(2)) == before[1]) == (layout != "HDF5")  # other shards are not imported again


def test_the_digest_follows_the_accuracy(tmp_path):
    path = save("trials", tmp_path, cnns(1))
    before = imports.digest(path)
    (path / "train_0" / "result.json").write_text('{"accuracy": 0.5}\n')
    assert imports.digest(path) != before


# ---------------------------------------------------------------------------------------------- generators


@pytest.fixture
def generators(tmp_path):
    """Writes generators of both layers, with `changes` (name -> array, or None to leave it out)."""

    def write(**changes):
        rng, path = np.random.default_rng(0), tmp_path / "generators.h5"
        arrays = {}
        for layer, c in (("conv1", 3), ("conv2", 6)):
            shapes = {"0.weight": (8, c, 3, 3, 3), "0.bias": (8,), "2.weight": (c, 8, 3, 3, 3), "2.bias": (c,)}
            for way in ("A2B", "B2A"):
                arrays |= {f"{layer}/{way}/{k}": rng.normal(0, 0.1, s).astype(np.float32) for k, s in shapes.items()}
        arrays |= changes
        with h5py.File(path, "w") as handle:
            for name, values in arrays.items():
                if values is not None:
                    handle[name] = values
        return path, arrays

    return write


@pytest.mark.parametrize(("layer", "channels", "filters"), [("conv1", 3, 6), ("conv2", 6, 16)])
def test_generators_translate_as_their_layout_says(layer, channels, filters, generators, tmp_path):
    path, arrays = generators()
    imports.import_generators(path, layer, tmp_path / "out.h5")
    assert read_history(tmp_path / "out.h5") == {}
    kernels = np.random.default_rng(1).normal(0, 0.1, (5, filters, channels, 5, 5)).astype(np.float32)
    for way, generator in read_generators(tmp_path / "out.h5").items():
        net = nn.Sequential(nn.Conv3d(channels, 8, 3, padding=1), nn.ReLU(), nn.Conv3d(8, channels, 3, padding=1),
                            nn.Tanh())  # fmt: skip
        net.load_state_dict({k: torch.tensor(arrays[f"{layer}/{way}/{k}"]) for k in net.state_dict()})
        with torch.no_grad():
            expected = net(torch.from_numpy(kernels).transpose(1, 2)).transpose(1, 2).numpy()
        assert np.allclose(translate(generator, kernels), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "reported"),
    [
        ({"conv1/A2B/2.bias": None}, r"conv1/A2B holds .*expected .*2\.bias \(3,\)"),
        ({"conv1/B2A/4.bias": np.zeros(3)}, r"conv1/B2A holds .*4\.bias"),
        ({"conv1/B2A/0.weight": np.zeros((8, 6, 3, 3, 3))}, r"0\.weight \(8, 6, 3, 3, 3\)"),
        ({"conv1/A2B/0.bias": np.full(8, np.nan)}, r"contains NaN or Inf.* in 0\.bias"),
        ({"conv1/A2B/0.bias": np.zeros(8, int)}, r"contains NaN or Inf.* in 0\.bias"),
    ],
)
def test_generators_that_do_not_fit_are_refused(changes, reported, generators, tmp_path):
    path, _ = generators(**changes)
    with pytest.raises(imports.ZooError, match=reported):
        imports.import_generators(path, "conv1", tmp_path / "out.h5")
    assert not (tmp_path / "out.h5").exists()


def test_of_three_concepts_generators_are_named_with_two_letters(generators, tmp_path):
    path, arrays = generators()
    with h5py.File(path, "a") as handle:
        handle.move("conv2", "conv2-bc")
    imports.import_generators(path, "conv2", tmp_path / "out.h5", pair="-bc")
    found = read_generators(tmp_path / "out.h5")["B2A"]
    assert np.array_equal(found["0.weight"], arrays["conv2/B2A/0.weight"])
    with pytest.raises(imports.ZooError, match="has no group conv2-ab/A2B"):
        imports.import_generators(path, "conv2", tmp_path / "out.h5", pair="-ab")


def test_generators_of_another_file_are_refused(tmp_path):
    save_stack(tmp_path / "zoo.h5", cnns(1))
    with pytest.raises(imports.ZooError, match=r"has no group conv1/A2B; it holds conv1\.bias"):
        imports.import_generators(tmp_path / "zoo.h5", "conv1", tmp_path / "out.h5")
    with pytest.raises(imports.ZooError, match="no such file"):
        imports.import_generators(tmp_path / "nowhere.h5", "conv1", tmp_path / "out.h5")

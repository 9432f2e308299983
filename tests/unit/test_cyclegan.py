import dataclasses
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

import zoofuse
from zoofuse.benchmarks import bench_cyclegan
from zoofuse.core import files, rng
from zoofuse.core.errors import FileError
from zoofuse.methods.cyclegan import backends, io, losses, networks, settings, train, translation
from zoofuse.models import fit

SMALL = {"epochs": 3, "batch_size": 8, "hidden": 8, "measure_every": 2}


def kernels(n, out=6, channels=3, shift=0.0, name="kernels"):
    return rng.uniform((n, out, channels, 5, 5), 0, name, n, shift) * np.float32(0.2) - np.float32(0.1 - shift)


@pytest.fixture
def domains():
    return kernels(20), kernels(14, shift=0.05)


def small(preset="report", layer="conv1", **overrides):
    return settings.settings(preset, layer, **SMALL | overrides)


def same_bits(x, y):
    return all(
        np.array_equal(x.generators[way][name], y.generators[way][name])
        for way in x.generators
        for name in x.generators[way]
    )


# -- the published settings


def test_presets_are_the_published_settings():
    report, code1, code2 = (
        settings.settings(*which) for which in (("report", "conv1"), ("code", "conv1"), ("code", "conv2"))
    )
    assert settings.settings("report", "conv2") == report
    published = {"report": (200, 64, 2e-4), "code conv1": (1000, 10, 2e-5), "code conv2": (200, 64, 2e-4)}
    found = {
        name: (s.epochs, s.batch_size, s.learning_rate)
        for name, s in (("report", report), ("code conv1", code1), ("code conv2", code2))
    }
    assert found == published
    for s in (report, code1, code2):
        assert (s.hidden, s.betas, s.cycle_weight, s.adversarial) == (64, (0.5, 0.999), 10, "mse after sigmoid")
        assert (s.pool, s.decay_start, s.standardise, s.initialisation) == (0, 1, False, "pytorch")
    assert settings.settings("code", "conv3") == code2  # deeper than what is published
    assert report.identity_weight > 0
    assert code1.identity_weight == code2.identity_weight == 0
    assert (report.batches, code1.batches, code2.batches) == ("paired", "mixed", "mixed")


def test_overrides_lie_on_top_of_a_preset():
    assert settings.settings("code", "conv2", epochs=7, betas=[0.4, 0.9]) == dataclasses.replace(
        settings.settings("code", "conv2"), epochs=7, betas=(0.4, 0.9)
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: settings.settings("papr", "conv1"), "'papr' is not known; write one of report, code, best"),
        (lambda: settings.settings("report", "fc1"), "'fc1' is not known; write conv1, conv2 and so on"),
        (
            lambda: settings.settings("report", "conv1", epoch=3),
            "'epoch' is not known; write one of epochs, batch_size",
        ),
        (lambda: settings.settings("report", "conv1", batches="pairs"), "write one of paired, mixed"),
        (lambda: settings.settings("report", "conv1", epochs=0), "epochs is 0; write 1 or more"),
        (lambda: settings.settings("report", "conv1", held_out=0.9), "held_out is 0.9"),
        (lambda: settings.settings("report", "conv1", betas=(0.5,)), "betas is"),
    ],
)
def test_wrong_settings_name_themselves_and_what_to_write(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# -- the numbers of the published loop


BACKENDS = backends.BACKENDS if backends.choose_backend((5, 5))[0] == "cpp" else ("pytorch",)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("adversarial", settings.ADVERSARIAL)
@pytest.mark.parametrize("out", [6, 7])
def test_a_step_is_the_plain_loops_within_rounding(monkeypatch, backend, adversarial, out):
    monkeypatch.setattr(losses, "_POSITIONS", 2 * out * 25)  # several parts, also one that is shorter
    s = small(adversarial=adversarial, learning_rate=1e-3)
    data = {"A": kernels(7, out), "B": kernels(7, out, shift=0.05)}
    generators, discriminators = networks.initial(s, 3, 1)
    plain = bench_cyclegan.PlainCycleGAN(s, 3, generators, discriminators)
    with backends.steps(backend, 1) as both:
        step = bench_cyclegan.fast_step(s, generators, discriminators, both)
    plain_step = bench_cyclegan.plain_step(plain)
    for number in range(5):
        x = {domain: torch.from_numpy(translation._to_network(v, (0, 1))) for domain, v in data.items()}
        expected, found = plain_step(x), step(x)
        assert found == pytest.approx(expected, abs=1e-6), f"step {number}"
    for modules, flat in ((plain.generators, generators), (plain.discriminators, discriminators)):
        parameters = torch.nn.utils.parameters_to_vector(modules.parameters())
        # Adam divides by the gradient's size: where that is rounding itself, a parameter moves by up to a step
        assert torch.quantile((parameters - flat).abs(), 0.99) < 2e-6
        assert (parameters - flat).abs().max() < 2e-3


def test_kernels_of_another_size_are_trained_by_pytorch(tmp_path):
    a, b = (rng.uniform((6, 4, 5, 3, 3), 0, name) * np.float32(0.2) - np.float32(0.1) for name in "ab")
    assert backends.choose_backend(a.shape) == ("pytorch", "pytorch (slower), as the C++ is for 5 x 5 kernels only")
    trained = train.train(a, b, small(), 1, state_path=tmp_path / "state.h5")
    assert trained.way.startswith("pytorch")
    assert translation.translate(trained.generators["A2B"], a).shape == a.shape
    assert np.isfinite(trained.history["loss_cycle"]).all()


def test_translate_is_conv3d_relu_conv3d_tanh_over_swapped_axes():
    g = torch.Generator().manual_seed(0)
    shapes = {"0.weight": (5, 3, 3, 3, 3), "0.bias": (5,), "2.weight": (3, 5, 3, 3, 3), "2.bias": (3,)}
    generator = {name: (0.3 * torch.randn(shape, generator=g)).numpy() for name, shape in shapes.items()}
    values = kernels(21)
    w = {name: torch.from_numpy(value) for name, value in generator.items()}
    x = torch.from_numpy(values).transpose(1, 2)
    hidden = F.conv3d(x, w["0.weight"], w["0.bias"], padding=1).relu()
    expected = F.conv3d(hidden, w["2.weight"], w["2.bias"], padding=1).tanh().transpose(1, 2)
    found = translation.translate(generator, values, batch_size=8)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected.numpy(), atol=2e-6)
    assert np.abs(found).max() < 1


# -- batches, pool, decay, standardisation


def test_paired_batches_hold_both_domains_and_cycle_the_smaller():
    s = small(batch_size=8)
    orders = train._orders(s, {"A": 20, "B": 6}, 1, 0)
    assert [(len(o["A"]), len(o["B"])) for o in orders] == [(8, 8), (8, 8), (4, 4)]
    a, b = (np.concatenate([o[domain] for o in orders]) for domain in "AB")
    assert sorted(a) == list(range(20))
    assert set(np.bincount(b)) == {3, 4}
    assert sorted(b[:6]) == list(range(6))
    assert not np.array_equal(b[:6], b[6:12]), "reshuffled every time round"
    assert not np.array_equal(a, np.concatenate([o["A"] for o in train._orders(s, {"A": 20, "B": 6}, 1, 1)]))


def test_mixed_batches_split_one_shuffled_order_by_domain():
    orders = train._orders(small(batches="mixed", batch_size=8), {"A": 20, "B": 6}, 1, 0)
    assert [len(o["A"]) + len(o["B"]) for o in orders] == [8, 8, 8, 2]
    assert sorted(np.concatenate([o["A"] for o in orders])) == list(range(20))
    assert sorted(np.concatenate([o["B"] for o in orders])) == list(range(6))


def test_a_step_with_an_empty_side_trains_on_the_other(tmp_path, domains):
    s = small("code", batch_size=1)  # every step has an empty side, where the published loss is NaN
    trained = train.train(*domains, s, 1, state_path=tmp_path / "state.h5")
    assert all(np.isfinite(trained.history[name]).all() for name in trained.history if name.startswith("loss_"))
    assert np.isfinite(trained.generators["A2B"]["0.weight"]).all()


def test_the_pool_replays_older_sets_half_of_the_time():
    pool, size, seen = torch.empty(1, 0), 50, 0
    older = shown_total = 0
    for step in range(100):
        fresh = torch.arange(seen, seen + 16.0)[None]
        before = set(pool[0].tolist())
        shown, pool = train._replay(pool, size, fresh, 3, step)
        assert shown.shape == fresh.shape
        assert set(shown[0].tolist()) <= before | set(fresh[0].tolist())
        assert len(set(pool[0].tolist())) == pool.shape[-1] <= size
        if step > 5:
            older += (shown < seen).sum().item()
            shown_total += 16
        seen += 16
    assert 0.35 < older / shown_total < 0.5  # a coin's half, less those that came back within their own batch


def test_the_learning_rate_falls_linearly_after_decay_start():
    s = small(epochs=10, decay_start=0.5)
    rates = [train._decay(s, epoch) for epoch in range(10)]
    assert rates[:6] == [1, 1, 1, 1, 1, pytest.approx(5 / 6)]
    np.testing.assert_allclose(np.diff(rates[5:]), -1 / 6)
    assert all(train._decay(small(), epoch) == 1 for epoch in range(3))


def test_normal_initialisation_is_zhus():
    normal, default = (small(hidden=64, initialisation=name) for name in ("normal", "pytorch"))
    network = networks._makers(networks.initial(normal, 6, 1)[0], 6, normal)["A"]
    assert network["0.weight"].std().item() == pytest.approx(0.02, rel=0.03)
    assert abs(network["0.weight"].mean().item()) < 1e-3
    assert not network["0.bias"].any()
    plain = networks._makers(networks.initial(default, 6, 1)[0], 6, default)["A"]
    assert plain["2.weight"].abs().max().item() == pytest.approx((64 * 27) ** -0.5, rel=0.01)


def test_standardisation_is_undone_by_translation(tmp_path):
    a, b = kernels(20), 3 * kernels(14) + 1  # outside what Tanh reaches
    s = small(standardise=True, epochs=40, learning_rate=5e-3)
    trained = train.train(a, b, s, 1, state_path=tmp_path / "state.h5")
    made = translation.translate(trained.generators["A2B"], a)
    assert made.mean() == pytest.approx(b.mean(), abs=0.1)
    mean, unit = trained.generators["A2B"]["scale.out"]
    assert (mean, unit) == (pytest.approx(b.mean(), rel=1e-5), pytest.approx(4 * b.std(), rel=1e-5))
    np.testing.assert_array_equal(trained.generators["B2A"]["scale.in"], trained.generators["A2B"]["scale.out"])


# -- training


def test_training_brings_a_shifted_domain_nearer(tmp_path):
    a, b = kernels(64), kernels(64, shift=0.3)
    s = small(epochs=40, batch_size=16, hidden=16, learning_rate=3e-3, measure_every=40)
    history = train.train(a, b, s, 1, state_path=tmp_path / "state.h5").history
    for domain in "AB":
        assert history[f"distance_{domain}"][-1] < 0.5 * history[f"untranslated_distance_{domain}"][-1]
    assert history["loss_cycle"][-1] < 0.5 * history["loss_cycle"][0]


def test_the_history_has_every_epochs_losses_and_the_measured_ones_measures(tmp_path, domains):
    rows = []
    trained = train.train(
        *domains, small(), 1, state_path=tmp_path / "state.h5", progress=lambda done, row: rows.append((done, row))
    )
    assert [done for done, _ in rows] == [1, 2, 3]
    for name in ("adversarial_A", "adversarial_B", "cycle", "identity", "discriminator_A", "discriminator_B"):
        assert np.isfinite(trained.history[f"loss_{name}"]).all()
    measured = trained.history["distance_B"]
    assert (measured.shape, measured.dtype) == ((3,), np.float32)
    assert np.isnan(measured).tolist() == [True, False, False], "every second epoch, and the last"
    assert rows[1][1]["distance_B"] == pytest.approx(measured[1], rel=1e-6)


def test_a_domain_smaller_than_a_batch_is_repeated(tmp_path):
    trained = train.train(kernels(20), kernels(4), small(batch_size=64), 1, state_path=tmp_path / "state.h5")
    assert np.isfinite(trained.history["loss_cycle"]).all()


@pytest.mark.parametrize("positions", [300, 100])  # two sets in a part, and less than one
def test_the_number_of_threads_changes_no_bit(tmp_path, domains, monkeypatch, positions):
    monkeypatch.setattr(losses, "_POSITIONS", positions)
    one, two = (
        train.train(*domains, small(), 1, state_path=tmp_path / f"{n}.h5", threads=n, backend="pytorch") for n in (1, 2)
    )
    assert same_bits(one, two)


def test_seed_and_layer_shape_matter(tmp_path, domains):
    one, two = (train.train(*domains, small(), seed, state_path=tmp_path / f"{seed}.h5") for seed in (1, 2))
    assert not same_bits(one, two)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (np.empty((0, 6, 3, 5, 5)), kernels(9), "domain A has 0 kernel sets; at least 4"),
        (kernels(9), kernels(9, channels=6), r"domain A has kernels \(6, 3, 5, 5\), domain B \(6, 6, 5, 5\)"),
        (kernels(9)[:, 0], kernels(9), r"domain A: kernels of shape \(9, 3, 5, 5\)"),
        (
            kernels(9),
            np.where(np.arange(9)[:, None, None, None, None] == 4, np.nan, kernels(9)),
            "B: 450 kernel weights",
        ),
    ],
)
def test_kernels_that_cannot_be_trained_on_are_refused(tmp_path, a, b, message):
    with pytest.raises(ValueError, match=message):
        train.train(a, b, small(), 1, state_path=tmp_path / "state.h5")


def test_standardising_constant_kernels_is_refused(tmp_path):
    with pytest.raises(ValueError, match="cannot be standardised"):
        train.train(kernels(9), 0 * kernels(9), small(standardise=True), 1, state_path=tmp_path / "state.h5")


def test_a_loss_that_is_not_finite_stops_with_epoch_step_and_cause(tmp_path, domains):
    s = small(adversarial="mse on logits", learning_rate=1e30)
    with pytest.raises(
        train.TrainingError, match=r"loss \w+ is (nan|inf) in epoch 1, step [123]: training has diverged"
    ):
        train.train(*domains, s, 1, state_path=tmp_path / "state.h5")


# -- stopping and going on

SCRIPT = """
import sys
import numpy as np
from zoofuse.methods.cyclegan import io, settings, train
from zoofuse.models import fit
fit.SAVE_EVERY = 0
a, b = (np.load(name) for name in sys.argv[1:3])
s = settings.settings(
    "best", "conv1", epochs=60, batch_size=8, hidden=8, pool=10, decay_start=0.5, measure_every=7
)
trained = train.train(a, b, s, 1, state_path=sys.argv[3], progress=lambda done, row: print(done, flush=True))
io.write_generators(sys.argv[4], trained)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_killed_at_any_moment_it_goes_on_to_the_same_bits(tmp_path, domains):
    for name, values in zip("ab", domains, strict=True):
        np.save(tmp_path / f"{name}.npy", values)
    environment = {"PYTHONPATH": str(Path(zoofuse.__file__).parents[1]), "PATH": "/usr/bin:/bin"}

    def start(name):
        paths = [str(tmp_path / file) for file in ("a.npy", "b.npy", f"{name}.state.h5", f"{name}.h5")]
        command = [sys.executable, "-c", SCRIPT, *paths]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, cwd=tmp_path)

    whole = start("whole")
    whole.communicate()
    chance, killed, first = random.Random(time.time_ns()), 0, []
    while killed < 4:
        process = start("killed")
        first.append(int(process.stdout.readline() or 0))
        time.sleep(chance.uniform(0, 0.15))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
        if process.returncode == 0:
            break
    assert killed, "it was done before the first kill"
    last = start("killed")
    last.communicate()
    assert (whole.returncode, last.returncode) == (0, 0)
    assert max(first) > 1, "it went on, and did not start anew"
    expected, found = (files.read(tmp_path / f"{name}.h5", "generators") for name in ("whole", "killed"))
    assert expected.keys() == found.keys()
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


def stop_after(epochs):
    def progress(done, row):
        if done == epochs:
            raise KeyboardInterrupt

    return progress


@pytest.mark.parametrize("backend", BACKENDS)
def test_ctrl_c_loses_nothing_that_was_saved(tmp_path, domains, monkeypatch, backend):
    monkeypatch.setattr(fit, "SAVE_EVERY", 0)
    s = small(pool=10, batches="mixed", decay_start=0.3, standardise=True)
    path = tmp_path / "state.h5"
    with pytest.raises(KeyboardInterrupt):
        train.train(*domains, s, 1, state_path=path, backend=backend, progress=stop_after(1))
    done = []
    resumed = train.train(*domains, s, 1, state_path=path, backend=backend, progress=lambda n, row: done.append(n))
    assert done == [2, 3]
    whole = train.train(*domains, s, 1, state_path=tmp_path / "other.h5", backend=backend)
    assert same_bits(resumed, whole)
    for name in whole.history:
        np.testing.assert_array_equal(resumed.history[name], whole.history[name], err_msg=name)


def test_a_finished_state_is_returned_at_once(tmp_path, domains):
    path, calls = tmp_path / "state.h5", []
    first = train.train(*domains, small(), 1, state_path=path)
    second = train.train(*domains, small(), 1, state_path=path, progress=lambda *args: calls.append(args))
    assert same_bits(first, second)
    assert not calls


@pytest.mark.parametrize("other", ["seed", "settings", "kernels"])
def test_a_state_of_something_else_is_ignored_with_one_line(tmp_path, capsys, domains, other):
    path = tmp_path / "state.h5"
    a, b = domains
    train.train(a, b, small(), 1, state_path=path)
    changed = {
        "seed": (a, b, small(), 2),
        "settings": (a, b, small(learning_rate=1e-4), 1),
        "kernels": (a + np.float32(1e-3), b, small(), 1),
    }[other]
    assert not capsys.readouterr().out
    found = train.train(*changed, state_path=path)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    assert "ignored" in lines[0]
    assert same_bits(found, train.train(*changed, state_path=tmp_path / "fresh.h5"))


@pytest.mark.parametrize("damage", ["truncated", "flipped", "text", "foreign"])
def test_a_damaged_state_is_ignored_with_one_line(tmp_path, capsys, domains, damage):
    path = tmp_path / "state.h5"
    whole = train.train(*domains, small(), 1, state_path=path)
    content = path.read_bytes()
    if damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        at = content.index(np.float32(whole.generators["A2B"]["0.weight"].flat[0]).tobytes())
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    elif damage == "text":
        path.write_text("not an HDF5")
    else:
        files.write(path, "zoo", {"x": np.zeros(1)})
    again = train.train(*domains, small(), 1, state_path=path)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    assert "ignored, training restarts" in lines[0]
    assert same_bits(whole, again)


# -- files and translation


def test_generators_come_back_from_their_file(tmp_path, domains):
    trained = train.train(*domains, small(standardise=True), 1, state_path=tmp_path / "state.h5")
    path = tmp_path / "conv1.h5"
    io.write_generators(path, trained, settings=dataclasses.asdict(small()), seed=1)
    found, history = io.read_generators(path), io.read_history(path)
    assert set(found) == {"A2B", "B2A"}
    assert set(found["A2B"]) == {"0.weight", "0.bias", "2.weight", "2.bias", "scale.in", "scale.out"}
    np.testing.assert_array_equal(
        translation.translate(found["A2B"], domains[0]), translation.translate(trained.generators["A2B"], domains[0])
    )
    np.testing.assert_array_equal(history["loss_cycle"], trained.history["loss_cycle"])
    assert files.attributes(path, "generators")["seed"] == 1
    with pytest.raises(FileError):
        io.read_generators(tmp_path / "state.h5")


def test_a_generator_refuses_kernels_of_another_layer(tmp_path, domains):
    trained = train.train(*domains, small(epochs=1), 1, state_path=tmp_path / "state.h5")
    with pytest.raises(ValueError, match=r"this generator translates \(n, out, 3, 5, 5\)"):
        translation.translate(trained.generators["A2B"], kernels(4, channels=6))
    assert translation.translate(trained.generators["A2B"], kernels(4)[:0]).shape == (0, 6, 3, 5, 5)


def test_the_benchmark_times_all_ways_in_one_table(tmp_path):
    frame = bench_cyclegan.run({"conv1": kernels(64)}, {"conv1": kernels(64, shift=0.05)}, steps=1, repetitions=2)
    assert frame.columns.tolist() == [
        *("layer", "implementation", "device", "ms_per_step", "spread", "ratio_to_plain", "share_of_limit"),
        "minutes_for_published_size",
    ]
    fused = backends.choose_backend((5, 5))[0] == "cpp"
    assert frame["implementation"].tolist() == ["plain PyTorch", *["cpp (zoofuse)"] * fused, "pytorch (zoofuse)"]
    if fused:
        assert frame["share_of_limit"].between(0, 1).all()
    assert (frame["ms_per_step"] > 0).all()
    assert frame["ratio_to_plain"][0] == 1
    np.testing.assert_allclose(frame["minutes_for_published_size"], frame["ms_per_step"] * 200 * 43 / 60_000)
    bench_cyclegan.figure(frame, tmp_path / "speed.svg")
    assert "minutes" in (tmp_path / "speed.svg").read_text()
    with pytest.raises(ValueError, match="conv1, domain B: 9 kernel sets; a step takes 64"):
        bench_cyclegan.run({"conv1": kernels(64)}, {"conv1": kernels(9)})


@pytest.mark.parametrize(("channels", "depth"), [(3, 6), (6, 16)])
def test_operations_are_the_plain_loops_less_padding_and_useless_gradients(channels, depth):
    s = small(batch_size=4)
    x = {domain: torch.rand(channels, depth, 5, 5, 4) for domain in "AB"}
    plain = bench_cyclegan.PlainCycleGAN(s, channels, *networks.initial(s, channels, 1))
    with FlopCounterMode(display=False) as counter:
        bench_cyclegan.plain_step(plain)(x)
    ones = torch.ones(1, 1, depth, 5, 5)
    inside = F.conv3d(ones, torch.ones(1, 1, 3, 3, 3), padding=1).sum().item() / (27 * ones.numel())
    # the plain loop also computes the discriminators' gradients in the generators' step, and throws them away
    thrown_away = 2 * 4 * 2 * (channels + 1) * s.hidden * 27 * ones.numel()
    assert bench_cyclegan.operations(s, channels, depth) == round((counter.get_total_flops() - thrown_away) * inside)

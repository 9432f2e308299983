"""The C++ step of the kernel CycleGAN against float64 autograd, and when it is used."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import zoofuse
from zoofuse.core import rng
from zoofuse.methods.cyclegan import backends, networks, settings, train
from zoofuse.native import build, cyclegan_steps

AVAILABLE, REASON = cyclegan_steps.available()
needs_compiler = pytest.mark.skipif(not AVAILABLE, reason=f"no C++ step: {REASON}")
# Every vector width on this machine, and both numbers of registers: compilers split vectors wider than the processor's.
KINDS = [build.instruction_set(), "lanes4", "lanes16"]
pytestmark = pytest.mark.usefixtures("any_width")
LAYERS = {"conv1": (3, 6), "conv2": (6, 16)}  # channels, depth


def volumes(channels, depth, n, size=5, spread=2.0):
    """Domain -> (channels, depth, size, size, n of it), also beyond what tanh reaches."""
    return {
        domain: torch.from_numpy(spread * rng.uniform((channels, depth, size, size, count), 0, domain) - spread / 2)
        for domain, count in zip("AB", n, strict=True)
    }


def parameters(s, channels):
    """Large enough to saturate some outputs."""
    return [2 * flat for flat in networks.initial(s, channels, 1)]


def reference(s, generators, discriminators, x, shown=None):
    """Losses, gradients by the generators and by the discriminators, and fakes by PyTorch in float64."""
    channels = len(x["A"])
    flat = [f.double().requires_grad_() for f in (generators, discriminators)]
    makers, judges = networks._makers(flat[0], channels, s), networks._judges(flat[1], channels, s)
    real = {domain: values.double().movedim(-1, 0) for domain, values in x.items()}

    def apply(network, values, slope):
        hidden = F.conv3d(values, network["0.weight"], network["0.bias"], padding=1)
        return F.conv3d(F.leaky_relu(hidden, slope), network["2.weight"], network["2.bias"], padding=1)

    def make(domain, values):
        return apply(makers[domain], values, 0.0).tanh()

    def judge(domain, values, target):
        logits = apply(judges[domain], values, 0.2)
        judged = logits.sigmoid() if s.adversarial == "mse after sigmoid" else logits
        return F.mse_loss(judged, torch.full_like(judged, target))

    def add(losses, name, loss):
        losses[name] = losses.get(name, 0.0) + loss

    makers_losses, judges_losses, fakes = {}, {}, {}
    for source, target in ("AB", "BA"):
        if not len(real[source]):
            continue
        fakes[target] = make(target, real[source])
        add(makers_losses, f"adversarial_{target}", judge(target, fakes[target], 1.0))
        add(makers_losses, "cycle", F.l1_loss(make(source, fakes[target]), real[source]))
        if s.identity_weight:
            add(makers_losses, "identity", F.l1_loss(make(source, real[source]), real[source]))
    shown = {d: fake.detach() for d, fake in fakes.items()} if shown is None else shown
    for domain in "AB":
        for sets, target in ((real[domain], 1.0), (shown.get(domain, ()), 0.0)):
            if len(sets):
                add(judges_losses, f"discriminator_{domain}", judge(domain, sets, target) / 2)
    weights = {"cycle": s.cycle_weight, "identity": s.identity_weight}
    total = sum(weights.get(name, 1.0) * loss for name, loss in makers_losses.items())
    gradients = (
        torch.autograd.grad(total, flat[0], retain_graph=True)[0],
        torch.autograd.grad(sum(judges_losses.values()), flat[1])[0],
    )
    return makers_losses, judges_losses, gradients, {d: fake.detach().movedim(0, -1) for d, fake in fakes.items()}


def check(s, channels, depth, n, kinds=KINDS):
    x, (generators, discriminators) = volumes(channels, depth, n), parameters(s, channels)
    makers_losses, judges_losses, gradients, fakes = reference(s, generators, discriminators, x)
    shown = {domain: fake.float() for domain, fake in fakes.items()}
    for kind in kinds:
        losses, by_generators, made = cyclegan_steps.generator_step(s, generators, discriminators, x, kind=kind)
        judged, by_discriminators = cyclegan_steps.discriminator_step(s, discriminators, x, shown, kind=kind)
        for found, expected in ((losses, makers_losses), (judged, judges_losses)):
            assert {k: v.item() for k, v in found.items()} == pytest.approx({k: v.item() for k, v in expected.items()})
        for domain, fake in fakes.items():
            torch.testing.assert_close(made[domain].double(), fake, rtol=0, atol=1e-6)
        for found, expected in ((by_generators, gradients[0]), (by_discriminators, gradients[1])):
            assert (found - expected).abs().max() < 1e-5 * expected.abs().max(), kind
    return losses


@needs_compiler
@pytest.mark.parametrize("adversarial", settings.ADVERSARIAL)
@pytest.mark.parametrize("layer", LAYERS)
def test_gradients_are_float64_autograds(layer, adversarial):
    """Batches of more than a vector, of less, and of neither alike in the two domains."""
    check(settings.settings("report", layer, hidden=12, adversarial=adversarial), *LAYERS[layer], (19, 3))


@needs_compiler
@pytest.mark.parametrize(("channels", "depth", "hidden"), [(1, 1, 1), (2, 2, 5), (5, 3, 9), (7, 1, 3), (4, 7, 64)])
def test_any_number_of_channels_filters_and_hidden_channels_works(channels, depth, hidden):
    check(settings.settings("report", "conv1", hidden=hidden), channels, depth, (3, 5))


@needs_compiler
@pytest.mark.parametrize("n", [(0, 5), (9, 0)])
def test_of_an_empty_domain_nothing_is_lost_or_translated(n):
    s = settings.settings("code", "conv1", hidden=8)
    losses = check(s, 3, 6, n)
    assert set(losses) == {"cycle", "adversarial_A" if n[1] else "adversarial_B"}


@needs_compiler
def test_a_pool_may_show_another_number_of_sets():
    s = settings.settings("report", "conv1", hidden=8)
    x, shown, (generators, discriminators) = volumes(3, 6, (4, 4)), volumes(3, 6, (9, 2)), parameters(s, 3)
    other = {domain: values.double().movedim(-1, 0) for domain, values in shown.items()}
    _, expected, (_, gradient), _ = reference(s, generators, discriminators, x, other)
    losses, found = cyclegan_steps.discriminator_step(s, discriminators, x, shown)
    assert {k: v.item() for k, v in losses.items()} == pytest.approx({k: v.item() for k, v in expected.items()})
    assert (found - gradient).abs().max() < 1e-5 * gradient.abs().max()


@needs_compiler
def test_the_number_of_threads_changes_no_bit():
    s = settings.settings("report", "conv2")  # a task long enough for threads to run at the same time
    x, (generators, discriminators) = volumes(6, 16, (33, 20)), parameters(s, 6)
    (losses, gradient, fakes), *others = (
        cyclegan_steps.generator_step(s, generators, discriminators, x, threads=threads) for threads in (1, 2, 5)
    )
    one, *more = (
        cyclegan_steps.discriminator_step(s, discriminators, x, fakes, threads=threads)[1] for threads in (1, 2, 5)
    )
    assert all(torch.equal(one, other) for other in more)
    for other_losses, other_gradient, other_fakes in others:
        assert other_losses == losses
        assert torch.equal(other_gradient, gradient)
        assert all(torch.equal(other_fakes[domain], fakes[domain]) for domain in "AB")


@needs_compiler
@pytest.mark.parametrize("where", ["generators", "sets"])
def test_a_number_that_is_none_reaches_the_losses(where):
    s = settings.settings("report", "conv1", hidden=8)
    x, (generators, discriminators) = volumes(3, 6, (3, 3)), parameters(s, 3)
    (generators if where == "generators" else x["A"].view(-1))[7] = float("nan")
    losses, _, _ = cyclegan_steps.generator_step(s, generators, discriminators, x)
    assert losses["cycle"].isnan()
    assert losses["adversarial_B"].isnan()


# -- which backend computes


def kernels(n, size=5):
    return rng.uniform((n, 6, 3, size, size), 0, "kernels", n) * np.float32(0.2) - np.float32(0.1)


SMALL = {"epochs": 2, "batch_size": 8, "hidden": 8}


@needs_compiler
def test_both_backends_train_to_the_same_generators_within_rounding(tmp_path):
    s = settings.settings("report", "conv1", **SMALL)
    one, two = (
        train.train(kernels(20), kernels(14), s, 1, state_path=tmp_path / backend, backend=backend)
        for backend in backends.BACKENDS
    )
    assert (one.way.split()[0], two.way.split()[0]) == backends.BACKENDS
    for name, values in one.generators["A2B"].items():
        np.testing.assert_allclose(values, two.generators["A2B"][name], atol=1e-5)
    np.testing.assert_allclose(one.history["loss_cycle"], two.history["loss_cycle"], rtol=1e-5)


@needs_compiler
def test_a_state_is_not_gone_on_with_in_another_way(tmp_path, capsys):
    s, path = settings.settings("report", "conv1", **SMALL), tmp_path / "state.h5"
    train.train(kernels(20), kernels(14), s, 1, state_path=path, backend="pytorch")
    done = []
    train.train(kernels(20), kernels(14), s, 1, state_path=path, progress=lambda epoch, row: done.append(epoch))
    assert done == [1, 2]
    assert "seed or backend; ignored, training restarts" in capsys.readouterr().out


def test_other_sizes_than_5_by_5_are_trained_in_pytorch(tmp_path):
    assert backends.choose_backend((6, 3, 3, 3)) == (
        "pytorch",
        "pytorch (slower), as the C++ is for 5 x 5 kernels only",
    )
    s = settings.settings("report", "conv1", **SMALL)
    options = {"state_path": tmp_path / "state.h5"}
    assert train.train(kernels(9, 3), kernels(8, 3), s, 1, **options).way.startswith("pytorch")
    with pytest.raises(ValueError, match=r"cpp cannot be used here .*5 x 5 kernels only.* Write auto"):
        train.train(kernels(9, 3), kernels(8, 3), s, 1, backend="cpp", **options)
    with pytest.raises(ValueError, match="'batched' is not known; write one of auto, cpp, pytorch"):
        train.train(kernels(9), kernels(8), s, 1, backend="batched", **options)


def test_a_gpu_computes_in_pytorch():
    assert backends.choose_backend((6, 3, 5, 5), "cuda") == ("pytorch", "pytorch: on cuda")


def test_without_a_compiler_pytorch_trains_on(tmp_path):
    code = (
        "import numpy as np; from zoofuse.methods.cyclegan import backends, settings, train;"
        "print(*backends.choose_backend((6, 3, 5, 5)));"
        "s = settings.settings('report', 'conv1', epochs=1, hidden=2);"
        "k = np.random.default_rng(0).random((9, 6, 3, 5, 5));"
        "print(train.train(k, k[:5], s, 1, state_path='state.h5').way)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(zoofuse.__file__).parents[1]), "PATH": str(tmp_path)}
    environment |= {"CXX": "", "XDG_CACHE_HOME": str(tmp_path)}
    reported, way = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment, cwd=tmp_path
    ).stdout.splitlines()
    assert reported.startswith("pytorch pytorch (slower), as the C++ is missing: no C++ compiler found")
    assert way == f"pytorch {build.instruction_set()}"

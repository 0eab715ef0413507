"""A new operation and a new weight format are one C++ file each, and a class that describes the operation: agents made
of them train, are killed and resumed to the bit, saved, evaluated, inspected and reported."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from added_layers import COORDINATES, ENTRIES, SQUARE, Square
from sameness import metrics, same_to_the_bit

import rewirl
from rewirl.agents import AGENTS
from rewirl.cli.main import main
from rewirl.nn import (
    Ensemble,
    Linear,
    Operation,
    Pool,
    ReLU,
    TargetNetwork,
    initialised,
    load_native,
    pack,
    unpack,
    update_targets,
)
from rewirl.nn.operations import KINDS, from_json
from rewirl.storage.policy_file import PolicyError
from rewirl.storage.run_directory import RunDirectoryError
from rewirl.training import evaluation_process
from rewirl.training.evaluation_process import ParallelEvaluations
from rewirl.training.loop import Training

OPTIONS = shlex.split(
    "--env Pendulum-v1 --seed 2 --hidden-sizes 16 16 --batch-size 16 --learning-starts 60 --buffer-size 200 "
    "--total-timesteps 260 --eval-every 130 --eval-episodes 1 --checkpoint-every 70"
)


@pytest.fixture(autouse=True, scope="module")
def registered():
    with pytest.MonkeyPatch.context() as patched:
        for entry in ENTRIES:
            patched.setitem(AGENTS, entry.name, entry)
        yield


def run(*arguments):
    """What a command exits with."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return ended.value.code or 0


# --- Whole runs ----------------------------------------------------------


@pytest.fixture(scope="module", params=[entry.name for entry in ENTRIES])
def trained(request, tmp_path_factory):
    """A whole run from the command line, evaluated beside training by another process, which has to know the layers."""
    path = tmp_path_factory.mktemp(request.param) / "run"
    with pytest.MonkeyPatch.context() as patched:
        if request.param == "coordinates-td3":  # a format has no class whose module another process could import
            patched.setattr(evaluation_process, "own_modules", list)
        patched.setattr(ParallelEvaluations, "_give_up_process", lambda self, reason: pytest.fail(reason))
        assert run("train", "--agent", request.param, *OPTIONS, "--threads", 2, "--run-dir", path) == 0
    return request.param, path


class KilledError(BaseException):
    """Ends a run where a kill would."""


def test_it_is_killed_and_resumed_to_the_bit(trained, tmp_path, monkeypatch):
    name, whole = trained
    path = tmp_path / "run"
    advance = Training._advance

    def advance_or_die(self):
        if self.step == 200:
            raise KilledError
        advance(self)

    with monkeypatch.context() as patched, pytest.raises(KilledError):
        patched.setattr(Training, "_advance", advance_or_die)
        main(["train", "--agent", name, *OPTIONS, "--threads", "1", "--run-dir", str(path)])
    assert max(each.name for each in (path / "checkpoints").glob("step-*")) == "step-000000140"
    assert run("resume", path) == 0
    same_to_the_bit(path, whole)
    assert [line for line in metrics(path) if line["event"] != "checkpoint"] == [
        line for line in metrics(whole) if line["event"] != "checkpoint"
    ]


def test_it_goes_on_in_python_once_its_module_is_imported(trained, tmp_path, monkeypatch):
    name, whole = trained
    path = Path(shutil.copytree(whole, tmp_path / "run"))
    (tmp_path / "mine.py").write_text(
        "import added_layers, rewirl.agents\nrewirl.agents.AGENTS.update({e.name: e for e in added_layers.ENTRIES})\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(AGENTS, name)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    with pytest.raises(RunDirectoryError, match=f"is a run of {name}, .* once its module is imported"):
        rewirl.resume(path)
    with rewirl.resume(path, env_module="mine") as agent:
        agent.learn(10)
        assert agent.name == name and agent.steps == 270


MADE_OF = {"square-td3": ["linear", "square", "linear"]}
MADE_OF["coordinates-td3"] = ["linear (coordinates)", "relu", "linear (coordinates)", "relu", "linear (coordinates)"]


def test_it_is_inspected_reported_and_evaluated(trained, tmp_path, capsys, monkeypatch):
    name, path = trained
    assert run("inspect", path, "--json") == 0
    networks = json.loads(capsys.readouterr().out)["networks"]
    assert all(network["operations"] == MADE_OF[name] for network in networks.values())
    formats = {layer["format"] for network in networks.values() for layer in network["layers"]}
    assert formats == ({"dense", "unstructured"} if name == "square-td3" else {"coordinates"})
    assert run("inspect", path) == 0
    assert f"made of {', '.join(MADE_OF[name])}\n" in capsys.readouterr().out
    assert run("report", path, "--output", tmp_path / "r.html", "--markdown", tmp_path / "r.md") == 0
    assert f": {', '.join(MADE_OF[name])} |" in (tmp_path / "r.md").read_text()
    monkeypatch.delitem(AGENTS, name)  # as whoever is sent the run
    assert run("report", path, "--output", tmp_path / "r.html", "--markdown", tmp_path / "r.md") == 0
    assert f"| {name}, sparsity " in (tmp_path / "r.md").read_text()
    capsys.readouterr()
    assert run("evaluate", path, "--episodes", 1) == 0
    assert rewirl.load(path).predict(np.zeros(3, dtype=np.float32)).shape == (1,)


def test_its_policy_is_refused_where_the_operation_is_unknown(trained, monkeypatch):
    name, path = trained
    if name == "square-td3":
        monkeypatch.delitem(KINDS, "square")
        with pytest.raises(PolicyError, match="there is no operation 'square'; one of your own is known once"):
            rewirl.load(path)


# --- What they compute ---------------------------------------------------


def network(operations, density=0.5):
    rng, places = np.random.default_rng(0), {}
    if density < 1:
        places["hidden1"] = np.sort(rng.choice(9 * 20, round(density * 9 * 20), replace=False))
    return initialised(9, operations, places, rng)


def test_the_operation_computes_what_it_says():
    made = network([Linear("hidden1", n_out=20), Square("square", offset=-0.5), Linear("output", n_out=3)])
    scale = np.linspace(0.5, 2, 20).astype(np.float32)
    made.set_values("square.scale", scale)
    x = np.random.default_rng(1).normal(size=(70, 9)).astype(np.float32)
    pull = np.random.default_rng(2).normal(size=(70, 3)).astype(np.float32)
    hidden = x @ made.layers[0].weights().T + made.layers[0].bias
    out = (scale * hidden**2 - 0.5) @ made.layers[1].weights().T + made.layers[1].bias
    ensemble = Ensemble([made], Pool(1))
    assert np.allclose(unpack(ensemble.forward(pack(x))[0], 70), out, atol=1e-4)
    assert np.allclose(made.act(x[0]), out[0], atol=1e-4)
    ensemble.backward(pack(x), [pack(pull)])
    back = pull @ made.layers[1].weights()
    assert np.allclose(ensemble.gradient(0, "square.scale"), (back * hidden**2).sum(axis=0), atol=1e-3)
    matrix = (back * 2 * scale * hidden).T @ x
    assert np.allclose(ensemble.gradient(0, "hidden1.values"), matrix.reshape(-1)[made.layers[0].places()], atol=1e-3)


@pytest.mark.parametrize("density", [0.3, 1.0])
def test_the_format_learns_what_the_usual_one_does(density):
    x = pack(np.random.default_rng(1).normal(size=(70, 9)).astype(np.float32))
    pool, states = Pool(1), []
    for chosen in ("", "coordinates"):
        operations = [Linear("hidden1", n_out=20, format=chosen), ReLU(), Linear("output", n_out=3, format=chosen)]
        online = network(operations, density)
        target, rng = TargetNetwork(online), np.random.default_rng(3)
        ensemble = Ensemble([online], pool)
        for _ in range(6):
            ensemble.forward(x)
            ensemble.step(x, [pack(rng.normal(size=(70, 3)).astype(np.float32))], 1e-2, 1e-4)
            layer = online.layers[0]
            order, empty = np.argsort(layer.places()), np.setdiff1d(np.arange(180), layer.places())
            dropped = order[rng.choice(len(order), 5, replace=False)]
            online.rewire("hidden1", dropped, rng.permutation(empty)[:5])
            update_targets([target], 0.1, pool)
        assert online.layers[0].format == (chosen or "unstructured")
        states.append([net.state()[0] for net in (online, target)])
    # Of grown weights that are equally large but for rounding, the target may keep another one.
    for usual, own, tolerance in zip(*states, (1e-5, 1e-3), strict=True):
        weights = {name for name in own if not name.endswith("places")}
        assert weights == {name for name in usual if not name.endswith("places")}
        assert np.array_equal(usual["hidden1.places"], own["hidden1.places"])
        far = {name: float(np.abs(usual[name] - own[name]).max()) for name in weights}
        assert max(far.values()) < tolerance, far


# --- What is refused -----------------------------------------------------


def test_a_description_that_is_not_what_the_core_makes_is_refused(monkeypatch):
    monkeypatch.setattr(Square, "arrays", lambda self, features: {})
    with pytest.raises(ValueError, match=r"the arrays \{'scale': 20\}; its class Square says 20 and \{\}"):
        network([Linear("hidden1", n_out=20), Square("square")])


def test_names_that_rewirl_uses_are_refused(tmp_path):
    with pytest.raises(TypeError, match="there is an operation of the kind 'relu' already, ReLU"):

        @dataclass(frozen=True)
        class Other(Operation):
            kind = "relu"

    load_native(SQUARE)  # once more is no other one
    taken = SQUARE.read_text().replace('register_operation("square"', 'register_operation("relu"')
    (tmp_path / "taken.cpp").write_text(taken)
    with pytest.raises(ValueError, match=r"taken\.cpp cannot be loaded: there is an operation 'relu' already"):
        load_native(tmp_path / "taken.cpp")


def test_a_format_is_used_where_it_fits():
    with pytest.raises(ValueError, match="there is no weight format 'ordinates'"):
        network([Linear("hidden1", n_out=20, format="ordinates")])
    with pytest.raises(ValueError, match="dense where no places are given; leave its format out"):
        network([Linear("hidden1", n_out=20, format="dense")])
    with pytest.raises(ValueError, match="there is no operation 'cube'"):
        from_json([{"kind": "cube"}])


def test_what_cannot_be_compiled_says_why(tmp_path, monkeypatch):
    (tmp_path / "bad.cpp").write_text("#error no such thing\n")
    with pytest.raises(ValueError, match=r"(?s)bad\.cpp cannot be compiled by c\+\+:\n.*no such thing"):
        load_native(tmp_path / "bad.cpp")
    with pytest.raises(ValueError, match=r"missing\.cpp cannot be compiled"):
        load_native(tmp_path / "missing.cpp")
    with monkeypatch.context() as other:
        other.setenv("XDG_CACHE_HOME", str(tmp_path / "bad.cpp"))
        with pytest.raises(ValueError, match="rewirl, which cannot be written to: Not a directory; set XDG_CACHE_HOME"):
            load_native(COORDINATES)
    with monkeypatch.context() as other:  # a user without a home, as in containers
        other.delenv("XDG_CACHE_HOME", raising=False)
        other.setattr(Path, "home", lambda: Path("~no-such-user").expanduser())
        with pytest.raises(ValueError, match=r"no place to be compiled into, .*; set XDG_CACHE_HOME to a directory"):
            load_native(COORDINATES)
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ValueError, match="install a C\\+\\+ compiler, or name yours in the variable CXX"):
        load_native(COORDINATES)

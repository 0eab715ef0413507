"""Promises about spaces: which ones pass the door, in which order they are flattened, and what helps with others."""

from __future__ import annotations

import json
from collections import OrderedDict

import gymnasium
import numpy as np
import probe_environments as probes
import pytest
from gymnasium import spaces

from rewirl.cli.main import main
from rewirl.environments import observations
from rewirl.environments.action_bounds import ActionBounds
from rewirl.environments.actions import DiscreteActions
from rewirl.environments.environment import Environment, FaultyEnvironmentError
from rewirl.environments.observations import BoxShape, flatten
from rewirl.environments.spaces import Spaces, UnsuitableEnvironmentError, refuse_kind
from rewirl.printing import command_line


def box(*shape, dtype=np.float32):
    return spaces.Box(-9, 9, shape, dtype)


OBSERVED = {
    "a number": box(),
    "a vector": box(3),
    "a matrix": box(2, 3),
    "four dimensions": box(2, 1, 3, 2),
    "float64": box(2, 3, dtype=np.float64),
    "integers": box(2, 3, dtype=np.int64),
    "bytes": spaces.Box(0, 255, (5,), np.uint8),
    "a Dict": spaces.Dict(way=box(2, 3), goal=box(2), at=box()),
    "an ordered Dict": spaces.Dict(OrderedDict(way=box(2, 3), goal=box(2))),
    "a Tuple": spaces.Tuple([box(2, 3), box(), box(1)]),
    "nested": spaces.Dict(b=spaces.Tuple([box(2, 2), spaces.Dict(z=box(3), y=box())]), a=spaces.Dict(x=box(1))),
}


class Samples(gymnasium.Env):
    """Observes samples of its space, and does nothing."""

    action_space = spaces.Box(-1.0, 1.0, (2,))

    def __init__(self, space):
        self.observation_space = space
        self.last = None

    def reset(self, *, seed=None, options=None):
        self.observation_space.seed(seed)
        self.last = self.observation_space.sample()
        return self.last, {}

    def step(self, action):
        self.last = self.observation_space.sample()
        return self.last, 0.0, False, False, {}


@pytest.mark.parametrize("space", OBSERVED.values(), ids=OBSERVED.keys())
def test_observations_are_flattened_as_gymnasium_does(space):
    env = Samples(space)
    environment = Environment(env, "Samples")
    action = np.zeros(2, np.float32)
    for observe in (lambda: environment.reset(seed=1), lambda: environment.step(action).observation):
        vector = observe()
        expected = spaces.flatten(space, env.last)
        assert vector.dtype == np.float32 and vector.shape == (environment.observation_size,)
        np.testing.assert_array_equal(vector, np.asarray(expected, np.float32))
        users, batched = flatten(environment.spaces.observations, env.last)
        assert not batched and users.tobytes() == vector.tobytes()


def stacked(space, samples):
    """Samples of a space as a batch: a structure of arrays with one more dimension."""
    if isinstance(space, spaces.Dict):
        return {key: stacked(part, [sample[key] for sample in samples]) for key, part in space.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(stacked(part, [sample[i] for sample in samples]) for i, part in enumerate(space))
    return np.stack(samples)


@pytest.mark.parametrize("space", OBSERVED.values(), ids=OBSERVED.keys())
def test_a_batch_has_one_more_dimension_in_every_array(space):
    shape = Environment(probes.Spaces(space), "Odd").spaces.observations
    samples = [space.sample() for _ in range(4)]
    vectors, batched = flatten(shape, stacked(space, samples))
    assert batched and vectors.flags.c_contiguous
    np.testing.assert_array_equal(vectors, np.concatenate([flatten(shape, sample)[0] for sample in samples]))
    empty, batched = flatten(shape, nothing(space))
    assert batched and empty.shape == (0, shape.size)


def nothing(space):
    if isinstance(space, spaces.Dict):
        return {key: nothing(part) for key, part in space.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(map(nothing, space))
    return np.zeros((0, *space.shape))


@pytest.mark.parametrize("space", OBSERVED.values(), ids=OBSERVED.keys())
@pytest.mark.parametrize("actions", [box(2), box(2, 3), box(), spaces.Discrete(4, start=-1)], ids=str)
def test_what_a_file_says_of_spaces_is_all_of_them(space, actions):
    env = Environment(probes.Spaces(space, actions), "Odd")
    read = Spaces.from_values(json.loads(json.dumps(env.spaces.values())))
    assert read.observations == env.spaces.observations and read.differs(env.spaces) == ""
    assert read.values() == env.spaces.values()
    act = lambda o: np.zeros(len(o), int) if env.actions.kind == "Discrete" else np.zeros((len(o), env.action_size))  # noqa: E731
    for each in (read, env.spaces):
        action = each.predict(act, space.sample())
        assert action.shape == actions.shape and actions.contains(action)
        assert each.predict(act, stacked(space, [space.sample()] * 3)).shape == (3, *actions.shape)
        assert each.predict(act, nothing(space)).shape == (0, *actions.shape)


def test_vectors_are_described_as_they_always_were():
    values = Environment(probes.Spaces(), "Flat").spaces.values()
    assert values == {
        "observation_size": 3,
        "bounds": {"low": [-1.0, -1.0], "high": [1.0, 1.0], "dtype": "float32"},
    }


WRONG = {
    "another shape": (
        {"way": np.zeros((3, 2))},
        r"observation\['way'\] of an observation has shape \(2, 3\) and a batch",
    ),
    "a key too few": ({"goal": None}, "lacks 'goal'"),
    "a key too many": ({"wind": np.zeros(1)}, "has 'wind' besides"),
    "words": ({"goal": ["a", "b"]}, r"observation\['goal'\] is not an array of numbers"),
    "one and a batch": ({"goal": np.zeros((5, 2))}, r"is one observation, but observation.* is a batch of 5"),
}


@pytest.mark.parametrize("change, message", WRONG.values(), ids=WRONG.keys())
def test_observations_of_another_structure_are_refused_by_name(change, message):
    space = Environment(probes.Spaces(OBSERVED["a Dict"]), "Odd").spaces.observations
    good = {"way": np.zeros((2, 3)), "goal": np.zeros(2), "at": 0.0}
    flatten(space, good)
    wrong = {key: value for key, value in {**good, **change}.items() if value is not None}
    with pytest.raises(ValueError, match=message):
        flatten(space, wrong)


def test_batches_of_two_sizes_are_refused():
    space = Environment(probes.Spaces(OBSERVED["a Tuple"]), "Odd").spaces.observations
    with pytest.raises(ValueError, match=r"a batch of 4, but .* is a batch of 5"):
        flatten(space, (np.zeros((4, 2, 3)), np.zeros(4), np.zeros((5, 1))))
    with pytest.raises(ValueError, match="no tuple of 3 parts, it is of type ndarray"):
        flatten(space, np.zeros(8))
    with pytest.raises(ValueError, match=r"has shape \(3,\) and a batch \(batch, 3\), got \(4,\)"):
        flatten(BoxShape((3,)), np.zeros(4))


@pytest.mark.parametrize("returned", ["reset", "step"])
def test_all_that_reset_or_step_returned_is_named_as_that(returned):
    env = gymnasium.make("Pendulum-v1")
    everything = env.reset(seed=0) if returned == "reset" else (env.reset(seed=0), env.step(np.zeros(1)))[1]
    with pytest.raises(ValueError, match=r"all that reset\(\) or step\(\) returned; give its first part alone"):
        flatten(BoxShape((3,)), everything)


def test_the_command_line_is_told_its_own_way_to_flatten(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--agent", "dqn", "--env", "FrozenLake-v1"])
    assert "Wrap it: --wrapper gymnasium.wrappers:FlattenObservation" in capsys.readouterr().err


FAULTS = {
    "not a dict": (lambda o: [0.0], "observation is no dict of 'way', 'clock', 'more', it is 1 parts"),
    "no clock": (lambda o: {"way": o["way"], "more": o["more"]}, "observation must have the keys .*; it lacks 'clock'"),
    "a wide clock": (lambda o: {**o, "clock": [1, 2]}, r"observation\['clock'\] has shape \(2,\) but .* says \(\)"),
    "a clock gone": (lambda o: {**o, "clock": np.nan}, r"observation\['clock'\] is nan"),
    "a deep nan": (
        lambda o: {**o, "more": (o["more"][0], {"last": [0.0, np.inf]})},
        r"observation\['more'\]\[1\]\['last'\]\[1\] is inf",
    ),
    "a short tuple": (lambda o: {**o, "more": o["more"][:1]}, r"observation\['more'\] is no tuple of 2 parts"),
}


@pytest.mark.parametrize("fault, message", FAULTS.values(), ids=FAULTS.keys())
def test_faults_name_the_part_of_the_observation(fault, message):
    env = probes.Parts()
    environment = Environment(env, "Parts-v0")
    environment.where = lambda: "training step 5"
    environment.reset(seed=0)
    observe = env._observe
    env._observe = lambda: fault(observe())
    with pytest.raises(FaultyEnvironmentError, match=f"^Parts-v0: {message}.*, at training step 5$"):
        environment.step(np.zeros(6))


FLATTEN = r"Wrap it: gymnasium.wrappers.FlattenObservation\(env\), or wrapper=\[.*\] beside an id"
REFUSED = {
    "discrete observation": (spaces.Discrete(4), None, FLATTEN),
    "binary observation": (spaces.MultiBinary(4), None, FLATTEN),
    "multi-discrete observation": (spaces.MultiDiscrete([2, 3]), None, FLATTEN),
    "discrete in a dict": (spaces.Dict(a=box(2), b=spaces.Discrete(4)), None, rf"as observation\['b'\].*{FLATTEN}"),
    "text": (spaces.Text(5), None, r"TransformObservation\(env, function, Box"),
    "sequence": (spaces.Sequence(box(2)), None, r"TransformObservation\(env, function, Box"),
    "graph in a tuple": (spaces.Tuple([box(2), spaces.Graph(box(1), None)]), None, r"observation\[1\].*TransformObs"),
    "empty": (box(0), None, "empty observation space"),
    "empty dict": (spaces.Dict(), None, "empty observation space"),
    "empty in a dict": (spaces.Dict(a=box(0)), None, r"empty observation space, .* as observation\['a'\]"),
    "grey image": (spaces.Box(0, 255, (84, 84), np.uint8), None, "images of shape.*ObservationWrapper"),
    "image": (spaces.Box(0, 255, (84, 84, 3), np.uint8), None, "images of shape.*ObservationWrapper"),
    "image in a dict": (
        spaces.Dict(eye=spaces.Box(0, 255, (8, 8, 3), np.uint8)),
        None,
        rf"images of shape \(8, 8, 3\) as observation\['eye'\].*ObservationWrapper.*{FLATTEN}",
    ),
    "unbounded action": (
        None,
        spaces.Box(np.array([-1, -np.inf]), np.ones(2), dtype=np.float64),
        "dimension 1.*TransformAction",
    ),
    "integer action": (None, box(2, dtype=np.int64), "integer actions.*TransformAction"),
    "long doubles": (None, box(2, dtype=np.longdouble), "takes actions of float128, .*TransformAction"),
    "empty action": (None, box(0), "empty action space"),
    "binary action": (None, spaces.MultiBinary(4), "TransformAction"),
    "multi-discrete action": (None, spaces.MultiDiscrete([2, 3]), "TransformAction"),
    "dict of actions": (None, spaces.Dict(a=box(2)), "TransformAction"),
    "tuple of actions": (None, spaces.Tuple([box(2)]), "TransformAction"),
    "text action": (None, spaces.Text(3), "TransformAction"),
}


@pytest.mark.parametrize("observation_space, action_space, message", REFUSED.values(), ids=REFUSED.keys())
def test_unsuitable_spaces_are_refused_with_the_remedy(observation_space, action_space, message):
    with pytest.raises(UnsuitableEnvironmentError, match=rf"^Odd-v0 .*{message}"):
        Environment(probes.Spaces(observation_space, action_space), "Odd-v0")


def test_the_remedy_for_an_image_on_the_command_line_needs_no_program():
    with command_line(), pytest.raises(UnsuitableEnvironmentError, match=r"Wrap it: --wrapper .*:FlattenObservation$"):
        Environment(probes.Spaces(spaces.Box(0, 255, (8, 8), np.uint8), None), "Odd-v0")


class Taking(probes.Spaces):
    """Takes actions and keeps the last."""

    def reset(self, *, seed=None, options=None):
        return self.observation_space.sample(), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        self.taken = action
        return self.observation_space.sample(), 0.0, False, False, {}


def advised(error, env):
    """Do what a message says: evaluate the wrapper that it ends with."""
    text = str(error.value)
    names = {
        "gymnasium": gymnasium,
        "np": np,
        "env": env,
        "Box": spaces.Box,
        "low": np.full(2, -2.0, np.float32),
        "high": np.full(2, 2.0, np.float32),
    }
    return eval(text[text.index("gymnasium.wrappers") :].split(", and leave out")[0].split(", or wrapper")[0], names)


@pytest.mark.parametrize(
    "action_space",
    [
        spaces.MultiBinary(4),
        spaces.MultiBinary((2, 3)),
        spaces.MultiDiscrete([2, 3]),
        spaces.MultiDiscrete([[2, 3], [4, 5]], start=[[0, 1], [-2, 3]]),
        spaces.Box(-2, 2, (2,), np.int64),
        spaces.Box(-np.inf, np.inf, (2,)),
        spaces.Box(-2, 2, (2,), np.longdouble),
    ],
    ids=str,
)
def test_the_remedies_for_actions_work(action_space):
    env = Taking(action_space=action_space)
    with pytest.raises(UnsuitableEnvironmentError) as error:
        Environment(env, "Odd-v0")
    environment = Environment(advised(error, env), "Odd-v0")
    environment.reset(seed=0)
    taken = set()
    for number in (-1.0, 0.0, 1.0):
        actions = np.full(environment.action_size, number, np.float32)
        environment.step(environment.actions.to_environment(actions))
        taken.add(env.taken.tobytes())
    assert len(taken) > 1


@pytest.mark.parametrize(
    "space, size",
    [
        (spaces.Discrete(4), 4),
        (spaces.MultiBinary(4), 4),
        (spaces.MultiDiscrete([2, 3]), 5),
        (spaces.Dict(a=box(2), b=spaces.Discrete(3)), 5),
        (spaces.Dict(a=box(2), b=spaces.Box(0, 255, (2, 3), np.uint8)), 8),
    ],
    ids=str,
)
def test_the_remedies_for_observations_work(space, size):
    env = Taking(space)
    with pytest.raises(UnsuitableEnvironmentError) as error:
        Environment(env, "Odd-v0")
    assert Environment(advised(error, env), "Odd-v0").observation_size == size


def test_a_matrix_of_bytes_that_is_no_image_can_be_said_to_be_none():
    env = Taking(spaces.Box(0, 255, (2, 3), np.uint8))
    with pytest.raises(UnsuitableEnvironmentError) as error:
        Environment(env, "Odd-v0")
    assert Environment(advised(error, env), "Odd-v0").spaces.observations == BoxShape((2, 3))


def test_an_agent_that_takes_no_discrete_actions_says_what_helps():
    env = Taking(action_space=spaces.Discrete(4, start=3))
    actions = Environment(env, "Odd-v0").actions
    refuse_kind(actions, "Odd-v0", "dqn", ("Discrete",), ["dqn"])
    with pytest.raises(
        UnsuitableEnvironmentError, match=r"^Odd-v0 has the action space Discrete, but td3 takes Box"
    ) as error:
        refuse_kind(actions, "Odd-v0", "td3", ("Box",), [])
    environment = Environment(advised(error, env), "Odd-v0")
    environment.reset(seed=0)
    environment.step(environment.actions.to_environment(np.array([-1, 0.5, 1, 0.2], np.float32)))
    assert env.taken == 5
    with pytest.raises(UnsuitableEnvironmentError, match="Train dqn or ppo there, or let a Box choose"):
        refuse_kind(actions, "Odd-v0", "td3", ("Box",), ["dqn", "ppo"])
    with pytest.raises(
        UnsuitableEnvironmentError, match=r"has the action space Box, but dqn takes Discrete\. Train td3 there$"
    ):
        refuse_kind(Environment(Taking(), "Odd-v0").actions, "Odd-v0", "dqn", ("Discrete",), ["td3"])


def test_discrete_actions_are_numbered_from_zero_inside_and_kept_as_one_feature_each():
    env = Taking(action_space=spaces.Discrete(3, start=-1))
    environment = Environment(env, "Odd-v0")
    environment.reset(seed=0)
    actions = environment.actions
    assert isinstance(actions, DiscreteActions) and environment.action_size == 3
    for choice, own in ((0, -1), (np.int64(1), 0), (np.array(2), 1)):
        assert actions.valid(choice)
        environment.step(actions.to_environment(choice))
        assert env.taken == own and env.taken.dtype == env.action_space.dtype
        np.testing.assert_array_equal(actions.row(choice), np.eye(3, dtype=np.float32)[int(choice)])
    for wrong in (-1, 3, 1.0, True, np.array([0, 3]), np.nan):
        assert not actions.valid(wrong)
    np.testing.assert_array_equal(actions.to_environment(np.array([2, 0])), [1, -1])
    assert (
        actions.contains(np.array([-1, 1]))
        and not actions.contains(np.array([2]))
        and not actions.contains(np.array([-2]))
    )
    rng = np.random.default_rng(0)
    assert {actions.random(rng) for _ in range(50)} == {0, 1, 2}
    noisy = [actions.noisy(1, 0.3, rng) for _ in range(500)]
    assert 60 < sum(choice != 1 for choice in noisy) < 140  # two thirds of 0.3


def test_a_matrix_of_actions_is_a_vector_inside_and_a_matrix_outside():
    env = Taking(action_space=spaces.Box(-np.ones((2, 3)), np.arange(1.0, 7.0).reshape(2, 3), dtype=np.float64))
    environment = Environment(env, "Odd-v0")
    environment.reset(seed=0)
    actions = environment.actions
    assert isinstance(actions, ActionBounds) and environment.action_size == 6
    environment.step(actions.to_environment(np.array([1, 1, 1, -1, -1, 1], np.float32)))
    np.testing.assert_array_equal(env.taken, [[1, 2, 3], [-1, -1, 6]])
    rng = np.random.default_rng(0)
    for action in (actions.random(rng), actions.noisy(np.ones(6, np.float32), 0.1, rng)):
        assert action.shape == (6,) and action.dtype == np.float32 and (np.abs(action) <= 1).all()
    assert actions.to_user(np.zeros((4, 6), np.float32)).shape == (4, 2, 3)


@pytest.mark.parametrize(
    "space, same",
    [
        (spaces.Discrete(3, start=1), True),
        (spaces.Discrete(4, start=1), False),
        (spaces.Discrete(3), False),
        (box(3), False),
    ],
    ids=str,
)
def test_discrete_actions_that_change_are_refused(space, same):
    env = Taking(action_space=spaces.Discrete(3, start=1))
    environment = Environment(env, "Odd-v0")
    env.action_space = space
    if same:
        environment.reset(seed=0)
        return
    with pytest.raises(FaultyEnvironmentError, match=r"the action space has become .* made for actions from 1 to 3"):
        environment.reset(seed=0)


NESTED = {"tuple": [{"box": []}]}
for _ in range(40):
    NESTED = {"tuple": [NESTED]}


@pytest.mark.parametrize(
    "saved",
    [
        None,
        [],
        {},
        "box",
        {"box": 3},
        {"box": [0]},
        {"box": [-1]},
        {"box": [2.0]},
        {"box": [True]},
        {"box": [2**52, 2**52]},
        {"box": [10**400]},
        {"box": [2], "dict": []},
        {"dict": []},
        {"tuple": []},
        {"dict": {"a": {"box": [2]}}},
        {"dict": [["a", {"box": [2]}], ["a", {"box": [3]}]]},
        {"dict": [[3, {"box": [2]}]]},
        {"dict": [["a"]]},
        {"graph": [{"box": [2]}]},
        NESTED,
    ],
    ids=lambda saved: str(saved)[:40],
)
def test_descriptions_from_files_are_checked(saved):
    with pytest.raises(ValueError, match="observation space"):
        observations.from_values(saved)


@pytest.mark.parametrize(
    "change",
    [
        {"observation_size": 4},
        {"observation_space": {"box": [5]}},
        {"bounds": {"low": [0.0], "high": [1.0], "dtype": "float32", "shape": [2]}},
        {"bounds": {"low": [0.0], "high": [1.0], "dtype": "float32", "shape": 1}},
        {"discrete_actions": {"size": 0, "start": 0, "dtype": "int64"}},
        {"discrete_actions": {"size": 3, "start": "0", "dtype": "int64"}},
        {"discrete_actions": {"size": 3, "start": 126, "dtype": "int8"}},
        {"discrete_actions": {"size": 3, "start": 0, "dtype": "float32"}},
        {"discrete_actions": {"size": 10**400, "start": 0, "dtype": "int64"}},
        {"discrete_actions": 3},
    ],
    ids=lambda change: str(change)[:60],
)
def test_spaces_from_files_are_checked(change):
    good = {
        "observation_size": 6,
        "observation_space": {"box": [2, 3]},
        **Environment(probes.Spaces(), "A").spaces.values(),
    }
    good["observation_size"] = 6
    Spaces.from_values(good)
    with pytest.raises(ValueError):
        Spaces.from_values({**good, **change})


def test_actions_of_another_kind_differ_and_vectors_serve_in_place_of_parts():
    vector, matrix = BoxShape((6,)), BoxShape((2, 3))
    one, other = ActionBounds([-1.0, -1.0], [1.0, 1.0]), DiscreteActions(2)
    assert Spaces(vector, other).differs(Spaces(vector, one)) == "a Box of actions in place of a Discrete"
    assert Spaces(vector, one).differs(Spaces(matrix, one)) == ""
    assert Spaces(matrix, one).differs(Spaces(vector, one)) == "the observations Box(6,) in place of Box(2, 3)"


@pytest.mark.parametrize("space", ["observation_space", "action_space"])
def test_an_environment_without_a_space_is_refused_by_name(space):
    class Bare(gymnasium.Env):
        observation_space = spaces.Box(-1, 1, (2,))
        action_space = spaces.Box(-1, 1, (2,))

    delattr(Bare, space)
    with pytest.raises(UnsuitableEnvironmentError, match=f"has no {space}"):
        Environment(Bare(), "Bare")

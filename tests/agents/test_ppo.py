"""PPO: advantages by hand, problems with known answers, continuing to the bit in the middle of a rollout."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from experience import bits, through_a_file, topology
from ppo_experience import OBSERVATION, experience, make, play

from rewirl.agents import PPO, Policy, PPOConfig, agent_entry, make_agent
from rewirl.agents.distributions import deviations
from rewirl.agents.rollout_learner import generalised_advantages
from rewirl.options.resolve import agent_settings
from rewirl.printing import command_line
from rewirl.topology import TopologyConfig

# Advantages


def advantages(rewards, values, next_values, terminated, over, environments, gamma=0.5, lambda_=0.5):
    return generalised_advantages(
        np.float32(rewards), np.float32(values), np.float32(next_values), np.uint8(terminated), np.uint8(over),
        np.array(environments), gamma, lambda_,
    ).tolist()  # fmt: skip


def test_advantages_by_hand():
    """delta is 1 + 4/2 - 1 = 2, then 2 + 8/2 - 4 = 2, and 3 - 8 = -5 at the terminal state; a quarter of each later one
    is added."""
    found = advantages([1, 2, 3], [1, 4, 8], [4, 8, 100], [0, 0, 1], [0, 0, 1], [0, 0, 0])
    assert found == [2 + (2 - 5 / 4) / 4, 2 - 5 / 4, -5]


def test_a_time_limit_and_the_end_of_the_steps_bootstrap_and_a_terminal_state_does_not():
    """The first episode is cut and the second goes on after the rollout: both count what the last state is worth."""
    assert advantages([1, 1], [2, 2], [6, 10], [0, 0], [1, 0], [0, 0]) == [1 + 3 - 2, 1 + 5 - 2]
    assert advantages([1], [2], [6], [1], [1], [0]) == [1 - 2]


def test_environments_that_take_turns_are_summed_for_themselves():
    one = advantages([1, 2, 3], [4, 5, 6], [5, 6, 7], [0, 0, 0], [0, 1, 0], [0, 0, 0])
    other = advantages([9, 8], [7, 6], [6, 5], [0, 0], [0, 0], [0, 0])
    both = advantages(
        [1, 9, 2, 8, 3], [4, 7, 5, 6, 6], [5, 6, 6, 5, 7], [0] * 5, [0, 0, 1, 0, 0], [0, 1, 0, 1, 0]
    )  # fmt: skip
    assert both == [one[0], other[0], one[1], other[1], one[2]]
    assert advantages([1, 2], [0, 0], [4, 4], [0, 0], [0, 0], [0, 0], lambda_=0.0) == [3, 4]


# Known answers

DENSE = TopologyConfig(sparsity=0.0, rule="static")
RULES = {
    "dense": DENSE,
    "static": TopologyConfig(sparsity=0.4, rule="static"),
    "set": TopologyConfig(sparsity=0.4, rule="set", drop="magnitude", adapt_every=40, adapt_fraction=0.1),
    "rigl": TopologyConfig(sparsity=0.4, rule="rigl", adapt_every=40, adapt_fraction=0.1),
    "8x1": TopologyConfig(sparsity=0.4, rule="rigl", structure="8x1", adapt_every=40, adapt_fraction=0.1),
    "prune": TopologyConfig(sparsity=0.5, rule="prune", initial_sparsity=0.0, adapt_every=20, sparsity_end=200),
}
QUICK = {
    **{"hidden_sizes": (32, 32), "rollout_steps": 128, "batch_size": 32, "epochs": 6, "learning_rate": 5e-3},
    **{"gamma": 0.8, "normalise_observations": False, "scale_rewards": False},
}


def tell(agent, environment, observation, reward, after, terminated, truncated=False):
    agent.learn(observation, None, reward, after, terminated, truncated, environment)


@pytest.mark.parametrize("rule", RULES)
def test_it_learns_to_choose_and_what_places_are_worth(rule):
    """Two places, told apart by the first feature. Choice 0 stays, 1 goes to the other place, 2 ends the episode with a
    reward of 1 in the second place and of -1 in the first, so one has to go there first."""
    settings, rng = PPOConfig(**QUICK, topology=RULES[rule], entropy_coefficient=0.02), np.random.default_rng(0)
    agent = make_agent("ds-ppo", settings, 2, 3, 0, actions="Discrete")
    before = {name: (net.connections, topology(net)) for name, net in agent.networks().items()}
    place = 0
    for _ in range(18 * 128):
        observation = np.float32([place, 1])
        choice = agent.explore(observation)
        assert type(choice) is int
        after = 1 - place if choice == 1 else place
        tell(agent, 0, observation, (2.0 * place - 1) if choice == 2 else 0.0, np.float32([after, 1]), choice == 2)
        place = int(rng.integers(2)) if choice == 2 else after
    places = np.float32([[0, 1], [1, 1]])
    assert agent.predict(places).tolist() == [1, 2]
    worth = [float(agent.networks()["critic"].act(x)[0]) for x in places]
    assert worth == pytest.approx([0.8, 1.0], abs=0.15)
    told = agent.diagnostics()
    assert told["entropy"] < 0.7 and told["kl"] < 0.1 and (told["rewired"] > 0) == (rule in ("set", "rigl", "8x1"))
    for name, network in agent.networks().items():
        connections, places_before = before[name]
        moved = topology(network) != places_before
        assert moved == (rule not in ("dense", "static"))
        assert network.connections < 0.6 * connections if rule == "prune" else network.connections == connections


def test_it_moves_real_actions_to_where_the_reward_is_and_is_cut_at_the_bounds():
    """The best first action is half the observation; the second is the largest there is."""
    agent, rng = make_agent("ppo", PPOConfig(**QUICK, topology=DENSE), 1, 2, 0), np.random.default_rng(0)
    for _ in range(30 * 128):
        observation = np.float32([rng.choice([-1, 0, 1])])
        action = agent.explore(observation)
        assert np.abs(action).max() <= 1
        tell(agent, 0, observation, float(action[1] - 2 * (action[0] - observation[0] / 2) ** 2), observation, True)
    best = agent.predict(np.float32([[-1], [0], [1]]))
    assert best[:, 0] == pytest.approx([-0.5, 0, 0.5], abs=0.15) and (best[:, 1] > 0.9).all()
    assert agent.diagnostics()["deviation"] < 0.7


def test_a_state_without_end_is_worth_all_that_would_come_however_often_it_is_cut():
    agent = make_agent("ppo", PPOConfig(**QUICK, topology=DENSE), 1, 1, 0)
    observation = np.float32([1])
    for step in range(30 * 128):
        agent.explore(observation)
        tell(agent, 0, observation, 1.0, observation, False, truncated=step % 5 == 4)
    assert float(agent.networks()["critic"].act(observation)[0]) == pytest.approx(1 / (1 - 0.8), rel=0.03)


def test_what_a_step_leads_to_is_normalised_with_itself_where_nothing_has_varied_yet():
    """A pixel that lights up first was 10,000 for the critic, and the returns of ReLUs were as large."""
    agent = make(activation="relu", hidden_sizes=(8,), rollout_steps=32, batch_size=8, topology=DENSE)
    seen = [np.float32([*np.random.default_rng(t).normal(size=OBSERVATION - 1), t > 20]) for t in range(32)]
    agent.normalisation.observe(-seen[0])
    for observation, after in pairwise(seen):
        agent.normalisation.observe(observation)
        agent.explore(observation)
        tell(agent, 0, observation, 1.0, after, False)
    assert len(agent._rollout) == 31 and np.abs(agent._rollout.next_states[:31]).max() < 100


def test_the_start_is_orthogonal_with_the_usual_gains():
    networks = make_agent("ppo", PPOConfig(topology=DENSE, initial_deviation=0.5), 17, 6, 0).networks()
    for name, output in (("actor", 0.01), ("critic", 1.0)):
        for layer, gain in zip(networks[name].layers, (np.sqrt(2), np.sqrt(2), output), strict=True):
            weights = layer.weights().astype(np.float64)
            gram = weights @ weights.T if len(weights) <= weights.shape[1] else weights.T @ weights
            np.testing.assert_allclose(gram, gain**2 * np.eye(len(gram)), atol=1e-6 * gain)
            assert not layer.bias.any()


# Continuing

REWIRED = TopologyConfig(sparsity=0.5, rule="rigl", adapt_every=10, adapt_fraction=0.1)


@pytest.mark.parametrize(
    ("at", "kind", "environments"),
    [(0, "Box", 1), (50, "Discrete", 1), (96, "Discrete", 4), (150, "Box", 1), (150, "Box", 4)],
)
def test_it_is_saved_and_goes_on_to_the_bit(at, kind, environments):
    whole = experience(3 * 96 + 20, environments)
    through, stopped = (make(kind, REWIRED, bias_correction="connection") for _ in range(2))
    expected = play(through, whole)
    play(stopped, type(whole)(*(part[:at] for part in whole)))
    resumed = make(kind, REWIRED, seed=7, threads=2, bias_correction="connection")
    resumed.load_state(*through_a_file(stopped.state()))
    np.testing.assert_array_equal(play(resumed, whole, start=at), expected[at:])
    assert bits(resumed) == bits(through) and resumed.diagnostics() == through.diagnostics()
    assert resumed.updates == 27 and resumed.diagnostics()["rewired"] > 0
    resumed.close()


def test_a_step_that_was_begun_is_part_of_the_state():
    whole, agents = experience(120, 4), [make() for _ in range(2)]
    observation = whole.observations[100]
    for agent in agents:
        play(agent, type(whole)(*(part[:100] for part in whole)))
    agents[0].explore(observation, 2)
    agents[1].load_state(*through_a_file(agents[0].state()))
    for agent in agents:
        agent.learn(observation, None, 1.0, observation, False, True, 2)
    assert bits(agents[0]) == bits(agents[1])
    with pytest.raises(ValueError, match="no step was begun in environment 2"):
        agents[0].learn(observation, None, 1.0, observation, False, True, 2)


def test_an_episode_that_is_given_up_ends_with_its_latest_step():
    whole, agent = experience(40, 2), make(gamma=0.9)
    play(agent, whole._replace(terminated=np.zeros(40, bool), truncated=np.zeros(40, bool)))
    agent.explore(whole.observations[0], 1)
    agent.cut(1)
    arrays, values = agent.state()
    assert np.flatnonzero(arrays["rollout.ends"][:, 1]).tolist() == [39] and values["rollout"]["begun"] == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays, values: values.pop("rollout"), "the saved rollout is None"),
        (lambda arrays, values: values["rollout"].update(begun=[-1]), "begun of the saved rollout is float32"),
        (lambda arrays, values: arrays.pop("rollout.rows"), "the array rows of the saved rollout is missing"),
        (lambda arrays, values: arrays["rollout.ends"].fill(2), "the saved ends of a rollout are neither 0 nor 1"),
        (lambda arrays, values: arrays["rollout.environments"].fill(-1), "environments with impossible numbers"),
        (lambda arrays, values: arrays["rollout.rows"].fill(np.nan), "actions or rewards that are not finite"),
        (lambda arrays, values: arrays.pop("log_std.v"), "the array v of the saved log_std is missing"),
        (lambda arrays, values: arrays["log_std.v"].fill(-1), "the array v of the saved log_std, of means of squares"),
        (lambda arrays, values: values["log_std"].update(steps=-1), "the steps of the saved log_std"),
        (lambda arrays, values: arrays.pop("critic.hidden2.bias"), r"the saved critic: the array hidden2\.bias"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(change, message):
    agent, other = make(), make(seed=1)
    for each in (agent, other):
        play(each, experience(130))
    arrays, values = through_a_file(other.state())
    change(arrays, values)
    before = bits(agent)
    with pytest.raises(ValueError, match=message):
        agent.load_state(arrays, values)
    assert bits(agent) == before


@pytest.mark.parametrize(("kind", "head"), [("Box", "clip"), ("Discrete", "softmax")])
def test_its_policy_acts_alone_and_draws_as_it_does(kind, head):
    agent = make(kind)
    play(agent, experience(200))
    arrays, values = through_a_file(agent.policy_state())
    assert values["head"] == head and ("deviation" in arrays) == (kind == "Box")
    policy = Policy.from_state(arrays, values)
    assert (policy.actions, policy.observation_size) == (kind, OBSERVATION)
    many = np.random.default_rng(0).normal(2, 3, size=(40, OBSERVATION)).astype(np.float32)
    for observations in (many, many[:1]):
        np.testing.assert_array_equal(policy.predict(observations), agent.predict(observations))
    before, same = bits(agent), np.repeat(many[:1], 4000, axis=0)
    one, other = (each(same, np.random.default_rng(3)) for each in (agent.predict_noisily, partial_noise(policy)))
    np.testing.assert_array_equal(one, other)
    assert bits(agent) == before
    if kind == "Box":
        assert np.abs(one).max() <= 1 and one.std(axis=0).min() > 0.2
    else:
        logits = policy.actor.act(policy.seen(same[0])).astype(np.float64)
        expected = np.exp(logits) / np.exp(logits).sum()
        assert np.bincount(one, minlength=4) / 4000 == pytest.approx(expected, abs=0.03)


def partial_noise(policy):
    return lambda observations, rng: policy.explore(observations, rng, 0.0)


# What it is told


def test_the_house_knows_it_by_its_line():
    entry = agent_entry("ds-ppo")
    assert entry.agent is PPO and (entry.networks, entry.targets) == (("actor", "critic"), ())
    assert entry.actions == ("Box", "Discrete") and not entry.replay
    assert entry.cost.training_flops({"actor": [5], "critic": [6]}, 3, {"batch_size": 2}) == 3 * 2 * 6 * 11
    with pytest.raises(ValueError, match="ppo takes actions of Box or Discrete, not of MultiBinary"):
        make_agent("ppo", PPOConfig(), 3, 2, 0, actions="MultiBinary")
    with pytest.raises(TypeError, match="ds-ppo has no replay memory: hand it every step, by learn"):
        make().update(None)


@pytest.mark.parametrize(("steps", "updates"), [(0, 0), (95, 0), (96, 9), (191, 9), (192, 18)])
def test_how_many_updates_there_are(steps, updates):
    assert PPOConfig(rollout_steps=96, batch_size=32, epochs=3).updates_after(steps) == updates


@pytest.mark.parametrize(
    ("option", "why"),
    [
        ("buffer_size", "it has no replay memory, which this option is about"),
        ("learning_starts", "it has no replay memory, which this option is about"),
        ("n_steps", "Stable-Baselines3's n_steps is here: rollout_steps, over all environments together"),
        ("tau", "it has no target networks"),
        ("updates_per_step", "it learns from whole rollouts, each several times: epochs"),
    ],
)
def test_options_that_it_does_not_have_are_refused_with_the_reason(option, why):
    with pytest.raises(ValueError, match=f"ppo has no option '{option}'; {why}"):
        agent_settings("ppo", "HalfCheetah-v5", **{option: 5})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 1}, "batch_size must be at least 2"),
        ({"rollout_steps": 100}, "rollout_steps must be a multiple of batch_size 64"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"gae_lambda": 1.1}, "gae_lambda must be between 0 and 1"),
        ({"clip_range": 0.0}, "clip_range must be finite and positive"),
        ({"value_clip_range": -1.0}, "value_clip_range must be finite and positive, or none"),
        ({"entropy_coefficient": -0.1}, "entropy_coefficient must be finite, 0 or more"),
        ({"max_gradient_norm": float("inf")}, "max_gradient_norm must be finite and positive"),
        ({"activation": "gelu"}, "activation must be 'tanh' or 'relu'"),
    ],
)
def test_impossible_settings_are_refused_by_name(changes, message):
    with pytest.raises(ValueError, match=message):
        PPOConfig(**changes)


def test_units_are_recycled_where_the_activation_is_relu():
    with pytest.raises(
        ValueError, match="ReLUs, and those of actor are tanh; give activation relu, or leave redo_every out"
    ):
        make(redo_every=5)
    with pytest.raises(ValueError, match=r"cbp_replacement_rate replaces .*; give activation relu, or leave cbp_repl"):
        make(cbp_replacement_rate=0.1)
    with command_line(), pytest.raises(ValueError, match="give --activation relu, or leave --redo-every out"):
        make(redo_every=5)
    agent = make(redo_every=3, redo_threshold=0.5, activation="relu")
    play(agent, experience(100))
    assert agent.diagnostics()["recycled"] > 0


def test_gradients_that_are_not_finite_end_it():
    agent = make(normalise_observations=False, scale_rewards=False)
    whole = experience(96)
    with pytest.raises(FloatingPointError, match="the norm of the gradients is"), np.errstate(all="ignore"):
        play(agent, whole._replace(rewards=whole.rewards * np.float64(1e38)))


def test_a_program_that_learns_on_after_that_begins_another_rollout():
    agent, other = (make(normalise_observations=False, scale_rewards=False) for _ in range(2))
    whole = experience(96)
    with pytest.raises(FloatingPointError), np.errstate(all="ignore"):
        play(agent, whole._replace(rewards=whole.rewards * np.float64(1e38)))
    other.load_state(*through_a_file(agent.state()))
    for each in (agent, other):
        play(each, whole)
    assert bits(agent) == bits(other) and agent.updates == 10  # the first was of the rollout before


def test_standard_deviations_beyond_float32_end_it_and_are_not_loaded():
    with pytest.raises(FloatingPointError, match=r"a standard deviation of the policy is exp\(90\)"):
        deviations(np.array([1.0, 90.0]))
    agent = make()
    arrays, values = agent.state()
    arrays["log_std.values"][0] = 90.0
    with pytest.raises(ValueError, match="the saved log_std is 90, beyond what float32 can hold"):
        agent.load_state(arrays, values)

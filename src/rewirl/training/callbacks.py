"""What a user's own program does while an agent learns: look, note numbers, stop."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rewirl.exact import exactly
from rewirl.hints import closest
from rewirl.storage.recorder import OWN_FIELDS
from rewirl.training.evaluation import Evaluation

if TYPE_CHECKING:
    from rewirl.training.loop import Training


class Moment:
    """What a callback sees. It is one object during a call of `learn`; looking changes nothing of what is learnt."""

    def __init__(self, training: Training, agent: Any) -> None:
        self._training = training
        self.agent: Any = agent
        """The agent that `learn` was called on."""
        self.reward = 0.0
        """Reward of the latest step; 0 where no callback has `on_step`."""
        self.episode_return = 0.0
        """Undiscounted return of the latest episode that `on_episode_end` was told of."""
        self.episode_length = 0
        """Its steps."""
        self.evaluation: Evaluation | None = None
        """The latest evaluation."""
        self.evaluation_step = 0
        """The step after which it was."""

    @property
    def step(self) -> int:
        """Environment steps of the run done so far."""
        return self._training.step

    @property
    def total(self) -> int:
        """Steps of the run at the end of this call of `learn`."""
        return self._training.total

    def record(self, /, **values: float) -> None:
        """Add numbers of your own to the run's record: an event `callback` in metrics.jsonl, charts in TensorBoard.

        Args:
            **values: by name; the fields that the lines of the record have by themselves are no names.

        Raises:
            ValueError: a value is no number, or its name is taken; names it.
        """
        for name in values.keys() & OWN_FIELDS:
            raise ValueError(f"{name} is a field of the record itself; choose another name for your number")
        self._training.note("callback", **{name: exactly(float, value, name) for name, value in values.items()})


class Callback:
    """Called in the moments of training; override what you need. Any object with some of these methods serves as well.

    The moments have the names of Stable-Baselines3. There an off-policy agent's rollout is a single step, which is
    `on_step` here.
    """

    def on_training_start(self, moment: Moment) -> None:
        """`learn` begins."""

    def on_step(self, moment: Moment) -> bool | None:
        """A step and its update are done; False ends training after it."""

    def on_episode_end(self, moment: Moment) -> None:
        """An episode of training is over."""

    def on_evaluation(self, moment: Moment) -> bool | None:
        """An evaluation is done, before the next step; False ends training."""

    def on_training_end(self, moment: Moment) -> None:
        """`learn` ends, however it does, after its last checkpoint: what this records is gone if the run goes on."""


StepFunction = Callable[[Moment], bool | None]
CallbackLike = Callback | StepFunction | Any
"""A callback; a function that is called after every step; or a list of these."""

_MOMENTS = ("on_training_start", "on_step", "on_episode_end", "on_evaluation", "on_training_end")


class Callbacks:
    """The callbacks of one call of `learn`, each moment with those that want it alone.

    Args:
        callback: a callback, a function or a list of such.
        training: what they look at.
        agent: what they see of it.

    Raises:
        ValueError: something is no callback.
    """

    def __init__(self, callback: CallbackLike, training: Training, agent: Any) -> None:
        self.stopped = False
        """Whether one of them wants training to end."""
        self.raised = False
        """Whether an error came out of one of them: between two steps, so that nothing is half done."""
        self.moment = Moment(training, agent)
        each = list(callback) if isinstance(callback, Sequence) else [callback]
        of: Mapping[str, list[Callable[[Moment], Any]]] = {name: [] for name in _MOMENTS}
        for one in each:
            methods = {name: getattr(one, name) for name in _MOMENTS if callable(getattr(one, name, None))}
            if not methods and callable(one) and not isinstance(one, type):
                methods = {"on_step": one}
            if not methods or isinstance(one, type):
                remedy = f"; give an object of it, {one.__name__}()" if isinstance(one, type) else ""
                raise ValueError(
                    f"callback must be a function of a moment, or an object with some of {', '.join(_MOMENTS)}; got "
                    f"{one!r}{remedy}"
                )
            _refuse_misnamed(one)
            for name, method in methods.items():
                if getattr(method, "__func__", method) is not getattr(Callback, name):  # which does nothing
                    of[name].append(method)
        self._of = of
        self.wants_steps = bool(of["on_step"])
        """Whether anything is to be called after every step."""
        self.wants_evaluations = bool(of["on_evaluation"])
        """Whether anything is to be called after every evaluation; it is waited for then."""

    def start(self) -> None:
        """`learn` begins."""
        self._call("on_training_start")

    def step(self, reward: float) -> None:
        """A step is done."""
        self.moment.reward = reward
        self._call("on_step")

    def episode(self, total_reward: float, length: int) -> None:
        """An episode is over."""
        self.moment.episode_return, self.moment.episode_length = total_reward, length
        self._call("on_episode_end")

    def evaluated(self, step: int, evaluation: Evaluation) -> None:
        """An evaluation is done."""
        self.moment.evaluation, self.moment.evaluation_step = evaluation, step
        self._call("on_evaluation")

    def end(self) -> None:
        """`learn` ends."""
        self._call("on_training_end")

    def _call(self, name: str) -> None:
        for method in self._of[name]:
            try:
                answer = method(self.moment)
            except BaseException:
                self.raised = True
                raise
            if isinstance(answer, bool | np.bool_) and not answer:
                self.stopped = True


def _refuse_misnamed(callback: Any) -> None:
    """Refuse a callback with a method that looks like one of a moment, but never would be called.

    Raises:
        ValueError: it has one; says what is meant.
    """
    if callable(getattr(callback, "_on_step", None)):
        raise ValueError(
            f"{type(callback).__name__} has a method _on_step, as in Stable-Baselines3; here it is "
            "on_step(self, moment), and False ends training"
        )
    own = isinstance(callback, Callback)
    for name in dir(type(callback)):
        if not name.startswith(("on_", "_on_")) or name in _MOMENTS or not callable(getattr(callback, name, None)):
            continue
        hint = "on_step: a rollout is a single step" if "rollout" in name else closest(name, _MOMENTS, 0.8)
        if hint is not None or own:
            raise ValueError(
                f"{type(callback).__name__} has a method {name}, which is never called; "
                + (f"did you mean {hint}?" if hint else f"the moments are {', '.join(_MOMENTS)}")
            )


class WandbCallback(Callback):
    """Sends evaluations and episodes to Weights & Biases; needs `pip install wandb`, and its login.

    Args:
        **init: arguments of `wandb.init`, such as project, name and group. The agent's settings are its config unless
            you give one.

    Raises:
        ModuleNotFoundError: the package wandb is not installed.
    """

    def __init__(self, **init: Any) -> None:
        try:
            importlib.import_module("wandb")  # only who asks for it needs it
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(f"WandbCallback needs the package {error.name}: pip install wandb") from error
        self._init = init
        self._run: Any = None

    def on_training_start(self, moment: Moment) -> None:
        """Begin a run there, with the first call of `learn`."""
        if self._run is None:
            wandb: Any = importlib.import_module("wandb")
            self._run = wandb.init(**{"config": dict(moment.agent.config), **self._init})

    def on_episode_end(self, moment: Moment) -> None:
        """Send return and length of the episode."""
        self._run.log(
            {"episode/return": moment.episode_return, "episode/length": moment.episode_length, "step": moment.step}
        )

    def on_evaluation(self, moment: Moment) -> None:
        """Send the evaluation, and the agent's losses as they are now."""
        assert moment.evaluation is not None
        values = {"evaluation/return_mean": moment.evaluation.mean, "evaluation/return_std": moment.evaluation.std}
        values |= {f"diagnostics/{name}": value for name, value in moment.agent.diagnostics.items()}
        self._run.log({**values, "step": moment.evaluation_step})

    def close(self) -> None:
        """End the run there; `learn` may be called several times before."""
        if self._run is not None:
            self._run.finish()
            self._run = None

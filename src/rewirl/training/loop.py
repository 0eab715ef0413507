"""The training loop: act, store, learn, and now and then evaluate and save. It does not know which agent it trains."""

from __future__ import annotations

import dataclasses
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from rewirl.environments.environment import FaultyEnvironmentError, Step
from rewirl.environments.spaces import UnsuitableEnvironmentError
from rewirl.options.train import TrainConfig
from rewirl.saved import count, fields, in_parts, number, numbers
from rewirl.storage.recorder import NoRecord, Recorder, State
from rewirl.topology.contract import ContractError
from rewirl.training import remarks
from rewirl.training.callbacks import Callbacks
from rewirl.training.collection import AnyEnvironment, Collection
from rewirl.training.core_share import CoreShare
from rewirl.training.divergence import DivergedError, diverged, not_finite
from rewirl.training.drift import Drift, connections
from rewirl.training.episode import Episode
from rewirl.training.evaluation import Evaluation, Evaluations
from rewirl.training.learning import Learning
from rewirl.training.outcome import InFlight, Outcome
from rewirl.training.own_action import refuse_wrong_action
from rewirl.training.own_state import is_own, load_agent
from rewirl.training.progress import Progress
from rewirl.training.turns import Turns
from rewirl.training.warm_up import WarmUp

if TYPE_CHECKING:
    from rewirl.agents.agent import Agent
    from rewirl.replay import Replay


_SAVED = ("step", "total_timesteps", "seconds", "evaluated", "warm_up", "diagnostics", "agent", "episode")
"""What the state of a training run consists of, with `replay` where there is a replay memory, `owed` if any."""


class Training:
    """One agent learning in one environment.

    Args:
        agent: any agent.
        replay: its replay memory; None for an agent without one, which is handed every step.
        environment: where it acts, or the environments that take turns.
        config: the run's settings.
        learning_starts: steps before the first update, with the actions of `warm_up`.
        policy: returns what a policy file holds.
        progress: is told how far the run is.
    """

    def __init__(
        self,
        agent: Agent,
        replay: Replay | None,
        environment: AnyEnvironment | Sequence[AnyEnvironment],
        config: TrainConfig,
        learning_starts: int,
        policy: Callable[[], State],
        progress: Progress,
    ) -> None:
        """Be ready for the first step, recording nothing and evaluating nowhere."""
        self.agent = agent
        self.replay = replay
        self.collection = Collection(environment if isinstance(environment, Sequence) else [environment], config.seed)
        self.environment = self.collection.environments[0]
        self.evaluations: Evaluations | None = None
        """Evaluates the agent; None never does."""
        self.config = config
        self.progress = progress
        self.recorder: Recorder = NoRecord()
        self.warm_up = WarmUp(config.seed, self.environment.actions)
        self.callbacks: Callbacks | None = None
        """What a user's own program does meanwhile."""
        self.step = 0
        self.total = config.total_timesteps
        """Steps of the whole run, as last asked for; a resumed run goes on to there."""
        self.ended = False
        """Whether the run has all there is to it, by its latest event: the last evaluation and its policy are there."""
        self._learning_starts = learning_starts
        self.learning = Learning(agent, replay, self.collection, learning_starts, progress.message)
        self._policy = policy
        self._core_share = CoreShare(config.threads)
        self._own = is_own(agent)
        self._turns = Turns()  # of this thread's steps and of others that ask for diagnostics
        self._seconds, self._started = 0.0, False
        self._evaluated: int | None = None
        self._saved: tuple[Recorder, int] | None = None
        self._latest: Evaluation | None = None
        self._untrained: Evaluation | None = None  # of the agent before its first update, which is played once
        self._in_flight: InFlight | None = None
        self._owed: InFlight | None = None  # an evaluation that failed beside later steps: it is begun again
        self._held: list[tuple[str, int, dict[str, Any]]] = []  # events after the one in flight, which goes first
        self._drift = Drift(agent.networks())  # before any state is loaded: the agent as settings and seed make it
        self._diagnostics: dict[str, float] = {}  # of the checkpoint: an agent has its own again after an update
        own = weakref.proxy(self)  # a circle of references would keep the replay memory of an agent that is forgotten
        for index, of in enumerate(self.collection.environments):
            of.where = lambda index=index: own.collection.where(index, own.step)  # type: ignore[misc]

    def run(self, total: int, stop: Callable[[], bool] = lambda: False) -> Outcome:
        """Train until `total` steps of the run are done, or until `stop` or a callback says so.

        Args:
            total: steps of the whole run, those already done included.
            stop: asked after every step; once it is true the run is saved and left.

        Raises:
            FaultyEnvironmentError: the environment misbehaved; what was learnt until then is saved, where it can be.
            UnsuitableEnvironmentError: the environment could not be made again for evaluation; saved as well.
            DivergedError: the agent's values are not finite; checkpoints stay as they were.
        """
        began = time.perf_counter() - self._seconds
        self._core_share.begin()
        begins, before = not self._started, self.total
        self._started, self.total = True, total
        if begins or total != before:
            of = self.agent, self.replay, total, self._learning_starts, self.config.env
            for remark in remarks.at_start(*of, begins):
                self.progress.message(remark)
            told = {"connections": connections(self.agent)} if begins else {}
            self.note("start" if begins else "total", total_timesteps=total, **told)
        warm_up = "random actions" if self.warm_up.policy is None else "actions of the warm-up policy"
        self.progress.begin(self.step, total, self._learning_starts, warm_up)
        saved, callbacks = True, self.callbacks  # which end training in no hurry: what is due then is still evaluated
        try:
            if callbacks is not None:
                callbacks.start()
            if (owed := self._owed) is not None and self.evaluations is not None:
                self._owed = None
                owed.begin(self.evaluations)
                self._set_in_flight(owed)
            while True:
                self._seconds = time.perf_counter() - began
                ended = self.step >= total
                self._collect_if_ready(stop)
                if self._evaluation_is_due(ended) and not stop():
                    self._collect_evaluation(stop)  # one at a time
                    self._begin_evaluation()
                    if callbacks is not None and callbacks.wants_evaluations:
                        self._collect_evaluation(stop)  # now, so that what they do is the same each time
                    self._collect_if_ready(stop)
                    self._seconds = time.perf_counter() - began
                stopped = stop() or (callbacks is not None and callbacks.stopped)
                if ended or stopped or self._is_due(self.config.checkpoint_every):
                    self._collect_evaluation(stop)  # a checkpoint has all that came before it, its evaluation too
                    stopped = stop() or (callbacks is not None and callbacks.stopped)
                    if self._saved != (self.recorder, self.step):
                        saved = self.checkpoint()
                if ended or stopped:
                    break
                self._advance()
                self.progress.step(self.step)
        except BaseException as error:
            of_a_callback = callbacks is not None and callbacks.raised
            of_an_environment = isinstance(error, FaultyEnvironmentError | UnsuitableEnvironmentError)
            to_the_bit = self.step > 0 and self.learning.between_steps  # so a run that is saved now goes on
            keeps = of_a_callback or (of_an_environment and to_the_bit)
            try:
                if of_a_callback or isinstance(error, Exception):
                    self._collect_evaluation()  # it comes first, with its own fault if it has one
                else:  # of a program that may go on all the same: its evaluation is given up
                    self._set_in_flight(None)
                    self._record_held()
            finally:
                if keeps and self._saved != (self.recorder, self.step):  # what was learnt until then
                    try:
                        self.checkpoint()
                    except (DivergedError, FaultyEnvironmentError, ContractError) as unsaved:
                        self.progress.message(f"warning: the run is not saved at step {self.step:,}: {unsaved}")
            raise
        finally:
            for episode in self.collection.faulty():  # a program that learns on begins another one
                episode.give_up()
                self.learning.leave(episode, self.collection.since(episode, self.step))
            self.progress.end()
            if callbacks is not None:
                callbacks.end()
        ended = ended and not self._evaluation_is_due(ended)  # a stop may have left it to the resumed run
        if ended and saved:  # the last line of the log says that everything is there
            self.note("end", seconds=self._seconds)
        return Outcome(self.step, ended, saved, self._latest)

    def state(self) -> State:
        """Return everything an exact continuation needs: arrays (views where possible) and JSON values."""
        arrays: dict[str, NDArray[Any]] = {}
        values: dict[str, Any] = {
            "step": self.step,
            "total_timesteps": self.total,
            "seconds": self._seconds,
            "evaluated": self._evaluated,
            "warm_up": self.warm_up.state(),
            "diagnostics": self.diagnostics(),
        }
        if not self.environment.spaces.flat:
            values["spaces"] = self.environment.spaces.values()
        parts = {"agent": self.agent, "replay": self.replay, "episode": self.collection, "owed": self._owed}
        for name, part in parts.items():
            if part is not None:
                part_arrays, values[name] = part.state()
                arrays.update({f"{name}/{key}": array for key, array in part_arrays.items()})
        return arrays, values

    def load_state(self, arrays: Mapping[str, NDArray[Any]], values: Mapping[str, Any], own: bool = False) -> None:
        """Continue from a state; one of another agent or environment is refused. Arrays that are `own` nobody else has.

        Raises:
            ValueError: the state does not fit; names what.
            FaultyEnvironmentError: the environment misbehaved when the current episode was played again.
        """
        try:
            self._load_state(arrays, values, own)
        except (LookupError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"this is not the state of a training run: {type(error).__name__}: {error}") from error

    def _load_state(self, arrays: Mapping[str, NDArray[Any]], values: Mapping[str, Any], own: bool) -> None:
        expected = _SAVED if self.replay is None else (*_SAVED, "replay")
        missing = [name for name in expected if name not in values]
        if missing:
            raise ValueError(f"this is not the state of a training run: {', '.join(missing)} missing")
        if "spaces" in values:  # vectors have nothing to say but their sizes, which agent and replay memory check
            self.environment.spaces.refuse_others(values["spaces"], self.environment.name)
        parts = in_parts(arrays, ("agent", "replay", "episode", "owed"), "the state of a training run")
        step, total = (count(values[name], f"the saved {name}") for name in ("step", "total_timesteps"))
        seconds = number(values["seconds"], "the saved number of seconds")
        evaluated = values["evaluated"]
        evaluated = None if evaluated is None else count(evaluated, "the saved step of the latest evaluation")
        diagnostics = numbers(values["diagnostics"], "the saved diagnostics")
        owed = InFlight.from_state(parts["owed"], values["owed"]) if "owed" in values else None
        load_agent(self.agent, parts["agent"], fields(values["agent"], "the saved agent"))
        if self.replay is not None:
            self.replay.load_state(parts["replay"], fields(values["replay"], "the saved replay memory"), own)
        self.warm_up.load_state(values["warm_up"])
        self.step = step
        self._started = True  # the log says so, of a checkpoint of step 0 too
        self.total = total
        self._seconds = seconds
        self._evaluated, self._owed = evaluated, owed
        self._diagnostics = diagnostics
        saved = fields(values["episode"], "the saved episode")
        for episode, problem in self.collection.load_state(parts["episode"], saved, self.step):
            self.learning.cut(episode, self.collection.since(episode, self.step), self.step, problem)

    def cut(self, problem: str) -> None:
        """Give up the episode of the first environment, where one is played, and say why; another one begins."""
        if (episode := self.collection.episodes[0]).observation is not None:
            episode.give_up()
            self.learning.cut(episode, self.collection.since(episode, self.step), self.step, problem)

    def _act(self, episode: Episode) -> None:
        """Begin a step in an environment that waits for an action."""
        observation = episode.observation
        if observation is None:
            observation = episode.begin_next(self.step)
        self.agent.normalisation.observe(observation)
        warming_up = self.collection.ends(episode, self.step) < self._learning_starts
        action = self.warm_up.action(observation) if warming_up else self.agent.explore(observation, episode.index)
        actions = self.environment.actions
        if self._own and not warming_up:
            refuse_wrong_action(self.agent, action, actions)
        if not actions.valid(action):  # the environment is not to blame for what it does with it
            whose = "the warm-up policy's" if warming_up else "its"
            raise self._diverged(f"{whose} actions are not {actions.expected}")
        episode.begin_step(actions.to_environment(action), actions.row(action))

    def _step(self) -> tuple[Episode, Step]:
        for waiting in self.collection.idle():
            if self.learning.may_begin(waiting, self.step):
                self._act(waiting)
        episode = self.collection.turn(self.step)
        try:
            after = self.learning.finish(episode, self.step)
        except FloatingPointError as error:
            raise self._diverged(str(error)) from error
        self.step += 1
        return episode, after

    def _advance(self) -> None:
        episode, after = self._turns.step(self._step)
        over = after.terminated or after.truncated
        if over:
            fields: dict[str, Any] = {"return": episode.total_reward, "length": episode.length}
            if len(self.collection.episodes) > 1:
                fields["environment"] = episode.index
            self.note("episode", episode=episode.number, **fields)
            self.progress.episode(episode.total_reward)
        if self.callbacks is not None:
            if self.callbacks.wants_steps:
                self.callbacks.step(after.reward)
            if over:
                self.callbacks.episode(episode.total_reward, episode.length)

    def _is_due(self, period: int) -> bool:
        return period > 0 and self.step > 0 and self.step % period == 0

    def _evaluation_is_due(self, ended: bool) -> bool:
        begun = self._in_flight is not None and self._in_flight.step == self.step
        if self.evaluations is None or self.config.eval_every == 0 or self._evaluated == self.step or begun:
            return False
        return self.step == 0 or ended or self._is_due(self.config.eval_every)

    def _begin_evaluation(self) -> None:
        assert self.evaluations is not None
        self._refuse_diverged()
        state = self.environment.state() or None
        of = self.agent, self.replay, self._drift, self.diagnostics()
        begun = InFlight.of(self.step, self._seconds, *of, self.step >= self.total, state)
        same = state is None and not self.environment.changes and self.agent.normalisation.observations is None
        before = self._untrained if same and self.agent.updates == 0 else None
        if before and len(before.returns) == self.config.eval_episodes:
            self._record_evaluation(begun, before)  # the same policy in the same episodes
            return
        begun.begin(self.evaluations, self.agent)
        self._set_in_flight(begun)

    def _collect_if_ready(self, stop: Callable[[], bool]) -> None:
        if self._in_flight is not None and self.evaluations is not None and self.evaluations.ready():
            self._collect_evaluation(stop)

    def _collect_evaluation(self, stop: Callable[[], bool] = lambda: False) -> None:
        """Wait for the evaluation in flight, if there is one, and record it.

        Only one of the current step is given up when `stop` comes true: a resumed run evaluates again, from the start.
        Of an earlier step, the agent of then is gone; it is waited for.
        """
        begun = self._in_flight
        if begun is None:
            return
        assert self.evaluations is not None
        self._set_in_flight(None)
        try:
            evaluation = self.evaluations.collect(stop if begun.step == self.step else lambda: False)
        except Exception:
            if begun.step != self.step:  # the agent of then is gone; of this step it is due again
                self._owed = begun
            raise
        else:
            if evaluation is not None:
                self._record_evaluation(begun, evaluation)
        finally:
            self._record_held()

    def _record_held(self) -> None:
        """Record what was held back for the evaluation in flight."""
        held, self._held = self._held, []
        for event, step, told in held:
            self.recorder.event(event, step, **told)

    def _record_evaluation(self, begun: InFlight, evaluation: Evaluation) -> None:
        self._evaluated, self._latest = begun.step, evaluation
        self._saved = None  # a checkpoint of this step is older
        begun.record(self.recorder, evaluation, self._core_share.measure())
        if evaluation is not self._untrained:
            self.progress.evaluated(begun.step, evaluation, begun.density)
        if self.callbacks is not None:
            self.callbacks.evaluated(begun.step, evaluation)
        if begun.fields["updates"] == 0:
            self._untrained = dataclasses.replace(evaluation, seconds=0.0)

    def _set_in_flight(self, evaluation: InFlight | None) -> None:
        self.agent.use_threads(1 if evaluation else self.config.threads)  # one in flight has a core of its own
        self._in_flight = evaluation

    def diagnostics(self) -> dict[str, float]:
        """Return the agent's diagnostics; those of the checkpoint until a resumed one has learnt again."""
        return {**self._diagnostics, **self._turns.diagnostics(self.agent)}

    def changed(self) -> None:
        """Save an agent that was changed between two calls of `run`."""
        self._untrained = None
        if self.checkpoint() and self.step >= self.total and not self._evaluation_is_due(True):
            self.note("end", seconds=self._seconds)

    def checkpoint(self) -> bool:
        """Save, whatever was saved of this step before; return whether that was done."""
        self._refuse_diverged()
        saved = self.recorder.checkpoint(self.step, self.state, self._policy)
        self._saved = (self.recorder, self.step) if saved else None
        return saved

    def _refuse_diverged(self) -> None:
        if (problem := self._turns.between_steps(lambda: not_finite(self.agent), lambda: None)) is not None:
            raise self._diverged(problem)

    def _diverged(self, problem: str) -> DivergedError:
        return diverged(self.agent, self.environment.name, self.step, problem)

    def note(self, event: str, /, **fields: Any) -> None:
        """Record an event of this step, after the evaluation in flight: the log has the order of the steps."""
        self.ended = event == "end"
        if self._in_flight is None:
            self.recorder.event(event, self.step, **fields)
        else:
            self._held.append((event, self.step, fields))

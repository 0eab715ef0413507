"""The command line: one function per command, with options from the same dataclasses that configure everything."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, get_origin, get_type_hints

if TYPE_CHECKING:
    from rewirl.agents import AgentConfig
    from rewirl.training.config import TrainConfig
    from rewirl.training.run import Run
    from rewirl.training.trained_policy import TrainedPolicy

_ABOUT = """Rewirl trains deep RL agents with sparse networks that rewire themselves.

usage: rewirl COMMAND ...   (rewirl COMMAND --help explains its options)

{commands}

example: rewirl train --agent ds-td3 --env HalfCheetah-v5 --seed 0"""

_ABOUT_BENCH = """{about}

usage: rewirl bench BENCHMARK ...   (rewirl bench BENCHMARK --help explains its options)

{benchmarks}

Each prints Markdown. Run them on a machine that does nothing else."""


class UsageError(Exception):
    """What was asked for cannot be done; the message says why and what to do instead."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 if all went well, 2 if it was used wrongly, 1 if something failed on the way.

    A run that is asked to stop by a signal is saved and exits with 128 plus the signal's number.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        sys.exit(_run(given))
    except UsageError as error:
        print(f"rewirl: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output went away, as `rewirl inspect | head` does; nobody is left to read a traceback.
        sys.stdout = None
        sys.exit(141)


def _run(given: list[str]) -> int:
    if not given or given[0] in ("-h", "--help"):
        width = max(map(len, COMMANDS))
        lines = [f"  {name:<{width}}  {_summary(command)}" for name, command in COMMANDS.items()]
        print(_ABOUT.format(commands="\n".join(lines)))
        return 0
    if given[0] in ("-V", "--version"):
        from rewirl import __version__

        print(f"rewirl {__version__}")
        return 0
    name, *rest = given
    if name not in COMMANDS:
        raise UsageError(f"no command {name!r}; {_did_you_mean(name, COMMANDS)}There are {', '.join(COMMANDS)}")
    return COMMANDS[name](rest)


def train(given: list[str]) -> int:
    """Train an agent, keeping metrics, checkpoints and the policy in a run directory."""
    options = _agent_options(
        "train",
        given,
        run_dir=(
            Path | None,
            None,
            "Directory of the run, new or empty. None is runs/ENVIRONMENT-AGENT-SEED.",
        ),
        dry_run=(bool, False, "Print layers, connections, cost of training and memory, and stop there."),
    )
    from rewirl.training import progress, run

    config = options.run
    if options.dry_run:

        def untrained() -> Run:
            made = run.Run(_without_evaluation(config), options.agent, progress.Silent())
            made.warm_up_with_policy()
            return made

        _describe(untrained, False)
        return 0
    path = options.run_dir or Path("runs") / f"{config.env}-{config.agent}-{config.seed}".replace("/", "-").replace(
        ":", "-"
    )
    return _train_to_the_end(lambda shown: run.start(config, options.agent, path, shown), path)


def resume(given: list[str]) -> int:
    """Continue a run from its newest checkpoint, to the bit; a finished run is left as it is."""
    options = _options(
        "resume",
        given,
        resume,
        run=(Path, dataclasses.MISSING, "Directory of the run."),
        total_timesteps=(
            int | None,
            None,
            "Steps of the whole run, to go on for longer than it was started for. None is as it was started, or as "
            "its newest checkpoint says.",
        ),
    )
    if options.total_timesteps is not None and options.total_timesteps < 1:
        raise UsageError(f"--total-timesteps must be at least 1, got {options.total_timesteps}")
    from rewirl.training import run

    return _train_to_the_end(lambda shown: run.resume(options.run, shown, options.total_timesteps), options.run)


def evaluate(given: list[str]) -> int:
    """Play episodes with the saved policy of a run and print their returns."""
    options = _options(
        "evaluate",
        given,
        evaluate,
        run=(Path, dataclasses.MISSING, "Directory of a run, or of a saved policy."),
        episodes=(int, 10, "How many episodes. Typical: 10 to 100."),
        seed=(int | None, None, "Decides the episodes. None is those of the run's own evaluations."),
        json=(bool, False, "Print one JSON object instead of lines for people."),
    )
    _at_least_one("--episodes", options.episodes)
    from rewirl.environments.environment import FaultyEnvironmentError
    from rewirl.training.evaluation import Evaluator

    with _user_errors():
        policy = _policy(options.run)
        source = policy.source()
        assert source.make_another is not None
        policy.fits(source.make_training())
        seed = policy.about["seed"] if options.seed is None else options.seed
        evaluator = Evaluator(source.make_another, options.episodes, seed)
    try:
        found = evaluator.evaluate(policy.act, "evaluation", step=policy.about["step"])
    except FaultyEnvironmentError as error:
        return _failed(error)
    finally:
        evaluator.close()
    assert found is not None
    if options.json:
        print(
            json.dumps(
                {
                    "environment": source.name,
                    "agent": policy.about["agent"],
                    "step": policy.about["step"],
                    "seed": seed,
                    "return_mean": found.mean,
                    "return_std": found.std,
                    "returns": list(found.returns),
                    "lengths": list(found.lengths),
                }
            )
        )
        return 0
    print(f"{policy.about['agent']} on {source.name}, trained for {policy.about['step']:,} steps")
    print(f"return  {found.mean:,.2f} +- {found.std:,.2f} over {options.episodes} episodes")
    print("returns " + " ".join(f"{value:.2f}" for value in found.returns))
    return 0


def inspect(given: list[str]) -> int:
    """Show layers, connections, cost of training and memory of a run or of an agent, without training."""
    as_json = (bool, False, "Print one JSON object instead of a table.")
    from rewirl.training import progress, run

    if any(not argument.startswith("-") for argument in given[:1]):
        options = _options(
            "inspect",
            given,
            inspect,
            run=(Path, dataclasses.MISSING, "Directory of the run."),
            json=as_json,
        )
        from rewirl.storage.run_directory import RunDirectory

        def of_run() -> Run:
            with RunDirectory.open(options.run, lock=False) as directory:
                return run.at_latest_checkpoint(directory, progress.Silent())

        _describe(of_run, options.json)
        return 0
    options = _agent_options("inspect", given, json=as_json)
    _describe(lambda: run.Run(_without_evaluation(options.run), options.agent, progress.Silent()), options.json)
    return 0


def watch(given: list[str]) -> int:
    """Watch the saved policy of a run act, in a window or as a video."""
    options = _options(
        "watch",
        given,
        watch,
        run=(Path, dataclasses.MISSING, "Directory of a run, or of a saved policy."),
        video=(Path | None, None, "File to write, such as out.mp4, rendered off-screen. None opens a window."),
        episodes=(int, 1, "How many episodes. Typical: 1 to 3."),
        seed=(int | None, None, "Decides the episodes. None is those of the run's own evaluations."),
    )
    _at_least_one("--episodes", options.episodes)
    from rewirl.environments.environment import FaultyEnvironmentError
    from rewirl.training.watch import watch as show

    with _user_errors():
        policy = _policy(options.run)
        seed = policy.about["seed"] if options.seed is None else options.seed
        try:
            returns = show(policy, options.episodes, seed, options.video)
        except FaultyEnvironmentError as error:
            return _failed(error)
    for episode, value in enumerate(returns):
        print(f"episode {episode}: return {value:,.2f}")
    if options.video is not None:
        print(f"video: {options.video}")
    return 0


def presets(given: list[str]) -> int:
    """List the papers' settings, or show one of them in full."""
    name = given[0] if given and not given[0].startswith("-") else None
    options = _options(
        "presets",
        given,
        presets,
        **({} if name is None else {"name": (str, dataclasses.MISSING, "Name of a preset.")}),
        json=(bool, False, "Print JSON instead of a table."),
    )
    from rewirl.presets import lookup as known
    from rewirl.storage.values import to_values

    with _user_errors():
        shown = {n: known.preset(n) for n in (known.names() if name is None else [options.name])}
    settings = {
        n: {"agent": chosen.agent, "env": chosen.env, "settings": to_values(chosen.config), "run": chosen.train}
        for n, chosen in shown.items()
    }
    if options.json or name is not None:
        print(json.dumps(settings if name is None else settings[name], indent=2))
        return 0
    width = max(map(len, shown))
    print(f"{'preset':<{width}}  {'agent':<10}  topology")
    for n, chosen in shown.items():
        print(f"{n:<{width}}  {chosen.agent:<10}  {chosen.config.topology.summary()}")
    print("\nrewirl presets NAME shows one in full; rewirl train --preset NAME trains with it.")
    return 0


def report(given: list[str]) -> int:
    """Write a page and tables about runs: curves, returns beside the paper's, cost, topology, what is missing."""
    options = _options(
        "report",
        given,
        report,
        runs=(
            tuple[Path, ...],
            dataclasses.MISSING,
            "Run directories, or directories that contain some; finished or not.",
        ),
        output=(Path, Path("report.html"), "The page: one file that needs no network. Overwritten if it exists."),
        markdown=(Path | None, None, "The tables as Markdown, written there too. None writes none."),
        figures=(
            Path | None,
            None,
            "Directory for the figures as SVG files, which the Markdown then shows. None writes none.",
        ),
    )
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise UsageError("the report needs matplotlib; install it with: pip install 'rewirl[figures]'") from error
    from rewirl.experiments.report import document
    from rewirl.experiments.report import report as about
    from rewirl.experiments.report.run_data import find_runs

    if not options.runs:
        raise UsageError("no run given; name run directories, or directories that contain some")
    with _user_errors():
        runs, problems = find_runs(options.runs)
    for path, problem in problems:
        print(f"rewirl: warning: {path} is left out: {problem}", file=sys.stderr)
    if not runs:
        raise UsageError(f"no run to report on in {', '.join(map(str, options.runs))}")
    blocks = about(runs, problems)
    texts = {options.output: document.html(blocks)}
    if options.figures is not None:
        drawn = [block for block in blocks if isinstance(block, document.Figure)]
        texts |= {options.figures / f"figure-{number}.svg": figure.svg for number, figure in enumerate(drawn, 1)}
    if options.markdown is not None:
        where = options.figures and Path(os.path.relpath(options.figures, options.markdown.parent)).as_posix()
        texts[options.markdown] = document.markdown(blocks, where)
    try:
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{error.filename} cannot be written: {error.strerror}; choose another place") from error
    print("wrote " + ", ".join(str(path) for path in (options.output, options.markdown, options.figures) if path))
    return 0


def bench(given: list[str]) -> int:
    """Measure how fast this machine runs Rewirl: single layers, updates, or whole runs."""
    if not given or given[0] in ("-h", "--help"):
        width = max(map(len, BENCHMARKS))
        lines = [f"  {name:<{width}}  {text}" for name, (_, text) in BENCHMARKS.items()]
        print(_ABOUT_BENCH.format(about=_summary(bench), benchmarks="\n".join(lines)))
        return 0
    name, *rest = given
    if name not in BENCHMARKS:
        raise UsageError(f"no benchmark {name!r}; {_did_you_mean(name, BENCHMARKS)}There are {', '.join(BENCHMARKS)}")
    module = importlib.import_module(f"rewirl.bench.{BENCHMARKS[name][0]}")
    options = _options(
        f"bench {name}",
        rest,
        module,
        benchmark=(module.Options, module.Options(), ""),
        json=(Path | None, None, "File for everything measured, every round included."),
    )
    if options.json is not None and not options.json.parent.is_dir():
        raise UsageError(f"--json {options.json}: there is no folder {options.json.parent}")
    from rewirl.environments.environment import FaultyEnvironmentError

    try:
        with _user_errors():
            result = module.run(options.benchmark)
    except FaultyEnvironmentError as error:
        return _failed(error)
    print(module.markdown(result))
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0


def sweep(given: list[str]) -> int:
    """Train agents x environments x seeds x options side by side, each a run of its own; resumes where it was cut."""
    from rewirl.experiments.sweep.file import experiments, narrowed, read_sweep
    from rewirl.experiments.sweep.plan import check, plan
    from rewirl.experiments.sweep.session import run_session

    with _user_errors():
        listed = "\n".join(f"  {name}: {text}" for name, text in experiments().items())
    options = _options(
        "sweep",
        given,
        SimpleNamespace(__doc__=f"{_summary(sweep)}\n\nExperiments:\n{listed}"),
        experiment=(str, dataclasses.MISSING, "Name of an experiment, or a TOML file (docs/sweeps.md)."),
        directory=(
            Path,
            Path("runs"),
            "Where the run directories are. Sweeps that share runs may share it: a finished run is never made twice.",
        ),
        workers=(int | None, None, "Runs side by side. None is one per core, or as many as the Ray cluster has CPUs."),
        ray=(
            str | None,
            None,
            "Address of a Ray cluster to make the runs on: host:port, auto, or local for a new one on this machine. "
            "Its nodes must share --directory. None is this machine alone, without Ray.",
        ),
        hours=(
            float | None,
            None,
            "After so many hours all runs are saved and left, and before that only such new ones are started as are "
            "expected to end by then. The same command goes on. None makes all runs.",
        ),
        dry_run=(bool, False, "List the runs, which are finished, and about how long the others take; then stop."),
        agents=(tuple[str, ...], (), "Only runs of these agents."),
        envs=(tuple[str, ...], (), "Only runs in these environments."),
        seeds=(tuple[int, ...], (), "Only runs with these seeds."),
        **_overrides(),
    )
    if options.workers is not None:
        _at_least_one("--workers", options.workers)
    if options.hours is not None and not 0 < options.hours < float("inf"):
        raise UsageError(f"--hours must be positive, got {options.hours}")
    with _user_errors():
        chosen = {name: value for name in _overrides() if (value := getattr(options, name)) not in (None, {})}
        asked = narrowed(read_sweep(options.experiment, chosen), options.agents, options.envs, options.seeds)
        runs = plan(asked.requests, options.directory)
        check(runs.values())
    if options.dry_run:
        return _dry_run(asked, runs, options.workers or _cores())
    return run_session(runs, _place(options), options.hours)


BENCHMARKS = {
    "kernels": ("kernels", "One layer by density, width and batch, beside the machine's own dense matrix product."),
    "updates": ("updates", "Whole updates per second of every agent, and where their time goes."),
    "end-to-end": ("end_to_end", "Environment steps per second of whole runs, evaluations included."),
}
"""The module in rewirl.bench, and what it measures, by name."""

COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "train": train,
    "resume": resume,
    "evaluate": evaluate,
    "inspect": inspect,
    "watch": watch,
    "sweep": sweep,
    "presets": presets,
    "report": report,
    "bench": bench,
}


def _train_to_the_end(prepare: Callable[[Any], Run | None], path: Path) -> int:
    from rewirl.environments.environment import FaultyEnvironmentError
    from rewirl.storage.run_directory import RunDirectoryError
    from rewirl.training.loop import DivergedError, density
    from rewirl.training.progress import for_this_terminal
    from rewirl.training.signals import StopRequest

    shown = for_this_terminal()
    with StopRequest() as stop, _whatever_becomes_of_the_output():
        try:
            with _user_errors():
                run = prepare(shown)
            if run is None:
                print(f"{path} is finished. To train on: rewirl resume {path} --total-timesteps STEPS")
                return 0
            with run:
                shown.message(
                    f"{run.agent.name} on {run.source.name}, seed {run.config.seed}: density {density(run.agent):.3f}, "
                    f"steps {run.training.step:,} to {run.total:,}, in {path}"
                )
                outcome = run.train(lambda: bool(stop))
        except (FaultyEnvironmentError, DivergedError) as error:
            return _failed(error, f"What was saved before is in {path}")
        except RunDirectoryError as error:
            return _failed(error)
        if not outcome.saved:
            return _failed(f"the run is at step {outcome.step:,}, but not saved there; see the warning above")
        if not outcome.finished:
            assert stop.signal is not None
            shown.message(
                f"stopped by {stop.signal.name} and saved at step {outcome.step:,}; go on with: rewirl resume {path}"
            )
            return 128 + stop.signal
        result = "" if outcome.evaluation is None else f", return {outcome.evaluation.mean:,.1f}"
        shown.message(f"finished {outcome.step:,} steps{result}. See it act: rewirl watch {path} --video out.mp4")
    return 0


@contextlib.contextmanager
def _whatever_becomes_of_the_output() -> Iterator[None]:
    """Leave out what cannot be printed, as progress does: the run and its exit code do not depend on it."""
    try:
        yield
    finally:
        try:
            if sys.stdout is not None:
                sys.stdout.flush()
        except OSError:
            sys.stdout = None  # or Python would try again, and exit with a code of its own


def _describe(make: Callable[[], Run], as_json: bool) -> None:
    from rewirl.cli.inspection import describe, table

    with _user_errors():
        run = make()
    with run:
        description = {"env": run.source.name, **describe(run.agent, run.total)}
    print(json.dumps(description) if as_json else table(description))


def _policy(path: Path) -> TrainedPolicy:
    from rewirl.training.trained_policy import TrainedPolicy

    return TrainedPolicy.load(path)


def _without_evaluation(config: Any) -> Any:
    return dataclasses.replace(config, eval_every=0)


# --- Sweeps ------------------------------------------------------------


def _overrides() -> dict[str, tuple[Any, Any, str]]:
    """Return a field for every option of a run of any agent, for `_options`."""
    import docstring_parser

    from rewirl.agents import AGENTS
    from rewirl.options.option import options
    from rewirl.topology import TopologyConfig
    from rewirl.training.config import TrainConfig
    from rewirl.training.run import agent_config_class

    kinds = dict.fromkeys([TrainConfig, *map(agent_config_class, AGENTS), TopologyConfig])
    texts = {
        entry.arg_name: " ".join((entry.description or "").split())
        for kind in reversed(kinds)
        for entry in docstring_parser.parse_from_object(kind).params
    }
    usual = {"threads": "one"}
    found: dict[str, tuple[Any, Any, str]] = {}
    for agent in AGENTS:
        for name, option in options(agent).items():
            text = f"{texts.get(name, '')} In a sweep: for every run; not given is as the experiment says, or else "
            text += f"{usual.get(name, 'the default of rewirl train')}."
            table = get_origin(option.kind) is dict
            found[name] = (option.kind, {}, text) if table else (option.kind | None, None, text)
    return found


def _place(options: Any) -> Any:
    from rewirl.experiments.sweep.pool import ProcessPool

    if options.ray is None:
        return ProcessPool(options.workers or _cores())
    from rewirl.experiments.sweep.cluster import Cluster

    with _user_errors():
        return Cluster(options.ray, options.workers)


def _dry_run(asked: Any, runs: Any, workers: int) -> int:
    from rewirl.experiments.sweep.estimate import estimate, makespan
    from rewirl.experiments.sweep.plan import run_status
    from rewirl.experiments.sweep.pool import ProcessPool

    found = {name: run_status(run) for name, run in runs.items()}
    print(f"{asked.name}: {asked.description}" if asked.description else asked.name)
    pool = ProcessPool(workers)
    try:
        seconds = estimate(runs, pool)
    except RuntimeError as error:
        return _failed(error)
    finally:
        pool.close()
    width = max(map(len, runs))
    for name, run in runs.items():
        state = found[name].state if found[name].state != "begun" else f"at step {found[name].step:,}"
        left = _hours(seconds[name]) if seconds[name] else ""
        print(f"{name:<{width}}  {run.config.total_timesteps:>10,} steps  {state:<16}  {left}".rstrip())
    done = sum(one.state == "finished" for one in found.values())
    left = f"; the others take about {_hours(makespan(runs, seconds, workers))} with {workers} worker"
    left += f"{'s' if workers > 1 else ''} on this machine, measured now"
    print(f"{len(runs)} runs, {done} finished{left if done < len(runs) else ''}")
    return 0


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{seconds / 60:.1f} minutes"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


# --- Options ------------------------------------------------------------


def _agent_options(command: str, given: list[str], **more: tuple[Any, Any, str]) -> Any:
    """Parse the options of a run and its agent, whose defaults depend on agent, environment and preset."""
    from rewirl.training.config import TrainConfig

    with _user_errors():
        defaults, run = _resolved(given)
    return _options(
        command,
        given,
        COMMANDS[command],
        preset=(
            str | None,
            None,
            "A paper's setting of agent, environment and topology, such as ds-drl/ds-td3/HalfCheetah-v5. None is the "
            "paper's own for its environments, 50% sparsity for any other.",
        ),
        run=(TrainConfig, run, ""),
        agent=(type(defaults), defaults, ""),
        **more,
    )


def _resolved(given: list[str]) -> tuple[AgentConfig, TrainConfig]:
    """Find the default settings of the agent and of its run, before the other options are parsed."""
    from rewirl.presets.lookup import agent_config, preset
    from rewirl.topology.config import making_room
    from rewirl.training.config import TrainConfig

    asked = {name: _value_of(name, given) for name in ("--agent", "--env", "--preset")}
    if asked["--preset"] is not None:
        chosen = preset(asked["--preset"])
        agent, env, config, train = chosen.agent, chosen.env, chosen.config, chosen.train
        for option, meant in (("--agent", agent), ("--env", env)):
            if asked[option] not in (None, meant):
                raise UsageError(
                    f"--preset {asked['--preset']} is for {option} {meant}, not {asked[option]}; leave one out"
                )
    else:
        agent, env = asked["--agent"] or TrainConfig.agent, asked["--env"] or TrainConfig.env
        config, train = agent_config(agent, env), {}
    names = ("sparsity", "lambdas", "layer_sparsities", "distribution")
    topology = making_room(
        config.topology, [n for n in names if _value_of("--" + n.replace("_", "-"), given) not in (None, "None")]
    )
    config = dataclasses.replace(config, topology=topology)
    return config, TrainConfig(agent=agent, env=env, **train)


def _value_of(option: str, given: list[str]) -> str | None:
    """Return the last value given for an option, or None."""
    value = None
    for index, argument in enumerate(given):
        name, equals, _ = argument.replace("_", "-").partition("=")
        if name == option:
            value = argument.partition("=")[2] if equals else next(iter(given[index + 1 : index + 2]), None)
    return value


def _options(command: str, given: list[str], about: Any, **fields: tuple[Any, Any, str]) -> Any:
    """Parse options with tyro.

    Args:
        command: its name.
        given: the arguments after it.
        about: its docstring says what the command does.
        **fields: for each option its type, default and help. Without a default (MISSING) it is given by its place. A
            settings dataclass stands for one option per field; the field's docstring is the help.

    Returns:
        An object with an attribute per field.
    """
    import tyro

    positional: Any = tyro.conf.Positional
    made = dataclasses.make_dataclass(
        "Options",
        [
            (name, positional[Annotated[_mirror(kind), tyro.conf.arg(help=text or None)]])
            if default is dataclasses.MISSING
            else (
                name,
                Annotated[_mirror(kind), tyro.conf.arg(help=text or None)],
                dataclasses.field(default_factory=functools.partial(_mirrored, default)),
            )
            for name, (kind, default, text) in fields.items()
        ],
    )
    parsed: Any = tyro.cli(
        made,
        prog=f"rewirl {command}",
        description=about.__doc__,
        args=given,
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff),
        registry=_registry(),
    )
    with _user_errors():
        return SimpleNamespace(
            **{name: _original(kind, getattr(parsed, name)) for name, (kind, _, _) in fields.items()}
        )


@functools.cache
def _mirror(kind: Any) -> Any:
    """Return a dataclass of the same fields for tyro to fill in; any other type is returned as it is.

    It checks nothing, so that an impossible setting is reported by us, the same way everywhere. Line breaks of field
    docstrings are taken out, because tyro would keep some of them.
    """
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        return kind
    import docstring_parser
    import tyro

    hints = get_type_hints(kind)
    texts = {
        entry.arg_name: entry.description
        for owner in reversed(kind.__mro__[:-1])  # the docstring of a field may be that of a parent
        for entry in docstring_parser.parse_from_object(owner).params
        if entry.description
    }
    made = dataclasses.make_dataclass(
        kind.__name__,
        [
            (field.name, Annotated[_mirror(hints[field.name]), tyro.conf.arg(help=" ".join(text.split()) or None)])
            for field in dataclasses.fields(kind)
            for text in [texts.get(field.name, "")]
        ],
    )
    made.__doc__ = (kind.__doc__ or "").partition("\n")[0]
    return made


def _mirrored(settings: Any) -> Any:
    if not dataclasses.is_dataclass(settings) or isinstance(settings, type):
        return settings
    values = {field.name: _mirrored(getattr(settings, field.name)) for field in dataclasses.fields(settings)}
    return _mirror(type(settings))(**values)


def _original(kind: Any, mirrored: Any) -> Any:
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        return mirrored
    hints = get_type_hints(kind)
    return kind(
        **{
            field.name: _original(hints[field.name], getattr(mirrored, field.name))
            for field in dataclasses.fields(kind)
        }
    )


def _registry() -> Any:
    """Return tyro's registry with JSON objects for dictionaries."""
    import tyro

    registry = tyro.constructors.ConstructorRegistry()

    @registry.primitive_rule
    def _(info: tyro.constructors.PrimitiveTypeInfo) -> tyro.constructors.PrimitiveConstructorSpec[Any] | None:
        if info.type_origin is not dict:
            return None
        return tyro.constructors.PrimitiveConstructorSpec(
            nargs=1,
            metavar="JSON",
            instance_from_str=lambda words: _json_object(words[0]),
            is_instance=lambda value: isinstance(value, dict),
            str_from_instance=lambda value: [json.dumps(value)],
        )

    return registry


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError("must be a JSON object such as '{\"name\": 1}'")
    return value


# --- Errors ------------------------------------------------------------


@contextlib.contextmanager
def _user_errors() -> Iterator[None]:
    """Turn what is refused at the door, before anything runs, into one clear message."""
    from rewirl.storage.checkpoint import CheckpointError
    from rewirl.storage.policy_file import PolicyError
    from rewirl.storage.run_directory import RunDirectoryError
    from rewirl.training.watch import WatchError

    try:
        yield
    except (ValueError, CheckpointError, PolicyError, RunDirectoryError, WatchError) as error:
        raise UsageError(str(error)) from error
    except MemoryError as error:
        raise UsageError(f"this does not fit into memory ({error or 'no details'}); choose smaller sizes") from error


def _failed(problem: object, more: str = "") -> int:
    print(f"rewirl: {problem}" + (f"\n{more}" if more else ""), file=sys.stderr)
    return 1


def _at_least_one(option: str, value: int) -> None:
    if value < 1:
        raise UsageError(f"{option} must be at least 1, got {value}")


def _did_you_mean(name: str, known: Any) -> str:
    near = get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}? " if near else ""


def _summary(function: Callable[..., Any]) -> str:
    return (function.__doc__ or "").strip()

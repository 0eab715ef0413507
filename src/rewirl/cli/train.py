"""The commands that train: `train` begins a run, `resume` goes on with one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from rewirl.cli.errors import UsageError, failed, require_directory, unprintable_output_ignored, usage_errors
from rewirl.cli.inspection import print_description, without_evaluation
from rewirl.cli.parse import parse, parse_run
from rewirl.environments.environment import FaultyEnvironmentError
from rewirl.environments.identity import MODULE_HELP, import_named
from rewirl.environments.spaces import UnsuitableEnvironmentError
from rewirl.presets.lookup import preset, suggestion
from rewirl.printing import number, program, quoted_path, result, to_resume, visible
from rewirl.storage.checkpoint import saved_step
from rewirl.storage.metrics_log import last_event
from rewirl.storage.run_directory import RunDirectoryError
from rewirl.topology.contract import ContractError, UnsaveableError
from rewirl.training import resume as resuming
from rewirl.training import run as runs
from rewirl.training.divergence import DivergedError
from rewirl.training.drift import density
from rewirl.training.progress import Progress, Silent, for_this_terminal
from rewirl.training.run import Run
from rewirl.training.signals import StopRequest


def train(arguments: list[str]) -> int:
    """Run `rewirl train` and return its exit code."""
    options = parse_run(
        "train",
        arguments,
        run_dir=(
            Path | None,
            None,
            "Directory of the run, new or empty. None is runs/ENVIRONMENT-AGENT-SEED.",
        ),
        no_check=(
            bool,
            False,
            "Do not play a spare environment for a moment at the start, to see whether something in it survives its "
            "reset. For hardware.",
        ),
        dry_run=(bool, False, "Print layers, connections, cost of training and memory, and stop there."),
    )
    config = options.run
    if options.dry_run:
        if options.run_dir is not None:
            require_directory("--run-dir", options.run_dir)

        def untrained() -> Run:
            run = Run(without_evaluation(config), options.agent, Silent())
            run.warm_up_with_policy()
            return run

        print_description(untrained)
        return 0
    name = f"{config.env}-{config.agent}-{config.seed}".replace("/", "-").replace(":", "-")
    path = options.run_dir or Path("runs") / name
    suggested = suggestion(config.env) if options.preset is None else None
    hint = ""
    if suggested is not None:
        agent = preset(suggested).agent
        hint = (
            f"{config.env} has a preset of its own, of {agent}; train it with: {program()} train --preset {suggested}"
        )
    return _train_to_the_end(
        lambda progress: runs.start(config, options.agent, path, progress, not options.no_check), path, hint
    )


def resume(arguments: list[str]) -> int:
    """Run `rewirl resume` and return its exit code."""
    options = parse(
        "resume",
        arguments,
        run=(Path, dataclasses.MISSING, "Directory of the run."),
        total_timesteps=(
            int | None,
            None,
            "Steps of the whole run, to go on for longer than it was started for. None is as it was started, or as "
            "its newest checkpoint says.",
        ),
        env_module=(str | None, None, MODULE_HELP),
    )
    if options.total_timesteps is not None and options.total_timesteps < 1:
        raise UsageError(f"--total-timesteps must be at least 1, got {options.total_timesteps}")
    with usage_errors():
        import_named(options.env_module)
    return _train_to_the_end(
        lambda progress: resuming.resume(options.run, progress, options.total_timesteps),
        options.run,
        asked=options.total_timesteps,
    )


def _train_to_the_end(
    prepare: Callable[[Progress], Run | None], path: Path, hint: str = "", asked: int | None = None
) -> int:
    progress = for_this_terminal()
    with StopRequest() as stop, unprintable_output_ignored():
        try:
            with usage_errors():
                run = prepare(progress)
            if run is None:
                command = f"{program()} resume {quoted_path(path)} --total-timesteps STEPS"
                done = last_event(path / "metrics.jsonl").get("step")
                there = "is finished"
                if asked is not None and isinstance(done, int) and done >= asked:
                    there = f"already has {done:,} steps, and --total-timesteps {asked:,} is of the whole run"
                result(visible(f"{path} {there}. To train on: {command}"))
                return 0
            with run:
                progress.message(
                    f"{run.agent.name} on {run.source.name}, seed {run.config.seed}: density {density(run.agent):.3f}, "
                    f"steps {run.training.step:,} to {run.total:,}, in {path}"
                )
                if hint:
                    progress.message(hint)
                outcome = run.train(lambda: bool(stop))
        except (FaultyEnvironmentError, UnsuitableEnvironmentError, DivergedError, ContractError) as error:
            kept = saved_step(path)
            if kept is None and isinstance(error, UnsaveableError):
                return failed(error)
            if kept is None:
                return failed(error, "Nothing was saved before; --checkpoint-every says after how many steps it is")
            if isinstance(error, (DivergedError, ContractError)):
                return failed(error, f"What was saved before is in {path}")
            return failed(error, f"It is saved at step {kept:,}; go on with: {to_resume(path)}")
        except RunDirectoryError as error:
            return failed(error)
        if not outcome.saved:
            return failed(f"the run is at step {outcome.step:,}, but not saved there; see the warning above")
        if not outcome.finished:
            assert stop.signal is not None
            progress.message(
                f"Stopped by {stop.signal.name} and saved at step {outcome.step:,}; go on with: "
                f"{program()} resume {quoted_path(path)}"
            )
            return 128 + stop.signal
        final = "" if outcome.evaluation is None else f", return {number(outcome.evaluation.mean, least=1)}"
        command = f"{program()} watch {quoted_path(path)} --video out.mp4"
        progress.message(f"Finished {outcome.step:,} steps{final}. See it act: {command}")
    return 0

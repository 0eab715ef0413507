"""What is done to the files of a run: everything that is known to be worth it, and anything at random."""

from __future__ import annotations

import copy
import itertools
import json
import os
import shutil
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from file_changes import (
    Arrays,
    config_json,
    document,
    dotted,
    drop,
    leaves,
    put,
    rewritten,
    short,
    sign,
    tensors,
    unsigned,
)
from hostile_values import (
    NASTY,
    arrays,
    damages,
    enormous_actor,
    episodes,
    headers,
    manifests,
    online_states,
    policies,
    raw_documents,
    replays,
    rollouts,
    states,
)
from victims import AGENTS, GOOD, NEWEST, newest, policy_of

from rewirl.storage.checkpoint import load_checkpoint


@dataclass(frozen=True)
class Attack:
    """One change to one run directory."""

    name: str
    agent: str
    target: str
    """checkpoint, policy, config, fresh (the config of a run without checkpoint) or metrics."""
    change: Callable[[Path], None]
    """Changes a copy of the run directory."""
    may_pass: bool = False
    """Whether it may be that what results is possible, and is used."""
    says: str = ""
    """What the refusal has to name."""


def swaps(of: dict[str, Path]) -> Iterator[Attack]:
    """Yield attacks that put files of one run or step in place of those of another."""
    files = ("agent.safetensors", "replay.safetensors", "episode.safetensors", "state.json")

    def from_run(other: str, file: str, step: int, signed: bool) -> Callable[[Path], None]:
        def apply(run: Path) -> None:
            shutil.copy(of[other] / "checkpoints" / f"step-{step:09d}" / file, newest(run) / file)
            if signed:
                sign(newest(run))

        return apply

    for file, signed in itertools.product((*files, "manifest.json"), (False, True)):
        if file == "manifest.json" and signed:
            continue
        how = ", signed" if signed else ""
        # Arrays and numbers of the same kind of run are possible; its own state is of another step.
        same_kind = signed and file != "state.json"
        yield Attack(
            f"{file} of the step before{how}", "ds-td3", "checkpoint",
            from_run("ds-td3", file, GOOD, signed), same_kind, "" if signed or file == "manifest.json" else file,
        )  # fmt: skip
        yield Attack(
            f"{file} of another seed{how}", "ds-td3", "checkpoint",
            from_run("other ds-td3", file, NEWEST, signed), same_kind,
        )  # fmt: skip
        yield Attack(
            f"{file} of another agent{how}", "ds-td3", "checkpoint",
            from_run("sac", file, NEWEST, signed), signed and file.startswith(("replay", "episode")),
        )  # fmt: skip

    def whole(other: str, step: int) -> Callable[[Path], None]:
        def apply(run: Path) -> None:
            shutil.rmtree(newest(run))
            shutil.copytree(of[other] / "checkpoints" / f"step-{step:09d}", newest(run))

        return apply

    yield Attack(
        "the whole checkpoint of the step before", "ds-td3", "checkpoint", whole("ds-td3", GOOD), False, "step"
    )
    yield Attack(
        "the whole checkpoint of another seed", "ds-td3", "checkpoint", whole("other ds-td3", NEWEST), says="seed"
    )
    yield Attack("the whole checkpoint of another agent", "ds-td3", "checkpoint", whole("td3", NEWEST), says="agent")
    yield Attack("the whole checkpoint of a dense agent", "ds-sac", "checkpoint", whole("sac", NEWEST), says="sparsity")

    def policy_as_checkpoint(run: Path) -> None:
        shutil.rmtree(newest(run))
        shutil.copytree(run / "policy", newest(run))

    yield Attack("a policy as checkpoint", "sac", "checkpoint", policy_as_checkpoint, says="policy")

    def checkpoint_as_policy(run: Path) -> None:
        shutil.rmtree(run / "policy")
        shutil.copytree(newest(run), run / "policy")

    yield Attack("a checkpoint as policy", "sac", "policy", checkpoint_as_policy, says="checkpoint")

    def link(run: Path) -> None:
        newest(run).rename(run / "elsewhere")
        newest(run).symlink_to(run / "elsewhere")

    yield Attack("a link to the checkpoint", "td3", "checkpoint", link, says="not a directory")

    def file(run: Path) -> None:
        shutil.rmtree(newest(run))
        newest(run).write_text("x")

    yield Attack("a file as checkpoint", "td3", "checkpoint", file, says="not a directory")

    def pipe(run: Path) -> None:
        shutil.rmtree(newest(run))
        os.mkfifo(newest(run))

    yield Attack("a pipe as checkpoint", "td3", "checkpoint", pipe, says="not a directory")


def around() -> Iterator[Attack]:
    """Yield attacks on what lies beside the checkpoints."""
    for name, at in (("metrics.jsonl", "a directory"), ("metrics.jsonl", "a pipe"), ("metrics.jsonl", "a link")):

        def replaced(run: Path, name: str = name, at: str = at) -> None:
            (run / name).rename(run / f"elsewhere-{name}")
            if at == "a directory":
                (run / name).mkdir()
            elif at == "a pipe":
                os.mkfifo(run / name)
            else:
                (run / name).symlink_to(run / f"elsewhere-{name}")

        yield Attack(f"{name} {at}", "td3", "metrics", replaced, says=name)
    changes: dict[str, Callable[[bytes], bytes]] = {
        "cut in the last line": lambda c: c[:-5],
        "cut in mid-line": lambda c: c[: len(c) // 2],
        "one byte": lambda c: c[:1],
        "empty": lambda c: b"",
        "without newlines": lambda c: c.replace(b"\n", b" "),
        "with a line of garbage": lambda c: b"\x00\xff garbage\n" + c,
        "with half a line more": lambda c: c + b'{"event": "epis',
        "with NaN": lambda c: c + b'{"event": NaN}\n',
        "all zeros": lambda c: bytes(len(c)),
        "with a line of a megabyte": lambda c: b"x" * 2**20 + b"\n" + c,
    }
    for name, change in changes.items():

        def rewritten(run: Path, change: Callable[[bytes], bytes] = change) -> None:
            path = run / "metrics.jsonl"
            path.write_bytes(change(path.read_bytes()))

        yield Attack(f"metrics.jsonl {name}", "td3", "metrics", rewritten, may_pass=True)
    yield Attack("metrics.jsonl missing", "td3", "metrics", lambda run: (run / "metrics.jsonl").unlink(), may_pass=True)

    def inside(name: str, make: Callable[[Path], Any]) -> Callable[[Path], None]:
        def apply(run: Path) -> None:
            path = run / name
            if path.is_dir():
                path.rename(run / f"elsewhere-{name}")
            elif path.exists():
                path.unlink()
            make(path)

        return apply

    for name in ("checkpoints", "tensorboard"):
        link = inside(name, lambda path: path.symlink_to(path.with_name(f"elsewhere-{path.name}")))
        yield Attack(f"{name} a link", "td3", "metrics", link, says=name)
    yield Attack("checkpoints a file", "td3", "metrics", inside("checkpoints", Path.touch), says="checkpoints")
    yield Attack("checkpoints a pipe", "td3", "metrics", inside("checkpoints", os.mkfifo), says="checkpoints")
    yield Attack("tensorboard a file", "td3", "metrics", inside("tensorboard", Path.touch), may_pass=True)
    yield Attack("lock a directory", "td3", "metrics", inside("lock", Path.mkdir), says="lock")
    yield Attack("lock a pipe", "td3", "metrics", inside("lock", os.mkfifo), may_pass=True)
    dangling = inside("lock", lambda path: path.symlink_to("/nowhere"))
    yield Attack("lock a dangling link", "td3", "metrics", dangling, says="lock")
    for name, make in {
        "a directory": Path.mkdir,
        "a pipe": os.mkfifo,
        "a link": lambda path: path.symlink_to("/etc/hostname"),
        "empty": Path.touch,
        "a terabyte": lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), 2**40),
    }.items():
        yield Attack(f"config.json {name}", "td3", "config", inside("config.json", make), says="config.json")


def systematic(of: dict[str, Path], rng: np.random.Generator) -> Iterator[Attack]:
    """Yield every attack that is known to be worth it, for every agent it applies to."""
    yield from swaps(of)
    yield from around()
    for agent in AGENTS:
        yield from of_checkpoints(agent, of[agent], rng)
        yield from of_policies(agent, of[agent], rng)


def of_checkpoints(agent: str, run: Path, rng: np.random.Generator) -> Iterator[Attack]:
    """Yield attacks on the newest checkpoint of a run."""
    checkpoint = newest(run)
    for path in sorted(checkpoint.iterdir()):
        content = path.read_bytes()
        text = struct.unpack("<Q", content[:8])[0] if path.suffix == ".safetensors" else 0
        for name, change in damages(path.name, newest, len(content), text, rng):
            # A damaged manifest may say of another file that it is not what it should be.
            says = "step-000000100" if path.name == "manifest.json" else path.name
            yield Attack(name, agent, "checkpoint", change, says=says)
    for file in ("agent.safetensors", "episode.safetensors"):
        for name, change in headers():
            yield Attack(f"{file}: {name}", agent, "checkpoint", rewritten(newest, file, change), says=file)
    held = load_checkpoint(checkpoint).arrays
    for file, changes in (
        ("agent.safetensors", arrays(held)),
        ("agent.safetensors", rollouts() if "agent/rollout.rows" in held else ()),
        ("agent.safetensors", online_states() if "agent/state" in held else ()),
        ("replay.safetensors", replays() if "replay/transitions" in held else ()),
        ("episode.safetensors", episodes()),
    ):
        for name, of_arrays, may_pass in changes:
            yield Attack(name, agent, "checkpoint", rewritten(newest, file, tensors(of_arrays)), may_pass)
    for name, of_values, may_pass in states(json.loads((checkpoint / "state.json").read_text())):
        yield Attack(name, agent, "checkpoint", rewritten(newest, "state.json", document(of_values)), may_pass)
    for name, change in raw_documents():
        # What is JSON all the same is refused for what it lacks, by the name of the checkpoint.
        says = "step-000000100" if "empty lists" in name else "state.json"
        yield Attack(f"state.json: {name}", agent, "checkpoint", rewritten(newest, "state.json", change), says=says)
    for name, of_manifest in manifests():
        change_ = unsigned(newest, "manifest.json", document(of_manifest))
        yield Attack(f"manifest: {name}", agent, "checkpoint", change_, says="step-000000100")


def of_policies(agent: str, run: Path, rng: np.random.Generator) -> Iterator[Attack]:
    """Yield attacks on the policy of a run."""
    for path in sorted((run / "policy").iterdir()):
        content = path.read_bytes()
        text = struct.unpack("<Q", content[:8])[0] if path.suffix == ".safetensors" else 0
        for name, change in damages(path.name, policy_of, len(content), text, rng):
            yield Attack(
                f"policy: {name}", agent, "policy", change, says="policy" if "manifest" in path.name else path.name
            )
    for name, change in headers():
        file = "policy.safetensors"
        yield Attack(f"policy: {name}", agent, "policy", rewritten(policy_of, file, change), says=file)
    for name, of_values, may_pass in policies(json.loads((run / "policy" / "policy.json").read_text())):
        change_ = rewritten(policy_of, "policy.json", document(of_values))
        yield Attack(f"policy: {name}", agent, "policy", change_, may_pass, "policy")
    yield Attack("policy: an enormous sparse actor", agent, "policy", enormous_actor, says="policy")
    for name, of_manifest in manifests():
        change_ = unsigned(policy_of, "manifest.json", document(of_manifest))
        yield Attack(f"policy: manifest: {name}", agent, "policy", change_, says="policy")


def at_random(of: dict[str, Path], rng: np.random.Generator) -> Iterator[Attack]:
    """Yield attacks without end: any byte, any value, any array, any setting."""
    documents = {
        agent: {
            "state.json": json.loads((newest(run) / "state.json").read_text()),
            "policy.json": json.loads((run / "policy" / "policy.json").read_text()),
            "config.json": json.loads((run / "config.json").read_text()),
        }
        for agent, run in of.items()
        if agent in AGENTS
    }
    while True:
        agent = AGENTS[rng.integers(len(AGENTS))]
        kind = rng.integers(6)
        if kind == 0:
            yield _random_byte(agent, of[agent], rng)
        elif kind == 1:
            yield _random_arrays(agent, of[agent], rng)
        else:
            file, target = [
                ("state.json", "checkpoint"), ("state.json", "checkpoint"), ("policy.json", "policy"),
                ("config.json", "config"), ("config.json", "fresh"),
            ][rng.integers(5)]  # fmt: skip
            yield _random_value(agent, file, target, documents[agent][file], rng)


def _random_byte(agent: str, run: Path, rng: np.random.Generator) -> Attack:
    bundle, target = [(newest, "checkpoint"), (policy_of, "policy")][rng.integers(2)]
    files = sorted(path.name for path in bundle(run).iterdir())
    file = files[rng.integers(len(files))]
    size = (bundle(run) / file).stat().st_size
    place, bit, cut = int(rng.integers(size - 1)), int(rng.integers(8)), bool(rng.integers(2))

    def change(content: bytes) -> bytes:
        return content[:place] if cut else content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :]

    what = f"{file} cut after {place} bytes" if cut else f"{file} with bit {bit} of byte {place} flipped"
    if file != "manifest.json" and rng.integers(2):
        return Attack(f"{what}, signed", agent, target, rewritten(bundle, file, change), may_pass=True)
    return Attack(what, agent, target, unsigned(bundle, file, change), says="" if file == "manifest.json" else file)


def _random_arrays(agent: str, run: Path, rng: np.random.Generator) -> Attack:
    stems = [path.stem for path in sorted(newest(run).glob("*.safetensors"))]
    places = [*((newest, "checkpoint", stem) for stem in stems), (policy_of, "policy", "policy")]
    bundle, target, stem = places[rng.integers(len(places))]
    seed = int(rng.integers(2**31))

    def change(found: Arrays) -> None:
        draw = np.random.default_rng(seed)
        names = sorted(found)
        name = names[draw.integers(len(names))]
        array = found[name]
        what = draw.integers(8)
        if what == 0:
            found[name] = array.astype(draw.choice(["f4", "f8", "i8", "i4", "u1", "u4", "?"]))
        elif what == 1:
            found[name] = array.reshape(-1)[: draw.integers(array.size + 1)]
        elif what == 2:
            found[name] = np.concatenate([array.reshape(-1)] * 2)
        elif what == 3:
            found[name] = found[names[draw.integers(len(names))]]
        elif what == 4:
            found.pop(name)
        elif what == 5:
            found[name] = draw.permutation(array)
        else:
            changed = array.copy().reshape(-1)
            if changed.size:
                raw = changed.view(np.uint8)
                raw[draw.integers(raw.size)] ^= 1 << draw.integers(8)
                if changed.dtype == bool:
                    raw &= 1
            found[name] = changed.reshape(array.shape)

    name = f"arrays of {stem} changed by {seed}"
    return Attack(name, agent, target, rewritten(bundle, f"{stem}.safetensors", tensors(change)), may_pass=True)


def _random_value(agent: str, file: str, target: str, found: Any, rng: np.random.Generator) -> Attack:
    paths = list(leaves(found))
    path = paths[rng.integers(len(paths))]
    nasty = NASTY[rng.integers(len(NASTY))]
    gone = not rng.integers(8)
    change = drop(path) if gone else put(path, copy.deepcopy(nasty))
    name = f"{file} {dotted(path)} is {'missing' if gone else short(nasty)}"
    if file == "config.json":
        return Attack(name, agent, target, config_json(change), may_pass=True)
    bundle = newest if file == "state.json" else policy_of
    return Attack(name, agent, target, rewritten(bundle, file, document(change)), may_pass=True)

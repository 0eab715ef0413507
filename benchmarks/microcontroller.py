"""Exported policies on a Cortex-M4: flash, memory and instructions per action, and what int8 does to the return.

The processor is emulated by QEMU (machine mps2-an386), which counts instructions, not cycles. Needs arm-none-eabi-gcc
with newlib and qemu-system-arm (Debian: gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm).
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rewirl.agents import Policy, make_agent
from rewirl.agents.td3 import TD3Config
from rewirl.environments.action_bounds import ActionBounds
from rewirl.environments.observations import BoxShape
from rewirl.environments.spaces import Spaces
from rewirl.export.c_code import c_files
from rewirl.export.interpret import act
from rewirl.export.parity import observations
from rewirl.export.plan import Box, Plan, plan_of
from rewirl.topology import TopologyConfig
from rewirl.training.evaluation import Evaluator
from rewirl.training.trained_policy import TrainedPolicy

COMPILER, SIZE, EMULATOR = "arm-none-eabi-gcc", "arm-none-eabi-size", "qemu-system-arm"
PACKAGES = "gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm"
PROCESSOR = ("-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16")
FLAGS = (*PROCESSOR, "-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", "-Wdouble-promotion")
OBSERVATIONS = 16
LOOP = 1_000_000
"""Turns of a loop of two instructions, by which the clock is translated into instructions."""

MEMORY = """
MEMORY { FLASH (rx) : ORIGIN = 0, LENGTH = 4M  RAM (rwx) : ORIGIN = 0x20000000, LENGTH = 4M }
ENTRY(reset)
SECTIONS {
    .text : { KEEP(*(.vectors)) *(.text*) *(.rodata*) *(.ARM.exidx*) } > FLASH
    .data : { *(.data*) } > RAM
    .bss : { *(.bss*) *(COMMON) } > RAM
}
"""

PROGRAM = r"""
#include "policy.h"
#include <stdint.h>

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define LOAD REGISTER(0xE000E014)
#define NOW REGISTER(0xE000E018)

static const float given[%(count)d][POLICY_OBSERVATION_SIZE] = {%(given)s};
static %(type)s actions[%(count)d]%(shape)s;
int main(void);
void reset(void);

__attribute__((section(".vectors"), used)) static void (*const vectors[])(void) = {
    (void (*)(void))0x20400000, reset};

static int host(int what, const void *argument)
{
    register int operation __asm__("r0") = what;
    register const void *parameter __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xAB" : "+r"(operation) : "r"(parameter) : "memory");
    return operation;
}

static void print(uint32_t number)
{
    char text[12];
    for (int i = 0; i < 8; ++i) {
        text[i] = "0123456789abcdef"[number >> (28 - 4 * i) & 15];
    }
    text[8] = '\n';
    text[9] = 0;
    host(4, text);
}

void reset(void)
{
    REGISTER(0xE000ED88) |= 0xFu << 20; /* the floating-point unit on */
    __asm__ volatile("dsb; isb");
    main();
    host(0x18, (const void *)0x20026);
    for (;;) {
    }
}

int main(void)
{
    uint32_t start, turns = %(loop)d;
    LOAD = 0xFFFFFF;
    NOW = 0;
    REGISTER(0xE000E010) = 5; /* the system timer, from the clock of the processor, counts down */
    while (NOW == 0) {
    }
    start = NOW;
    __asm__ volatile("1: subs %%0, #1\n bne 1b" : "+r"(turns) : : "cc");
    print((start - NOW) & 0xFFFFFF);
    start = NOW;
    for (int i = 0; i < %(count)d; ++i) {
        if (policy_act(given[i], %(action)s) != 0) {
            return 1;
        }
    }
    print((start - NOW) & 0xFFFFFF);
    for (unsigned i = 0; i < sizeof actions / 4; ++i) {
        print(((const uint32_t *)actions)[i]);
    }
    return 0;
}
"""


class OnDevice(NamedTuple):
    """What was measured of one policy: bytes of code and constants, bytes of static memory and of the stack,
    instructions per action, and its actions."""

    flash: int
    memory: int
    stack: int
    instructions: int
    actions: np.ndarray


def main() -> None:
    """Print a table of policies."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("policies", nargs="*", type=Path, help="directories of runs or policies; none: structures")
    parser.add_argument("--sparsity", type=float, default=0.9, help="of the untrained actors of each structure")
    parser.add_argument("--episodes", type=int, default=20, help="for the returns; 0 leaves them out")
    parser.add_argument("--seed", type=int, default=1000, help="of the episodes")
    options = parser.parse_args()
    missing = [tool for tool in (COMPILER, SIZE, EMULATOR) if shutil.which(tool) is None]
    if missing:
        sys.exit(f"there is no {', '.join(missing)}; Debian: apt install {PACKAGES}")
    if options.policies:
        trained_policies(options.policies, options.episodes, options.seed)
    else:
        structures(options.sparsity)


def structures(sparsity: float) -> None:
    """Print a table of untrained actors of TD3 for Walker2d, 17-256-256-6: what each structure costs."""
    print("| structure | weights | connections | flash | instructions per action |")
    print("|---|---|---:|---:|---:|")
    bounds = ActionBounds([-1.0] * 6, [1.0] * 6)
    for structure in ("dense", "unstructured", "4x1", "8x1"):
        topology = TopologyConfig(sparsity=0.0 if structure == "dense" else sparsity, rule="static")
        if structure != "dense":
            topology = replace(topology, structure=structure)
        agent = make_agent("static-td3", TD3Config(topology=topology), 17, 6, seed=0)
        policy = Policy.from_state(*agent.policy_state())
        made_in: dict[str, Any] = {"name": "Walker2d-v5", "id": None, "kwargs": {}, "module": None}
        about = {"agent": "static-td3", "agent_config": {}, "environment": made_in, "seed": 0, "step": 0}
        trained = TrainedPolicy(policy, Spaces(BoxShape((17,)), bounds), about)
        for weights in ("float32", "int8"):
            plan = plan_of(trained, weights == "int8")
            device = on_device(plan)
            check(plan, device)
            connections = policy.actor.connections
            print(f"| {structure} | {weights} | {connections:,} | {device.flash:,} | {device.instructions:,} |")


def trained_policies(paths: list[Path], episodes: int, seed: int) -> None:
    """Print a table of policies with their returns."""
    print("| policy | weights | connections | flash | static memory | stack | instructions per action | return |")
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    for path in paths:
        trained = TrainedPolicy.load(path)
        for weights in ("float32", "int8"):
            plan = plan_of(trained, weights == "int8")
            device = on_device(plan)
            check(plan, device)
            returned = evaluated(trained, plan, episodes, seed) if episodes else ""
            print(
                f"| {trained.about['agent']}, seed {trained.about['seed']} | {weights} "
                f"| {trained.actor.actor.connections:,} | {device.flash:,} | {device.memory:,} | {device.stack:,} "
                f"| {device.instructions:,} | {returned} |",
                flush=True,
            )


def on_device(plan: Plan) -> OnDevice:
    """Compile a policy for a Cortex-M4 and run it there on random observations."""
    files = c_files(plan, "policy", "table")
    given = observations(plan)[:OBSERVATIONS]
    box = isinstance(plan.head, Box)
    program = PROGRAM % {
        "count": OBSERVATIONS,
        "given": ", ".join("{" + ", ".join(f"{float(x)!r}f" for x in row) + "}" for row in given),
        "type": "float" if box else "int64_t",
        "shape": "[POLICY_ACTION_SIZE]" if box else "",
        "action": "actions[i]" if box else "&actions[i]",
        "loop": LOOP,
    }
    with tempfile.TemporaryDirectory(prefix="rewirl-microcontroller-") as place:
        texts = {"policy.h": files.header, "policy.c": files.source, "main.c": program, "memory.ld": MEMORY}
        for name, text in texts.items():
            (Path(place) / name).write_text(text)
        run(place, COMPILER, *FLAGS, "-fstack-usage", "-c", "policy.c")
        run(place, COMPILER, *FLAGS, "-c", "main.c")
        run(place, COMPILER, *PROCESSOR, "-nostartfiles", "-T", "memory.ld", "main.o", "policy.o", "-o", "all.elf")
        flash, data, zeros = (int(word) for word in run(place, SIZE, "policy.o").splitlines()[1].split()[:3])
        stack = max(int(line.split("\t")[1]) for line in (Path(place) / "policy.su").read_text().splitlines())
        machine = ("-M", "mps2-an386", "-nographic", "-monitor", "none", "-serial", "none", "-icount", "shift=0")
        said = run(place, EMULATOR, *machine, "-semihosting", "-kernel", "all.elf")
    loop, acting, *bits = (int(word, 16) for word in re.findall(r"^[0-9a-f]{8}$", said, re.MULTILINE))
    actions = np.array(bits, np.uint32).view(np.float32 if box else np.int64)
    instructions = round(acting / loop * 2 * LOOP / OBSERVATIONS)
    return OnDevice(flash + data, data + zeros, stack, instructions, actions)


def check(plan: Plan, device: OnDevice) -> None:
    """End here if the device acted otherwise than the arrays of the plan say."""
    expected = act(plan, observations(plan)[:OBSERVATIONS]).reshape(-1)
    scale = np.tile(plan.head.half, OBSERVATIONS) if isinstance(plan.head, Box) else 1
    difference = np.abs((device.actions - expected) / scale).max()
    if not difference < 1e-4:
        sys.exit(f"the Cortex-M4 acts otherwise than the policy: by {difference:.2g}")


def evaluated(trained: TrainedPolicy, plan: Plan, episodes: int, seed: int) -> str:
    """Return mean and standard deviation of the returns of a plan's actions."""
    head = plan.head
    if isinstance(head, Box):  # the evaluation maps [-1, 1] to the bounds by itself
        one, none = np.ones_like(head.half), np.zeros_like(head.half)
        plan = replace(plan, head=Box(none, one, -one, one, head.squashed))
    else:
        plan = replace(plan, head=replace(head, start=0))
    source = trained.source()
    assert source.make_another is not None
    evaluator = Evaluator(source.make_another, episodes, seed)
    done = evaluator.evaluate(lambda given: act(plan, given), "evaluation", step=trained.about["step"])
    evaluator.close()
    assert done is not None
    return f"{done.mean:,.0f} ± {done.std:,.0f}"


def run(directory: str, *command: str) -> str:
    """Run a command and return what it printed."""
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command[:1])} failed:\n{done.stderr}")
    return done.stdout + done.stderr


if __name__ == "__main__":
    main()

"""Exporting: a policy becomes files, and is compared with what they compute."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

from rewirl.export import compiled, interpret, parity
from rewirl.export.buffers import Buffers
from rewirl.export.c_code import CFiles, Tanh, c_files
from rewirl.export.parity import Parity
from rewirl.export.plan import Floats, Plan, Precision, plan_of
from rewirl.export.text import checked_name
from rewirl.storage.files import exists, write_atomically
from rewirl.training.trained_policy import TrainedPolicy

Format = Literal["c", "onnx"]
"""What a policy may be written as."""

WeightType = Literal["float32", "int8"]
"""How weights are stored; int8 has a float32 scale for each row, and sums stay float32."""

_NUMPY = "its arrays in NumPy"


@dataclass(frozen=True)
class Exported:
    """What was written.

    Args:
        paths: of the files.
        plan: what they compute.
        parity: how close that is to the policy.
        remark: why it was not computed by the files themselves; "" if it was.
        failed: whether that is because a compiler, or the program that it made, failed on them.
    """

    paths: tuple[Path, ...]
    plan: Plan
    parity: Parity
    remark: str = ""
    failed: bool = False

    @property
    def memory(self) -> int:
        """Bytes of working memory."""
        return Buffers.of(self.plan).bytes


def export_c(
    trained: TrainedPolicy,
    directory: Path,
    name: str = "policy",
    weights: WeightType = "float32",
    tanh: Tanh = "libm",
    overwrite: bool = False,
) -> Exported:
    """Write a policy as NAME.h and NAME.c, and compare it with what they compute.

    Args:
        trained: the policy.
        directory: where; made if it is not there.
        name: of the files and of what they define.
        weights: how they are stored.
        tanh: where tanh comes from.
        overwrite: whether files of these names are replaced.

    Raises:
        ValueError: the policy cannot be exported, the name cannot be used, or there are such files.
        OSError: the system refused.
    """
    plan = plan_of(trained, weights == "int8")
    files = c_files(plan, checked_name(name), tanh)
    paths = _write(directory, {f"{name}.h": files.header.encode(), f"{name}.c": files.source.encode()}, overwrite)
    return Exported(paths, plan, *_compared(trained, plan, files, name))


def export_onnx(
    trained: TrainedPolicy,
    directory: Path,
    name: str = "policy",
    weights: WeightType = "float32",
    precision: Precision = "float64",
    overwrite: bool = False,
) -> Exported:
    """Write a policy as NAME.onnx, and compare it with what that computes.

    Args:
        trained: the policy.
        directory: where; made if it is not there.
        name: of the file.
        weights: how they are stored.
        precision: what the network is computed in.
        overwrite: whether a file of this name is replaced.

    Raises:
        ValueError: the package onnx is missing, the policy cannot be exported, the name cannot be used, or there is
            such a file.
        OSError: the system refused.
    """
    try:
        from rewirl.export.onnx_model import onnx_model
    except ModuleNotFoundError as error:
        raise ValueError(f"ONNX needs the package {error.name}: pip install 'rewirl[export]'") from error
    except ImportError as error:
        raise ValueError(f"the package onnx cannot be imported ({error}); install it again") from error
    plan = plan_of(trained, weights == "int8")
    model = onnx_model(plan, precision)
    paths = _write(directory, {f"{checked_name(name)}.onnx": model}, overwrite)
    try:
        by_runtime = runtime(model)
    except Exception as error:  # it has exceptions of its own for models that it cannot run, as an older one may
        missing = isinstance(error, ModuleNotFoundError)
        remark = "onnxruntime is not installed" if missing else f"onnxruntime does not work here: {error}"
        return Exported(paths, plan, parity.compare(trained, partial(interpret.act, plan), _NUMPY, plan), remark)
    return Exported(paths, plan, parity.compare(trained, by_runtime, "by onnxruntime", plan))


def runtime(model: bytes) -> Callable[[Floats], NDArray[Any]]:
    """Return what acts as an ONNX file does, for observations float32 [batch, n_in].

    Raises:
        ModuleNotFoundError: onnxruntime is not installed.
    """
    import onnxruntime  # type: ignore[import-not-found,import-untyped,unused-ignore]

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])

    def act(observations: Floats) -> NDArray[Any]:
        actions: NDArray[Any] = session.run(["action"], {"observation": observations})[0]
        return actions

    return act


def _write(directory: Path, contents: Mapping[str, bytes], overwrite: bool) -> tuple[Path, ...]:
    """Write files, of which none is there unless they may be replaced, and return their paths."""
    paths = {directory / file: content for file, content in contents.items()}
    above = next((each for each in (directory, *directory.parents) if exists(each)), directory)
    if exists(above) and not above.is_dir():
        raise ValueError(f"{above} is there and no directory, so no files can be put there; choose another --directory")
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            raise ValueError(f"{path} is a directory; choose another --name or another --directory")
        if exists(path) and not overwrite:
            raise ValueError(f"{path} is there already; --overwrite replaces it")
    directory.mkdir(parents=True, exist_ok=True)
    for path, content in paths.items():
        write_atomically(path, content)
    return tuple(paths)


def _compared(trained: TrainedPolicy, plan: Plan, files: CFiles, name: str) -> tuple[Parity, str, bool]:
    """Return how close C is to the policy, why it was not run, if it was not, and whether it failed."""
    try:
        by_compiler = partial(compiled.run, files, plan, name)
        return parity.compare(trained, by_compiler, "compiled here", plan), "", False
    except compiled.NotRunError as error:
        by_numpy = parity.compare(trained, partial(interpret.act, plan), _NUMPY, plan)
        return by_numpy, str(error), isinstance(error, compiled.FailedError)

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

LANE: int
KERNEL_GENERATION: int
CXX11_ABI: int | None

def available_instruction_sets() -> list[str]: ...
def instruction_set() -> str: ...
def use_instruction_set(name: str) -> None: ...
def widest_tile() -> int: ...
def empty_tiles(tiles: int, features: int, width: int) -> NDArray[np.float32]: ...
def gather_rows(rows: NDArray[np.float32], index: NDArray[np.int64], outs: Sequence[NDArray[np.float32]]) -> None: ...
def sample_windows(
    bit_generator: np.random.BitGenerator,
    rows: NDArray[np.float32],
    ends: NDArray[np.uint8],
    first: int,
    live: int,
    count: int,
    steps: int,
    gamma: float,
    observation_size: int,
    outs: Sequence[NDArray[np.float32]],
    between: Sequence[NDArray[np.float32]] = (),
    stride: int = 1,
) -> None: ...
def sample_rows(
    pool: Pool,
    bit_generator: np.random.BitGenerator,
    rows: NDArray[np.float32],
    first: int,
    live: int,
    count: int,
    outs: Sequence[NDArray[np.float32]],
    expected: int = -1,
    wait: Callable[[], None] | None = None,
) -> None: ...

class Pool:
    def __init__(self, threads: int) -> None: ...
    @property
    def threads(self) -> int: ...
    def use(self, threads: int) -> None: ...
    def close(self) -> None: ...

class Network:
    steps: int
    def __init__(
        self,
        n_in: int,
        operations: Sequence[
            tuple[
                str,
                str,
                Sequence[int],
                Mapping[str, float],
                str,
                NDArray[np.int64] | None,
                NDArray[np.float32] | None,
            ]
        ],
        trainable: bool = True,
    ) -> None: ...
    @property
    def trainable(self) -> bool: ...
    @property
    def changes(self) -> int: ...
    @property
    def ages(self) -> bool: ...
    def features(self, operation: str) -> int: ...
    def learnables(self) -> list[tuple[str, str]]: ...
    def statistics(self) -> list[tuple[str, str]]: ...
    def format(self, operation: str) -> str: ...
    def height(self, operation: str) -> int: ...
    def dense(self, operation: str) -> bool: ...
    def connections(self, operation: str) -> int: ...
    def version(self, operation: str) -> int: ...
    def places(self, operation: str) -> NDArray[np.int64]: ...
    def born(self, operation: str, array: str) -> NDArray[np.uint32]: ...
    def values(self, operation: str, array: str) -> NDArray[np.float32]: ...
    def writable_values(self, operation: str, array: str) -> NDArray[np.float32]: ...
    def first_moment(self, operation: str, array: str) -> NDArray[np.float32]: ...
    def second_moment(self, operation: str, array: str) -> NDArray[np.float32]: ...
    def set_values(self, operation: str, array: str, values: NDArray[np.float32]) -> None: ...
    def count_ages(self) -> None: ...
    def rewire(self, operation: str, dropped: NDArray[np.int64], grown: NDArray[np.int64]) -> None: ...
    def act(self, x: NDArray[np.float32]) -> NDArray[np.float32]: ...
    def act_squashed(
        self, x: NDArray[np.float32], bit_generator: np.random.BitGenerator | None = None, scale: float = 1.0
    ) -> NDArray[np.float32]: ...
    def predict(self, x: NDArray[np.float32]) -> NDArray[np.float32]: ...

class TargetUpdate:
    def __init__(self, target: Network, online: Network, stale: Sequence[bool] = ()) -> None: ...
    def stale(self) -> list[bool]: ...

class Workspace:
    def __init__(
        self, network: Network, keep: bool = True, batch_statistics: bool = True, keep_gradients: bool = True
    ) -> None: ...
    @property
    def generation(self) -> int: ...
    def output(self) -> NDArray[np.float32]: ...
    def value(self, operation: str) -> NDArray[np.float32]: ...
    def input_gradient(self) -> NDArray[np.float32]: ...
    def gradient(self, operation: str, array: str) -> NDArray[np.float32]: ...
    def dense_gradient(self, operation: str, x: NDArray[np.float32]) -> NDArray[np.float32]: ...
    def update_statistics(self) -> None: ...
    def norm(self) -> float: ...
    def clip(self, limit: float) -> float: ...

class Stream:
    def __init__(self, network: Network) -> None: ...
    def forward(self, x: NDArray[np.float32]) -> None: ...
    def output(self) -> NDArray[np.float32]: ...
    def step(
        self,
        d_out: NDArray[np.float32],
        error: float,
        learning_rate: float,
        kappa: float,
        decay: float,
        reset: bool,
    ) -> float: ...

def count_and_normalise(
    count: int,
    x: NDArray[np.float32],
    mean: NDArray[np.float64],
    variance: NDArray[np.float64],
    epsilon: float,
    out: NDArray[np.float32],
) -> None: ...
def sample_softplus(outputs: NDArray[np.float32], noise: NDArray[np.float32], action: NDArray[np.float32]) -> None: ...
def softplus_gradient(
    outputs: NDArray[np.float32], action: NDArray[np.float32], entropy_weight: float, gradient: NDArray[np.float32]
) -> None: ...

class Product:
    def __init__(self, n_out: int, n_in: int, height: int, places: NDArray[np.int64]) -> None: ...
    def order(self) -> NDArray[np.uint32]: ...
    def forward(
        self,
        threads: int,
        values: NDArray[np.float32],
        bias: NDArray[np.float32] | None,
        x: NDArray[np.float32],
        y: NDArray[np.float32],
        width: int,
    ) -> None: ...
    def backward(
        self,
        threads: int,
        values: NDArray[np.float32],
        x: NDArray[np.float32] | None,
        dy: NDArray[np.float32],
        dx: NDArray[np.float32] | None,
        d_values: NDArray[np.float32] | None,
        d_bias: NDArray[np.float32] | None,
        width: int,
    ) -> None: ...

def forward(
    pool: Pool, workspaces: Sequence[Workspace], x: NDArray[np.float32], samples: int | None = None, parts: int = 1
) -> None: ...
def backward(
    pool: Pool,
    workspaces: Sequence[Workspace],
    x: NDArray[np.float32],
    gradients: Sequence[NDArray[np.float32]],
    parameters: bool = True,
    inputs_from: int = -1,
) -> None: ...
def step(
    pool: Pool,
    workspaces: Sequence[Workspace],
    x: NDArray[np.float32],
    gradients: Sequence[NDArray[np.float32]],
    learning_rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    weight_decay: float,
    decoupled: bool = False,
) -> None: ...
def regress(
    pool: Pool,
    workspaces: Sequence[Workspace],
    x: NDArray[np.float32],
    targets: NDArray[np.float32],
    weights: NDArray[np.float32],
    errors: Sequence[NDArray[np.float32]],
    learning_rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    weight_decay: float,
    decoupled: bool = False,
    samples: int | None = None,
) -> bool: ...
def classify(
    pool: Pool,
    workspaces: Sequence[Workspace],
    x: NDArray[np.float32],
    targets: NDArray[np.float32],
    weights: NDArray[np.float32],
    probability: Sequence[NDArray[np.float32]],
    learning_rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    weight_decay: float,
    decoupled: bool = False,
    samples: int | None = None,
    parts: int = 1,
) -> None: ...
def adam(
    pool: Pool,
    workspaces: Sequence[Workspace],
    learning_rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    weight_decay: float,
    decoupled: bool = False,
) -> None: ...
def observe_units(
    hidden: NDArray[np.float32],
    weights: NDArray[np.float32],
    in_values: NDArray[np.float32],
    in_units: NDArray[np.int32] | None,
    out_values: NDArray[np.float32],
    out_units: NDArray[np.int32] | None,
    decay: float,
    adaptable: bool,
    age: NDArray[np.int64],
    activation: NDArray[np.float64],
    utility: NDArray[np.float64],
) -> None: ...
def update_targets(pool: Pool, updates: Sequence[TargetUpdate], tau: float) -> None: ...
def minimum(
    outputs: Sequence[NDArray[np.float32]],
    factor: float,
    scale: NDArray[np.float32],
    offset: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None: ...
def categorical(
    logits: NDArray[np.float32],
    low: float,
    step: float,
    probability: NDArray[np.float32],
    mean: NDArray[np.float32],
) -> None: ...
def project_categorical(
    probability: NDArray[np.float32],
    low: float,
    step: float,
    offset: NDArray[np.float32],
    scale: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None: ...
def squash(
    raw: NDArray[np.float32],
    out: NDArray[np.float32],
    bit_generator: np.random.BitGenerator | None = None,
    scale: float = 1.0,
    bound: float = 1.0,
) -> None: ...
def sample_squashed_gaussian(
    raw: NDArray[np.float32],
    out: NDArray[np.float32],
    noise: NDArray[np.float32],
    log_probability: NDArray[np.float32],
    bit_generator: np.random.BitGenerator,
) -> None: ...
def squashed_gaussian_gradient(
    raw: NDArray[np.float32],
    squashed: NDArray[np.float32],
    noise: NDArray[np.float32],
    d_squashed: NDArray[np.float32],
    d_log_probability: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None: ...
def normal(bit_generator: np.random.BitGenerator, count: int) -> NDArray[np.float32]: ...
def squash_gradient(squashed: NDArray[np.float32], gradient: NDArray[np.float32]) -> None: ...

"""Worker threads: the same results, and none left behind."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
import warnings

import numpy as np
import pytest
from cases import random_network

from rewirl.nn import Ensemble, Pool, empty_tiles, pack


def train(threads, networks, steps=5):
    """The bits that a few networks end with."""
    rng = np.random.default_rng(0)
    pool = Pool(threads)
    members = [random_network([90, 130, 67, 109, 2], [0.5, None, 0.6, None], rng) for _ in range(networks)]
    ensemble = Ensemble(members, pool)
    for _ in range(steps):
        x = pack(rng.normal(size=(150, 90)).astype(np.float32))
        outputs = ensemble.forward(x)
        inputs = ensemble.backward(x, [output.copy() for output in outputs], inputs_from=17)
        gradients = [of_inputs.tobytes() for of_inputs in inputs]
        ensemble.adam(1e-2, 1e-3)
    pool.close()
    return gradients + [array.tobytes() for member in members for array in member.state()[0].values()]


@pytest.mark.parametrize("networks", [1, 3])
@pytest.mark.parametrize("threads", [2, 3, 5])
def test_results_do_not_depend_on_the_number_of_threads(instruction_set, threads, networks):
    """Threads share the networks of a ensemble, or the layers of a single one."""
    assert train(threads, networks) == train(1, networks)


def fit(threads, networks, outputs):
    """The bits that networks end with whose passes and step are one call, and what they told of the last one."""
    rng = np.random.default_rng(0)
    pool = Pool(threads)
    ensemble = Ensemble([random_network([90, 130, 67, outputs], [0.5, None, 0.6], rng) for _ in range(networks)], pool)
    weights = pack(np.full((150, 1), 1 / 150, np.float32))
    told = [empty_tiles(150, outputs) for _ in range(networks)]
    for _ in range(5):
        x = pack(rng.normal(size=(150, 90)).astype(np.float32))
        targets = pack(rng.dirichlet(np.ones(outputs), 150).astype(np.float32))
        if outputs == 1:
            ensemble.regress(x, targets, weights, told, 1e-2, 1e-3)
        else:
            ensemble.classify(x, targets, weights, told, 1e-2, 1e-3)
    pool.close()
    states = [array.tobytes() for network in ensemble.networks for array in network.state()[0].values()]
    return states + [array.tobytes() for array in told]


@pytest.mark.parametrize("networks", [1, 3])
@pytest.mark.parametrize("outputs", [1, 11])
@pytest.mark.parametrize("threads", [2, 3])
def test_regression_and_classification_do_not_depend_on_the_number_of_threads(
    instruction_set, threads, outputs, networks
):
    assert fit(threads, networks, outputs) == fit(1, networks, outputs)


@pytest.mark.parametrize("outputs", [1, 11])
def test_threads_share_the_layers_of_a_single_network_that_learns(outputs):
    """A batch of two tiles, one each: the second thread computes about as long as the first."""
    rng = np.random.default_rng(0)
    pool = Pool(2)
    ensemble = Ensemble([random_network([256, 512, 512, outputs], [None] * 3, rng)], pool)
    x, told = pack(rng.normal(size=(256, 256)).astype(np.float32)), [empty_tiles(256, outputs)]
    targets, weights = empty_tiles(256, outputs), pack(np.full((256, 1), 1 / 256, np.float32))
    targets[...] = 1 / outputs
    mine, all_threads = time.thread_time(), time.process_time()
    for _ in range(20):
        (ensemble.regress if outputs == 1 else ensemble.classify)(x, targets, weights, told, 1e-3)
    mine, all_threads = time.thread_time() - mine, time.process_time() - all_threads
    pool.close()
    assert all_threads > 1.3 * mine


def test_a_closed_pool_has_no_threads_and_still_works(process_threads):
    before = process_threads.count()
    pool = Pool(4)
    assert pool.threads == 4
    assert process_threads.count() == before + 3
    pool.close()
    assert process_threads.come_to(before)
    assert pool.threads == 1
    pool.close()
    networks = [random_network([3, 2], [None], np.random.default_rng(seed)) for seed in range(2)]
    outputs = Ensemble(networks, pool).forward(pack(np.ones((5, 3), dtype=np.float32)))
    assert all(np.isfinite(output).all() for output in outputs)


def test_a_pool_that_is_forgotten_leaves_no_threads(process_threads):
    before = process_threads.count()
    for _ in range(100):
        Pool(3)
    assert process_threads.come_to(before)


def test_fewer_threads_may_be_used_for_a_while():
    rng = np.random.default_rng(0)
    networks = [random_network([30, 40, 2], [0.5, None], rng) for _ in range(5)]
    x = pack(rng.normal(size=(50, 30)).astype(np.float32))
    pool = Pool(4)
    ensemble = Ensemble(networks, pool)
    expected = [output.copy() for output in ensemble.forward(x)]
    for threads in (1, 4, 2, 3, 1, 2, 4) * 20:
        pool.use(threads)
        assert pool.threads == threads
        for output in ensemble.outputs():
            output[...] = 0
        assert all(np.array_equal(a, b) for a, b in zip(ensemble.forward(x), expected, strict=True))
    for threads in (0, -1, 5):
        with pytest.raises(ValueError, match="the pool has 4 threads"):
            pool.use(threads)
    pool.close()
    assert pool.threads == 1


def test_pools_come_and_go_in_use(process_threads):
    before = process_threads.count()
    networks = [random_network([3, 2], [None], np.random.default_rng(i)) for i in range(4)]
    x = pack(np.ones((5, 3), dtype=np.float32))
    for threads in (2, 3, 4, 8) * 10:
        pool = Pool(threads)
        Ensemble(networks, pool).forward(x)
        pool.close()
    assert process_threads.come_to(before)


def test_one_pool_serves_several_python_threads():
    """Each gets what it would get alone."""
    pool = Pool(3)
    results = {}

    def work(seed):
        rng = np.random.default_rng(seed)
        ensemble = Ensemble([random_network([20, 30, 2], [0.5, None], rng) for _ in range(2)], pool)
        x = pack(rng.normal(size=(40, 20)).astype(np.float32))
        results[seed] = [[output.copy() for output in ensemble.forward(x)] for _ in range(30)]

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    together = dict(results)
    pool.close()
    for seed in range(4):
        work(seed)
        for a, b in zip(together[seed], results[seed], strict=True):
            assert all(np.array_equal(p, q) for p, q in zip(a, b, strict=True))


def test_ensembles_that_share_a_network_and_a_pool_do_not_wait_for_each_other_for_ever():
    """One has the pool and waits for the network, the other has the network and would wait for the pool."""
    rng, pool = np.random.default_rng(0), Pool(2)
    a, b = (random_network([256, 256, 256, 2], [None, None, None], rng) for _ in range(2))
    x = pack(rng.normal(size=(112, 256)).astype(np.float32))

    def learn(ensemble):
        for _ in range(60):
            outputs = ensemble.forward(x)
            ensemble.backward(x, [output.copy() for output in outputs])
            ensemble.adam(1e-3, 0.0)

    threads = [
        threading.Thread(target=learn, args=(ensemble,), daemon=True)
        for ensemble in (Ensemble([a, b], pool), Ensemble([a], pool))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def test_a_pool_may_be_closed_while_another_thread_uses_it():
    rng = np.random.default_rng(0)
    networks = [random_network([30, 200, 2], [0.5, None], rng) for _ in range(4)]
    x = pack(rng.normal(size=(256, 30)).astype(np.float32))
    expected = [output.copy() for output in Ensemble(networks, Pool(1)).forward(x)]
    for _ in range(20):
        pool = Pool(4)
        ensemble = Ensemble(networks, pool)
        started = threading.Event()

        def work(ensemble=ensemble, started=started):
            for _ in range(10):
                ensemble.forward(x)
                started.set()

        worker = threading.Thread(target=work)
        worker.start()
        started.wait()
        pool.close()
        worker.join()
        assert all(np.array_equal(output, goal) for output, goal in zip(ensemble.outputs(), expected, strict=True))


@pytest.mark.parametrize("threads", [0, -1, 257])
def test_impossible_numbers_of_threads_are_refused(threads):
    with pytest.raises(ValueError, match=f"threads must be between 1 and 256, got {threads}"):
        Pool(threads)


def test_a_forked_process_has_no_workers_and_gets_the_same():
    """It computes by itself, and may close or forget a pool whose workers are in another process."""
    rng = np.random.default_rng(0)
    networks = [random_network([30, 40, 2], [0.5, None], rng) for _ in range(3)]
    x = pack(rng.normal(size=(50, 30)).astype(np.float32))
    pool, other = Pool(3), Pool(2)
    ensemble = Ensemble(networks, pool)
    expected = [output.copy() for output in ensemble.forward(x)]
    Ensemble(networks, other).forward(x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python's warning that threads do not fork
        child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.alarm(30)  # rather than hang
            for output in ensemble.outputs():
                output[...] = 0
            pool.use(2)
            found = ensemble.forward(x)
            same = all(np.array_equal(one, goal) for one, goal in zip(found, expected, strict=True))
            pool.close()
            ensemble.forward(x)
            del pool, other, ensemble
            gc.collect()
            own = Pool(2)
            Ensemble(networks, own).forward(x)
            own.close()
            status = 0 if same else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert all(np.array_equal(one, goal) for one, goal in zip(ensemble.forward(x), expected, strict=True))
    pool.close()
    other.close()

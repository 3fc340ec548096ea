"""Workers that meet, exchange, and miss each other: threads of one process, without TensorFlow."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from dseh_tf.devices.cluster import Cluster
from dseh_tf.devices.divided import divided, divided_codes, evaluate_unseen_divided
from dseh_tf.devices.workers import ALONE, Workers
from dseh_tf.errors import InputError
from dseh_tf.retrieval import evaluate, evaluate_unseen
from tests import pairs


def run(count: int, act, timeout: float = 20.0, **options):
    """act(workers) on each of some workers, in threads; results or errors in their order."""
    addresses = tuple(pairs.addresses(count))

    def one(index: int):
        try:
            return act(Workers(Cluster(addresses, index), timeout, **options))
        except InputError as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


@pytest.mark.parametrize("count", [2, 3])
def test_all_get_what_each_has(count):
    def act(workers: Workers):
        found = workers.gather("first", b"x" * workers.index)
        agreed = workers.agree("second", {"index": workers.index})
        workers.finish()
        return found, agreed, workers.chief

    for index, (found, agreed, chief) in enumerate(run(count, act)):
        assert found == [b"x" * i for i in range(count)]
        assert agreed == [{"index": i} for i in range(count)]
        assert chief == (index == 0)


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.uint8])
def test_rows_to_the_same_bits(dtype):
    """Also NaN, -0 and denormal numbers, and parts without a row."""
    whole = np.random.default_rng(0).integers(0, 256, (7, 3, np.dtype(dtype).itemsize), np.uint8).view(dtype)[..., 0]
    cuts = [0, 3, 3, 7]

    def act(workers: Workers):
        found = workers.rows("rows", whole[cuts[workers.index] : cuts[workers.index + 1]])
        workers.finish()
        return found

    for found in run(3, act):
        assert found.dtype == dtype and found.tobytes() == whole.tobytes()


def test_rows_of_different_kinds():
    def act(workers: Workers):
        return workers.rows("counts", np.zeros((2, 3 + workers.index), np.int64))

    first, second = run(2, act)
    assert str(first).endswith('): counts: found ["<i8", [4]], expected ["<i8", [3]] as worker 0')
    assert str(second).endswith('): counts: found ["<i8", [3]], expected ["<i8", [4]] as worker 1')


@pytest.mark.parametrize(("rows", "unit", "count"), [(10, 1, 3), (24, 16, 2), (5, 16, 2), (100, 16, 4), (0, 4, 2)])
def test_shares_are_in_order_and_whole_batches(rows, unit, count):
    workers = [Workers.__new__(Workers) for _ in range(count)]
    shares = []
    for index, worker in enumerate(workers):
        worker.cluster = Cluster(("",) * count, index)
        shares.append(worker.share(rows, unit))
    assert [row for share in shares for row in range(share.start, share.stop)] == list(range(rows))
    assert all(share.start % unit == 0 for share in shares if share.start < share.stop)


@pytest.mark.parametrize("queries", [1, 9])
def test_divided_evaluation_is_that_of_one_process(queries, rng):
    codes = [np.where(rng.random((n, 12)) < 0.5, -1, 1).astype(np.int8) for n in (queries, 60)]
    labels = [(rng.random((n, 4)) < 0.4).astype(np.uint8) for n in (queries, 60)]
    trained = rng.random(60) < 0.5
    expected = evaluate_unseen(*codes, *labels, trained)

    def act(workers: Workers):
        found = evaluate_unseen_divided(workers, *codes, *labels, trained)
        numbers = [(r.map, r.map_at(7), r.counts.relevant.tolist(), r.counts.total.tolist()) for r in found]
        assert found[0].stable_order
        stable = found[0].stable_order().mean()  # not the cached property, which threads of Python 3.11 wait for
        workers.finish()
        return numbers, stable

    for numbers, stable in [*run(2, act), act(ALONE)]:
        assert numbers == [(r.map, r.map_at(7), r.counts.relevant.tolist(), r.counts.total.tolist()) for r in expected]
        assert stable == expected[0].map_stable_order == evaluate(*codes, *labels).map_stable_order


@pytest.mark.parametrize("rows", [1, 20, 64])
def test_divided_rows(rows, rng):
    values, calls = rng.standard_normal((rows, 11)).astype(np.float32), []

    def act(workers: Workers):
        def outputs(part: slice) -> dict[str, np.ndarray]:
            calls.append(len(values[part]))
            return {"double": 2 * values[part], "sum": values[part].sum(axis=1)}

        found = divided(workers, rows, 8, outputs)
        codes = divided_codes(workers, rows, 8, lambda part: np.where(values[part] >= 0, 1, -1).astype(np.int8))
        workers.finish()
        return found, codes

    for found, codes in run(2, act):
        np.testing.assert_array_equal(found["double"], 2 * values)
        np.testing.assert_array_equal(found["sum"], values.sum(axis=1))
        np.testing.assert_array_equal(codes, np.where(values >= 0, 1, -1))
        assert codes.dtype == np.int8
    assert rows == 1 or max(calls) < rows


# Workers that are missed


def test_a_worker_that_does_not_come_is_named():
    addresses = tuple(pairs.addresses(3))
    lines = {}

    def one(index: int) -> None:
        with pytest.raises(InputError) as error:
            Workers(Cluster(addresses, index), timeout=2.0)
        lines[index] = str(error.value)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(one, (0, 1)))
    expected = f"worker 2 ({addresses[2]}) did not connect within 2 s (--worker_timeout)"
    assert lines == {0: expected, 1: expected}


def test_worker_0_does_not_come():
    addresses = tuple(pairs.addresses(2))
    with pytest.raises(InputError) as error:
        Workers(Cluster(addresses, 1), timeout=1.5)
    assert str(error.value).startswith(f"worker 0 ({addresses[0]}) did not connect within 1.5 s (--worker_timeout; ")


def test_another_program_knocks():
    """What is not a worker of this run is not taken for one."""
    addresses = tuple(pairs.addresses(2))
    with ThreadPoolExecutor(2) as pool:
        chief = pool.submit(Workers, Cluster(addresses, 0), 20.0)
        host, port = addresses[0].split(":")
        for _ in range(50):
            try:
                with socket.create_connection((host, int(port))) as stranger:
                    stranger.sendall(b"GET / HTTP/1.1\r\n\r\n" * 4)
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
        other = pool.submit(Workers, Cluster(addresses, 1), 20.0)
        done = [pool.submit(worker.finish) for worker in (chief.result(), other.result())]
        assert [d.result() for d in done] == [None, None]


def test_a_worker_of_another_cluster():
    addresses = tuple(pairs.addresses(2))
    others = (addresses[0], "127.0.0.1:1", addresses[1])
    with ThreadPoolExecutor(2) as pool:
        found = [pool.submit(Workers, Cluster(a, i), 20.0) for a, i in ((addresses, 0), (others, 2))]
        lines = {str(f.exception()) for f in found}
    assert lines == {f"TF_CONFIG: worker 2: found the workers {list(others)}, expected {list(addresses)} as worker 0"}


@pytest.mark.parametrize("first_ends", [True, False])
def test_a_worker_is_started_twice(first_ends):
    """A second start takes the place of one that has ended; two that both wait are an error."""
    addresses = tuple(pairs.addresses(3))
    with ThreadPoolExecutor(3) as pool:
        chief = pool.submit(Workers, Cluster(addresses, 0), 20.0)
        first = pairs.knock(addresses, 1)
        if first_ends:
            first.close()
        time.sleep(0.5)
        # Worker 2 must not complete the three before the second start of worker 1.
        indices = (1, 2) if first_ends else (1,)
        others = [pool.submit(Workers, Cluster(addresses, index), 20.0) for index in indices]
        if first_ends:
            done = [pool.submit(worker.result().finish) for worker in (chief, *others)]
            assert [d.result() for d in done] == [None] * 3
        else:
            line = "TF_CONFIG: task: index: found two processes with 1, expected another in each"
            assert str(chief.exception()) == line
            assert str(others[0].exception()) == line
            first.close()


def test_a_port_that_is_taken(monkeypatch):
    monkeypatch.setattr("dseh_tf.devices.meeting._TAKEN", 0.0)
    addresses = tuple(pairs.addresses(2))
    with socket.create_server(("", int(addresses[0].split(":")[1]))), pytest.raises(InputError) as error:
        Workers(Cluster(addresses, 0), timeout=5.0)
    assert "found Address already in use, expected a free port" in str(error.value)


def silent(workers: Workers, how: str) -> None:
    """The worker ends, or neither reads nor writes any more, as when it is stopped."""
    if how == "ends":
        for connection in workers._peers.values():
            connection.shutdown(socket.SHUT_RDWR)
    workers._closing.set()  # it says nothing itself


@pytest.mark.parametrize(
    ("how", "why"), [("ends", "it has ended"), ("stops", "nothing came from it for 1.5 s")], ids=["ends", "stops"]
)
@pytest.mark.parametrize("gone", [0, 1])
def test_a_worker_is_lost(gone, how, why):
    """All others get the same line, in time: those who wait, and by `lost` those who are in TensorFlow."""
    told: list[str] = []
    over = threading.Barrier(3)

    def act(workers: Workers):
        begun = time.monotonic()
        try:
            workers.agree("all are here", None)  # another may hear of the loss before it has the answer
            if workers.index == gone:
                silent(workers, how)
            else:
                workers.agree("never", None)
        except InputError as error:
            assert time.monotonic() - begun < 6
            return str(error)
        finally:
            over.wait(20)

    silence = 1.5 if how == "stops" else 20.0  # an end is noticed at once, however slow the machine
    found = run(3, act, silence=silence, lost=told.append)
    (line,) = {line for index, line in enumerate(found) if index != gone}
    assert line.startswith(f"worker {gone} (127.0.0.1:")
    assert line.endswith(f" does not answer: {why}; start all workers again, and they resume")
    assert told.count(line) >= 2


def test_an_error_of_one_ends_all():
    def act(workers: Workers):
        if workers.index == 2:
            workers.fail("labels.txt: found 3 lines, expected 4")
            return "itself"
        workers.agree("never", None)

    *others, itself = run(3, act)
    assert itself == "itself"
    for error in others:
        assert str(error).startswith("worker 2 (127.0.0.1:")
        assert str(error).endswith("): labels.txt: found 3 lines, expected 4")


def test_workers_at_different_places():
    def act(workers: Workers):
        workers.agree("here" if workers.chief else "there", None)

    found = run(2, act)
    assert all("found it at 'there', expected 'here' as worker 0" in str(error) for error in found)

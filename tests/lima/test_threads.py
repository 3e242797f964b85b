"""Ranges of work over torch's number of threads."""

import os
import threading

import pytest
import torch

from lima_bench.lima.threads import over


@pytest.fixture(params=[1, 2, 4])
def n_threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("n_tasks", [0, 1, 2, 7, 100])
def test_every_task_is_done_once(n_threads, n_tasks):
    done = []
    over(n_tasks, lambda start, stop: done.extend(range(start, stop)))
    assert sorted(done) == list(range(n_tasks))


def test_threads_work_at_the_same_time(n_threads):
    meeting = threading.Barrier(n_threads, timeout=20)
    over(n_threads, lambda start, stop: [meeting.wait() for _ in range(start, stop)])


def test_errors_come_back(n_threads):
    def fail(start, stop):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        over(4, fail)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*")
def test_a_forked_child_has_threads_of_its_own(n_threads):
    over(8, lambda start, stop: None)
    child = os.fork()
    if child == 0:
        done = []
        over(8, lambda start, stop: done.extend(range(start, stop)))
        os._exit(0 if len(done) == 8 else 1)
    assert os.waitpid(child, 0)[1] == 0

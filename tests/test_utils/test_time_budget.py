import time

import pytest
import torch

from mlore_mm.utils.time_budget import TimeBudget, spent


@spent('model')
def work():
    time.sleep(0.02)


def test_inner_parts_do_not_count_for_outer_ones():
    budget = TimeBudget()
    with budget.running(), budget.part('decode'):
        work()
        time.sleep(0.01)
        with spent('prepare'):
            work()
    work()  # nobody counts
    assert list(budget.seconds) == ['model', 'prepare', 'decode']
    assert budget.seconds['model'] == pytest.approx(0.04, abs=0.02)
    assert budget.seconds['decode'] == pytest.approx(0.01, abs=0.009)
    assert budget.seconds['prepare'] < 0.01


def test_waiting_for_items_is_counted_and_shown():
    def slow():
        for i in range(2):
            time.sleep(0.02)
            yield i

    budget, seen = TimeBudget(), []
    for item in budget.waiting('load', slow()):
        seen.append(item)
        time.sleep(0.05)
    assert seen == [0, 1]
    assert budget.seconds['load'] == pytest.approx(0.04, abs=0.02)
    budget.seconds = dict(load=1.0, model=3.0)
    assert budget.describe(4) == '4.0 s for 4 images: load 1.0 s (25%), model 3.0 s (75%)'


def test_an_error_inside_leaves_the_account_whole():
    budget = TimeBudget()
    with pytest.raises(KeyError), budget.running(), budget.part('a'), spent('b'):
        raise KeyError
    assert list(budget.seconds) == ['b', 'a']
    with spent('c'):
        pass
    assert 'c' not in budget.seconds


def test_the_queue_of_a_gpu_is_waited_for_where_time_is_counted(monkeypatch):
    waited, budget, gpu = [], TimeBudget(), torch.device('cuda', 1)
    monkeypatch.setattr(torch.cuda, 'synchronize', waited.append)
    with budget.running():
        for device in (None, torch.device('cpu'), gpu):
            with spent('model', device):
                assert waited == []  # at the end only
    with spent('model', gpu):  # nobody counts
        pass
    assert waited == [gpu]


def test_nested_parts_by_a_clock_of_our_own(monkeypatch):
    clock = iter([0.0, 1.0, 4.0, 10.0, 20.0, 21.5])
    monkeypatch.setattr(time, 'perf_counter', lambda: next(clock))
    budget = TimeBudget()
    with budget.running():
        with spent('outer'), spent('inner'):  # 0 to 10, of which 1 to 4 is inside
            pass
        with spent('outer'):
            pass
    assert budget.seconds == dict(inner=3, outer=7 + 1.5)
    assert TimeBudget().describe(0) == '0.0 s for 0 images: '

import torch

from mlore_mm.routing import record_routing, trace_routing

GATES = torch.ones(1, 2)


def test_records_go_to_the_innermost_open_trace():
    record_routing('nowhere', 'semseg', GATES, GATES)
    with trace_routing() as outer:
        record_routing('a', 'semseg', GATES, GATES)
        with trace_routing() as inner:
            record_routing('b', 'depth', GATES, GATES)
        record_routing('a', 'depth', GATES, GATES)
    record_routing('nowhere', 'semseg', GATES, GATES)
    assert [(r.layer, r.task) for r in outer.records] == [('a', 'semseg'), ('a', 'depth')]
    assert list(inner.by_layer()) == ['b']
    assert [r.task for r in outer.by_layer()['a']] == ['semseg', 'depth']


def test_a_trace_ends_with_an_error_too():
    try:
        with trace_routing() as trace:
            raise RuntimeError
    except RuntimeError:
        pass
    record_routing('late', 'semseg', GATES, GATES)
    assert trace.records == []

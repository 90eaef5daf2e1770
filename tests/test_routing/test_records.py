import pytest
import torch

from mlore_mm.routing import RouterRecord, RouterTrace, record_routing, task_context, trace_routing
from mlore_mm.routing.records import check_records

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


def test_records_per_image_and_per_token():
    with trace_routing() as trace:
        record_routing('a', 'depth', torch.rand(2, 4), torch.rand(2, 4), noise_std=0.5)
        record_routing('b', 'depth', torch.rand(2, 5, 4), torch.rand(2, 5, 4), experts=torch.ones(2, 5, 3))
    image, token = trace.records
    assert (image.images, image.per_token) == (2, False)
    assert (token.images, token.per_token) == (2, True)
    assert image.flat_gates.shape == (2, 4)
    assert token.flat_gates.shape == token.flat_probabilities.shape == (10, 4)
    assert token.flat_experts.shape == (10, 3)
    assert torch.equal(token.flat_gates[7], token.gates[1, 2])
    assert torch.equal(image.flat_noise_std, torch.full((2, 4), 0.5))
    assert image.flat_logits is image.flat_noisy_logits is token.flat_noise_std is None


def test_tasks_have_names():
    """A router in an encoder knows no task; the call it runs in does."""
    record = torch.rand(3, 2, 5, 4)
    with trace_routing() as trace:
        record_routing('a', None, record[0], record[0])
        with task_context(['depth']):
            record_routing('a', None, record[0], record[0])
            record_routing('a', None, record[:1], record[:1])  # the folded call for a single task
            record_routing('a', 'mine', record[0], record[0])
        with task_context(['semseg', 'depth', 'edge']):
            record_routing('a', None, record, record, noise_std=2.0, experts=record[..., :2])
    names = ['*', 'depth', 'depth', 'mine', 'semseg', 'depth', 'edge']
    assert [r.task for r in trace.records] == names
    assert {r.gates.shape for r in trace.records} == {(2, 5, 4)}
    assert torch.equal(trace.records[5].gates, record[1])
    assert torch.equal(trace.records[5].experts, record[1, ..., :2])
    assert trace.records[5].noise_std == 2.0


def test_a_folded_call_has_an_axis_of_tasks():
    with (
        trace_routing(),
        task_context(['semseg', 'depth']),
        pytest.raises(ValueError, match=r"layer 'a' .* \(3, 4, 5\) .*\['semseg', 'depth'\]"),
    ):
        record_routing('a', None, torch.rand(3, 4, 5), torch.rand(3, 4, 5))


def test_folded_gates_per_image():
    """(T, B, N) of two tasks; an axis that is missing is named."""
    record = torch.rand(2, 3, 4)
    with trace_routing() as trace, task_context(['semseg', 'depth']):
        record_routing('a', None, record, record, noise_std=torch.tensor(2.0), logits=record)
        with pytest.raises(ValueError, match=r'\(2, 4\) in a call for the tasks'):
            record_routing('a', None, record[:, 0], record[:, 0])
    assert [r.images for r in trace.records] == [3, 3]
    assert torch.equal(trace.records[1].logits, record[1])
    assert trace.records[0].noise_std == 2  # a number has no axis
    assert torch.equal(trace.records[0].flat_noise_std, torch.full((3, 4), 2.0))


def test_a_context_ends_with_an_error_too():
    with trace_routing() as trace:
        with pytest.raises(RuntimeError), task_context('depth'):
            raise RuntimeError
        record_routing('a', None, GATES, GATES)
        with task_context('depth'):
            record_routing('a', None, GATES, GATES)
    assert [r.task for r in trace.records] == ['*', 'depth']


def test_what_experts_were_chosen_by():
    noisy = torch.rand(1, 2)
    with trace_routing() as trace:
        record_routing('a', 'depth', GATES, GATES, logits=GATES, noisy_logits=noisy)
        record_routing('a', 'depth', GATES, GATES, logits=GATES)
    assert torch.equal(trace.records[0].flat_noisy_logits, noisy)
    assert torch.equal(trace.records[1].flat_noisy_logits, GATES)
    assert trace.records[1].flat_experts is None


def test_a_loss_of_nothing_is_named():
    check_records(trace=RouterTrace([RouterRecord('a', 'depth', GATES, GATES)]), loss='X')
    for trace in (None, RouterTrace()):
        with pytest.raises(ValueError, match='^X found no router record'):
            check_records(trace, 'X')

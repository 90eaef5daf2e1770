import pytest
import torch
from torch.testing import assert_close

from mlore_mm.models.losses import ImportanceLoadLoss
from mlore_mm.routing import RouterRecord, RouterTrace, TopKGate, trace_routing


def test_by_hand():
    """Importance (1.5, 0.5, 0): mean 2/3, variance 7/12. Load (2, 1, 0): mean 1, variance 1."""
    gates = torch.tensor([[[1.0, 0, 0], [0.5, 0.5, 0]]])
    trace = RouterTrace([RouterRecord('a', 'depth', gates, gates)])
    assert_close(ImportanceLoadLoss(loss_weight=2.0)(trace), torch.tensor(2 * ((7 / 12) / (4 / 9) + 1)))


def test_every_layer_and_task_counts_by_itself():
    one, other = torch.tensor([[1.0, 0]]), torch.tensor([[0, 1.0]])
    apart = RouterTrace([RouterRecord('a', task, x, x) for task, x in (('depth', one), ('edge', other))])
    assert ImportanceLoadLoss(1.0)(apart).item() == pytest.approx(8)  # together they would be even


def test_expected_load_is_what_new_noise_gives_on_average():
    """For each expert: how often it is among the k best if its own noise is drawn anew."""
    torch.manual_seed(0)
    gate, logits = TopKGate(top_k=2, noise=2.0, noise_per_expert=True).train(), torch.randn(1, 3, 4).double()
    with trace_routing() as trace:
        routing = gate(logits)
        routing.record('a', 'depth')
    load = ImportanceLoadLoss().load(trace.records[0])
    wanted, draws = torch.zeros(4).double(), 20_000
    for expert in range(4):
        noisy = routing.noisy_logits.expand(draws, 3, 4).clone()
        noisy[..., expert] = logits[..., expert] + 0.5 * torch.randn(draws, 3).double()
        wanted[expert] = (noisy.topk(2, dim=-1).indices == expert).any(dim=-1).double().mean(dim=0).sum()
    assert_close(load, wanted, atol=0.02, rtol=0)
    assert not torch.allclose(ImportanceLoadLoss(legacy_load=True).load(trace.records[0]), wanted, atol=0.02)


def test_a_model_that_does_not_route_is_named():
    with pytest.raises(ValueError, match='no router record'):
        ImportanceLoadLoss()(RouterTrace())


def test_without_noise_tokens_are_counted_by_their_gates():
    gates = torch.tensor([[0.5, 0.5, 0.0], [0.6, 0.0, 0.4]])
    record = RouterRecord('a', 'depth', gates, gates)
    assert ImportanceLoadLoss().load(record).tolist() == [2, 1, 1]
    # importance (1.1, 0.5, 0.4): mean 2/3, variance 0.1433..; load: mean 4/3, variance 1/3
    wanted = (0.43 / 3) / (4 / 9) + (1 / 3) / (16 / 9)
    assert ImportanceLoadLoss(1.0).of_record(record).item() == pytest.approx(wanted)


def test_where_all_experts_are_chosen_noise_does_not_matter():
    gates = torch.tensor([[0.5, 0.5], [0.4, 0.6]])
    record = RouterRecord('a', 'depth', gates, gates, noise_std=torch.ones(2, 2))
    assert ImportanceLoadLoss().load(record).tolist() == [2, 2]

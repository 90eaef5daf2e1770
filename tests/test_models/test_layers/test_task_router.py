from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from mlore_mm.models.layers import TaskRouter
from tests.mlore_models import randomise

TASKS = ('semseg', 'depth')


def make_router(**gate):
    router = TaskRouter(TASKS, 8, 5, (4, 6), dict(dict(top_k=2), **gate)).eval()
    randomise(router)
    return router


def test_a_subset_of_tasks_routes_the_same():
    router, u = make_router(), torch.randn(2, 3, 8, 4, 6)
    both, m = router(u, TASKS)
    one, m_one = router(u[1:], ('depth',))
    assert_close(one.gates[0], both.gates[1])
    assert_close(m_one[0], m[1])


def test_pixels_matter_where_the_channels_do_not():
    """Shuffling pixels leaves the mean over pixels alone, so what changes comes from the pixel weights."""
    router, u = make_router(top_k=5), torch.randn(2, 3, 8, 4, 6)
    shuffled = u.flatten(3)[..., torch.randperm(24)].view_as(u)
    assert_close(router._channel_features(u, TASKS), router._channel_features(shuffled, TASKS))
    before, after = router(u, TASKS)[0].gates, router(shuffled, TASKS)[0].gates
    assert (before - after).abs().max() > 1e-3
    for linear in router.pixel_weight.values():
        torch.nn.init.constant_(linear.weight, 0.1)  # now all pixels count alike
    assert_close(router(u, TASKS)[0].gates, router(shuffled, TASKS)[0].gates)


def test_other_sizes_resample_the_pixel_weights():
    """An image twice as large with every pixel doubled routes as before, where the pixel weights are flat enough."""
    router, u = make_router(top_k=5), torch.randn(2, 3, 8, 4, 6)
    for linear in router.pixel_weight.values():
        torch.nn.init.constant_(linear.weight, 0.1)
    double = u.repeat_interleave(2, -1).repeat_interleave(2, -2)
    assert_close(router(double, TASKS)[0].gates, router(u, TASKS)[0].gates)
    assert router._resampled_pixel_weight((3, 5), TASKS).shape == (2, 15)


def test_routing_is_fp32_under_autocast():
    router, u = make_router(), torch.randn(2, 3, 8, 4, 6)
    wanted = router(u.bfloat16().float(), TASKS)[0].gates
    with torch.autocast('cpu', dtype=torch.bfloat16):
        gates = router(u.bfloat16(), TASKS)[0].gates
    assert gates.dtype == torch.float32
    assert_close(gates, wanted)


def test_width_has_to_be_divisible_by_four():
    with pytest.raises(ValueError, match='divisible by 4, but got 10'):
        TaskRouter(TASKS, 10, 5, (4, 6), dict(top_k=2))


def test_noise_of_the_network_s_own_deviations():
    """Over many draws of the same features: mean and deviation of the noisy logits are what the network predicts."""
    router, draws = make_router(top_k=5), 20_000
    u = torch.randn(1, 1, 8, 4, 6)
    clean = router(u, ['depth'])[0].probabilities.log()[0, 0]
    logits, sigmas = router.logits['depth'], []
    for i in range(5):  # the last output is read out as the factor m: let it be one deviation after the other
        probe = deepcopy(router)
        probe.logits['depth'].weight.data[10] = logits.weight.data[5 + i]
        probe.logits['depth'].bias.data[10] = logits.bias.data[5 + i]
        sigmas.append(probe(u, ['depth'])[1].item())
    sigma = torch.tensor(sigmas)
    assert sigma.min() < 0 < sigma.max()
    router.train()
    noisy = router(u.expand(1, draws, 8, 4, 6), ['depth'])[0].probabilities.log()[0].detach()
    pairs = noisy[:, 1:] - noisy[:, :1]  # a softmax forgets what all logits share
    assert_close(pairs.mean(dim=0), (clean[1:] - clean[:1]).detach(), atol=0.04, rtol=0)
    assert_close(pairs.std(dim=0), (sigma[1:] ** 2 + sigma[0] ** 2).sqrt(), atol=0.02, rtol=0.02)


@pytest.mark.parametrize('size', [(3, 5), (8, 12)])
def test_pixel_weights_are_resampled_bilinearly_and_keep_their_sum(size):
    router = make_router()
    weight = router.pixel_weight['depth'].weight.view(1, 1, 4, 6)
    wanted = (
        F.interpolate(weight, size=size, mode='bilinear', align_corners=False).flatten(1) * 24 / (size[0] * size[1])
    )
    assert_close(router._resampled_pixel_weight(size, ['depth']), wanted)


def test_spread_of_initial_weights():
    router = TaskRouter(['a'], 8, 5, (16, 40), dict(top_k=2))
    router.init_weights()
    assert router.pixel_weight['a'].weight.std().item() == pytest.approx(0.02, rel=0.15)

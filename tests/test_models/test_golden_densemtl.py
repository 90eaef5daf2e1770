"""DenseMTL, PAD-Net+ and DeepLab against the numbers of the published implementation."""

import pytest
import torch

from mlore_mm.models.layers import ASPP, CrossTaskExchange
from mlore_mm.registry import MODELS
from tests.golden_densemtl import NAMES, Golden, run


@pytest.mark.parametrize('dtype', [torch.float64, torch.float32], ids=['fp64', 'fp32'])
@pytest.mark.parametrize('name', NAMES)
def test_every_number(name, dtype):
    rows = list(run(Golden(name, dtype)))
    assert len(rows) > 50
    wrong = [f'{what}: {off:.2e} above {tolerance:.0e}' for what, off, tolerance in rows if not off <= tolerance]
    assert not wrong, '\n'.join(wrong)


@pytest.mark.parametrize('name', ['nyud_sdne', 'outdoor_sdn', 'outdoor_sd'])
def test_inside_of_a_pair(name):
    golden = Golden(name)
    exchange: CrossTaskExchange = golden.parts().eval()['decode_head'].exchanges['1']
    wanted = {
        key: value.double() if torch.is_tensor(value) else value
        for key, value in golden.expected['eval_intermediates'].items()
    }
    features = {task: x.double() for task, x in wanted['exchange_in'].items()}
    source, target = golden.meta['probe_pair']
    pair = exchange.pairs[target][source]
    with torch.no_grad():
        extracted = pair.extract(features[source]).relu()
        query, key, _ = pair.correlation.project(features[target], extracted)
        found = dict(
            extracted=extracted,
            self_attention_out=pair.self_attention(extracted),
            attention_rows_target_cols_source=pair.correlation.weights(query, key),
            correlation_out=pair.correlation(features[target], extracted),
            directional_feature=pair(features[target], features[source]),
        )
        found['correlation_out'] = found['correlation_out'].repeat_interleave(4, 2).repeat_interleave(4, 3)
        plain = pair.correlation.plain(features[target], extracted).repeat_interleave(4, 2).repeat_interleave(4, 3)
        torch.testing.assert_close(plain, wanted['correlation_out'], rtol=1e-6, atol=1e-6)
        exchanged = exchange(features, list(golden.tasks))
    for part, value in found.items():
        torch.testing.assert_close(value, wanted[part], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(
        exchanged, {t: x.double() for t, x in wanted['exchange_out'].items()}, rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize('deep_stem', [False, True])
def test_levels_of_the_encoder(deep_stem):
    """The stem's map always comes first, then the chosen stages."""
    options = dict(depth=18, stem_channels=4, base_channels=6, out_indices=(1, 3), deep_stem=deep_stem)
    encoder = MODELS.build(dict(type='StemResNet', **options))
    encoder.eval()  # not chained: mmseg's returns nothing
    maps = encoder(torch.randn(1, 3, 64, 96))
    assert encoder.level_channels == [4, 12, 48]
    assert [tuple(x.shape[1:]) for x in maps] == [(4, 32, 48), (12, 8, 12), (48, 2, 3)]
    assert (maps[0] >= 0).all()


def test_fields_of_view():
    """A pixel is seen at its own place, at each dilation, and by the mean; dropout comes last."""
    aspp = ASPP(1, 1, dilations=(2, 3), dropout=1.0).eval()
    for module in aspp.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.ones_(module.weight)
    x = torch.zeros(1, 1, 9, 9)
    x[..., 4, 4] = 81
    y = aspp(x)[0, 0] / (1 + 1e-5)  # twice through norms at their start
    expected = torch.ones(9, 9)
    for step in (2, 3):
        expected[4 - step :: step, 4 - step :: step][:3, :3] += 81
    expected[4, 4] += 81
    torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-4)
    assert aspp.train()(torch.cat([x, x])).abs().max() == 0

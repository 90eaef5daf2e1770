"""DenseMTL, PAD-Net+ and DeepLab against the numbers of the published implementation."""

import pytest
import torch

from mlore_mm.models.layers import CrossTaskExchange
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

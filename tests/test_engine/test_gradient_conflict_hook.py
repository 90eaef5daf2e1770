import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from torch import nn

from mlore_mm.engine.hooks.gradient_conflict_hook import GradientConflictHook, gradient_conflicts
from mlore_mm.models.data_preprocessor import MultiTaskDataPreprocessor
from mlore_mm.models.encoded_images import EncodedImages
from mlore_mm.registry import RUNNERS
from tests.tiny import SINGLE_STAGE, TRAINING, write_rooms, write_tiny


class Sample:
    def to(self, device):
        return self


class Toy(nn.Module):
    """Losses that are linear in the features, so that the gradients are known."""

    def __init__(self, directions) -> None:
        super().__init__()
        self.backbone, self.frozen_backbone = nn.Identity(), False
        self.backbone.register_forward_hook(lambda module, args, out: (out, out[:, :1]))
        self.data_preprocessor = MultiTaskDataPreprocessor(mean=(0, 0, 0), std=(1, 1, 1))
        self.directions, self.tasks = directions, list(directions)
        self.criterion = SimpleNamespace(average='batch')

    def loss(self, inputs, samples):
        feats = self.backbone(inputs)
        assert not self.training
        assert self.criterion.average == 'process', 'the other processes would be waited for'
        first = feats[0][0, :, 0, 0]
        losses = {f'loss_{name}': (first * torch.tensor(d)).sum() for name, d in self.directions.items()}
        losses['loss_second_level'] = feats[1].sum()
        return losses


BATCH = dict(inputs=[torch.zeros(3, 2, 2, dtype=torch.uint8)], data_samples=[Sample()])


def test_cosines_by_hand():
    model = Toy(dict(a=[3.0, 0.0, 0.0], b=[3.0, 4.0, 0.0], c=[-2.0, 0.0, 0.0], d=[0.0, 0.0, 0.0])).train()
    names, norms, cosines = gradient_conflicts(model, BATCH)
    assert names == ['a', 'b', 'c', 'd']
    assert norms == pytest.approx([3, 5, 2, 0])
    expected = [[1, 0.6, -1, 0], [0.6, 1, -0.6, 0], [-1, -0.6, 1, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(cosines, expected, atol=1e-12)
    assert model.criterion.average == 'batch'
    assert (model.training, model.frozen_backbone, len(model.backbone._forward_hooks)) == (True, False, 1)


def test_an_encoder_per_task_has_no_shared_features():
    model = Toy(dict(a=[1.0, 0.0, 0.0]))
    model.backbone.task_conditioned = True
    with pytest.raises(ValueError, match='no shared features'):
        gradient_conflicts(model, BATCH)


def test_training_is_not_touched(tmp_path):
    config = write_tiny(tmp_path, data=write_rooms(tmp_path / 'NYUDv2'), more=TRAINING + SINGLE_STAGE)[0]
    weights = []
    for folder, hooks in (('a', [dict(type='GradientConflictHook', interval=2)]), ('b', [])):
        cfg = Config.fromfile(config)
        cfg.work_dir, cfg.custom_hooks = str(tmp_path / folder), hooks
        weights.append(RUNNERS.build(cfg).train().state_dict())
    for one, other in zip(*(x.values() for x in weights), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    lines = [json.loads(x) for path in (tmp_path / 'a').rglob('scalars.json') for x in path.read_text().splitlines()]
    written = [line for line in lines if 'gradients/norm_depth' in line]
    assert [line['step'] for line in written] == [2, 4]
    assert -1 <= written[0]['gradients/cos_semseg_depth'] <= 1
    assert written[0]['gradients/norm_sal'] == 0  # no image has a label
    assert {path.name for path in (tmp_path / 'a').rglob('vis_image/*.png')} == {'gradients_2.png', 'gradients_4.png'}


def test_an_interval_counts_from_one():
    with pytest.raises(ValueError, match='interval >= 1, but got 0'):
        GradientConflictHook(interval=0)
    assert GradientConflictHook(interval=1).interval == 1


class Stored(Toy):
    """Features come out of a store, and losses from them."""

    def __init__(self) -> None:
        super().__init__(dict(a=[3.0, 4.0]))
        del self.data_preprocessor
        self.data_preprocessor = lambda data, training: dict(
            inputs=EncodedImages.stack([[data['features']]], (1, 3, 4, 4), 'cpu')
        )

    def loss(self, inputs, samples):
        first = inputs.features.shared[0][0, :, 0, 0]
        return dict(loss_a=(first * torch.tensor(self.directions['a'])).sum())


def test_gradients_at_stored_features():
    names, norms, cosines = gradient_conflicts(Stored(), dict(features=torch.zeros(2, 1, 1), data_samples=[Sample()]))
    assert (names, norms.tolist(), cosines.tolist()) == (['a'], [5.0], [[pytest.approx(1)]])

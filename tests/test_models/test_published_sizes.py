"""Numbers of parameters of the published configurations, counted without memory on the meta device."""

import pytest
import torch
from mmengine.config import Config

from mlore_mm.registry import MODELS
from mlore_mm.tasks import bind_tasks
from tests.shared import REPO

PUBLISHED = {
    'mlore_vitl_pascal': (407_690_406, 304_148_480),
    'mlore_vitb_pascal': (259_132_406, 86_433_792),
    'mlore_vits_pascal': (42_176_918, 21_983_232),
}


def build(name: str, semseg: int | None = None):
    config = Config.fromfile(REPO / 'configs' / 'mlore' / f'{name}.py')
    if semseg:
        config.tasks.semseg.update(out_channels=semseg, classes=(), palette=())
    with torch.device('meta'):
        return MODELS.build(bind_tasks(config).model)


def count(module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize('name', PUBLISHED)
def test_published_numbers_of_parameters(name):
    model = build(name)
    assert (count(model), count(model.backbone)) == PUBLISHED[name]


def test_nyud_was_counted_with_the_classes_of_pascal():
    """The published number is met with 21 classes; with NYUD-v2's 40, which the model needs, there are 19 more rows."""
    assert count(build('mlore_vitl_nyud', semseg=21)) == 551_610_922
    model = build('mlore_vitl_nyud')
    assert count(model) == 551_610_922 + 19 * (768 + 1)
    assert count(model.backbone) == 304_132_096

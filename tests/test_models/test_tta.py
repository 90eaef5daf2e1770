import torch
from torch.testing import assert_close

from mlore_mm.registry import MODELS
from mlore_mm.structures import MultiTaskDataSample
from tests.test_models.test_multi_task_encoder_decoder import build


def test_views_are_averaged_in_the_original_frame():
    """Scores of a view, its mirror image and its enlargement; depth and normals follow the view."""
    model = build(data_preprocessor=dict(type='MultiTaskDataPreprocessor')).eval()
    tta = MODELS.build(dict(type='MultiTaskTTAModel', module=model))
    image = torch.randint(0, 255, (3, 16, 24), dtype=torch.uint8)
    metas = [
        dict(ori_shape=(16, 24)),
        dict(ori_shape=(16, 24), flip=True, flip_direction='horizontal'),
        dict(ori_shape=(16, 24), scale_factor=(2.0, 2.0)),
    ]
    larger = image.repeat_interleave(2, 1).repeat_interleave(2, 2)
    views = [image, image.flip(-1), larger]
    data = dict(
        inputs=[x[None] for x in views],
        data_samples=[[MultiTaskDataSample(metainfo=meta)] for meta in metas],
    )
    (sample,) = tta.test_step(data)

    scores = []
    for view, meta in zip(views, metas, strict=True):
        batch = model.data_preprocessor(dict(inputs=[view], data_samples=[MultiTaskDataSample(metainfo=meta)]))
        with torch.no_grad():
            scores.append(model.predict_scores(batch['inputs'], batch['data_samples'])[0])
    for name, task in model.tasks.items():
        mean = sum(score[name] for score in scores) / 3
        assert_close(sample.pred.get(name).float(), task.finalize(mean).float())
    assert_close(sample.pred.normals.norm(dim=0), torch.ones(16, 24))
    depth = model.inference(model.data_preprocessor(dict(inputs=[larger]))['inputs'], ['depth'])['depth']
    assert_close(scores[2]['depth'].mean(), 2 * depth.clamp(min=0).mean(), atol=0.1, rtol=0.1)

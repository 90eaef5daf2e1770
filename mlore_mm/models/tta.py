"""Test-time augmentation for every task."""

import torch
from mmengine.model import BaseTTAModel
from mmengine.structures import PixelData

from mlore_mm.registry import MODELS
from mlore_mm.utils.unwrap import bare_model


@MODELS.register_module()
class MultiTaskTTAModel(BaseTTAModel):
    """Averages each task's scores over flips and scales, brought back to the original image, then decodes.

    Scores are probabilities for class maps, saliency and boundaries, unit vectors (normalised again after the mean) for
    normals, metres for depth. A mirrored view has its normals' x component turned back, an enlarged view its depth
    multiplied by the scale.
    """

    @torch.no_grad()
    def test_step(self, data: dict) -> list:
        """``data`` holds a list per image over the augmentations, as mmcv's ``TestTimeAug`` packs it."""
        model = bare_model(self.module)
        views = [dict(zip(data, values, strict=True)) for values in zip(*data.values(), strict=True)]
        scores, samples = [], None
        for view in views:
            view = model.data_preprocessor(view, False)
            samples = samples or view['data_samples']
            scores.append(model.predict_scores(view['inputs'], view['data_samples']))
        return self.merge_preds(list(zip(samples, zip(*scores, strict=True), strict=True)))

    def merge_preds(self, data_samples_list: list) -> list:
        """Pairs of a data sample and its views' scores to samples with ``pred``."""
        tasks = bare_model(self.module).tasks
        for sample, views in data_samples_list:
            mean = {name: torch.stack([view[name] for view in views]).mean(dim=0) for name in views[0]}
            sample.pred = PixelData(**{name: tasks[name].finalize(x) for name, x in mean.items()})
        return [sample for sample, _ in data_samples_list]

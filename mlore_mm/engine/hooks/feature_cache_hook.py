"""Looks whether stored features are those of the model's encoder."""

from mmengine.hooks import Hook

from mlore_mm.datasets import CachedFeaturesDataset
from mlore_mm.engine.feature_cache import encoder_recipe
from mlore_mm.registry import HOOKS
from mlore_mm.utils.feature_store import FeatureStore, FeatureStoreError, differences, refusal
from mlore_mm.utils.unwrap import bare_model

KEPT = 'feature_cache'  # in `meta` of a checkpoint


@HOOKS.register_module()
class FeatureCacheHook(Hook):
    """Compares the encoder, its weights and the normalisation with what made the store, before anything is computed.

    A checkpoint keeps how many augmentations the training draws from: to go on with another number would be another
    training.

    Raises:
        FeatureStoreError: They differ, saying where.
    """

    priority = 'LOW'  # after what loads weights

    def __init__(self) -> None:
        self._recipe: dict | None = None
        self._kept: dict | None = None

    def before_train(self, runner) -> None:
        dataset = runner.train_dataloader.dataset
        self._check(runner, dataset)
        drawn = dataset.augmentations
        kept = (self._kept or {}).get('augmentations', drawn)
        if runner.iter > 0 and kept != drawn:
            raise FeatureStoreError(
                f'This training drew from {kept} augmentations per image, and would now draw from {drawn}: set '
                f'feature_cache.augmentations={kept} to go on as it began.'
            )

    def before_val(self, runner) -> None:
        self._check(runner, runner.val_dataloader.dataset)

    def before_test(self, runner) -> None:
        self._check(runner, runner.test_dataloader.dataset)

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        self._kept = checkpoint.get('meta', {}).get(KEPT)

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        dataset = runner.train_dataloader.dataset
        if isinstance(dataset, CachedFeaturesDataset):
            checkpoint.setdefault('meta', {})[KEPT] = dict(augmentations=dataset.augmentations)

    def _check(self, runner, dataset) -> None:
        store: FeatureStore | None = getattr(dataset, 'store', None)
        if not isinstance(dataset, CachedFeaturesDataset) or store is None:
            return
        if self._recipe is None:  # a frozen encoder stays what it is
            self._recipe = encoder_recipe(runner.model, runner.cfg.model.backbone)
        problems = differences(store.recipe.get('encoder'), self._recipe, 'encoder')
        if problems:
            raise FeatureStoreError(refusal(store.folder, problems))
        assert bare_model(runner.model).frozen_backbone

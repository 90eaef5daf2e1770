"""Makes the random numbers of a training step follow from its number."""

from mmengine.dist import get_rank
from mmengine.hooks import Hook

from mlore_mm.registry import HOOKS
from mlore_mm.utils.seeding import derive_seed, seed_all


@HOOKS.register_module()
class SeedHook(Hook):
    """Seeds every iteration from the seed of the training, the iteration and the process.

    Routing noise, dropout and stochastic depth are then the same after an interruption as without one, whatever ran in
    between, and no state of a generator has to be kept. A training whose config gives no seed draws one; it is stored
    in the checkpoint, and the order of the samples goes on with it (mmengine would go on with a new one).
    """

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self.seed: int | None = None
        self._stored: int | None = None

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        self._stored = checkpoint.get('meta', {}).get('data_seed')

    def before_train(self, runner) -> None:
        sampler = runner.train_dataloader.sampler
        if runner.iter > 0 and self._stored is not None and hasattr(sampler, 'seed'):
            sampler.seed = self._stored
        self.seed = getattr(sampler, 'seed', None)
        if self.seed is None:
            self.seed = runner.seed

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        self.seed_iteration(runner.iter)

    def seed_iteration(self, iteration: int) -> None:
        """Set the generators to where they stand at the start of an iteration."""
        seed_all(derive_seed(self.seed, 2, iteration, get_rank()))

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        if self.seed is not None:
            checkpoint.setdefault('meta', {})['data_seed'] = self.seed

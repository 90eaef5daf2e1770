"""A checkpoint hook that writes atomically and never leaves a training without a valid checkpoint."""

import hashlib
from pathlib import Path

from mmengine.dist import is_main_process, master_only
from mmengine.hooks import CheckpointHook
from mmengine.runner import EpochBasedTrainLoop

from mlore_mm.engine.checkpoints import (
    KeepingBackend,
    checkpoint_bytes,
    leave_out_frozen,
    put_back_frozen,
    read_checkpoint,
)
from mlore_mm.engine.checkpoints.files import LAST
from mlore_mm.engine.checkpoints.own_files import OwnFiles, describe, same_folder
from mlore_mm.engine.whole_points import step_is_whole
from mlore_mm.registry import HOOKS
from mlore_mm.utils.whole_files import remove_partial, write_whole

_VALIDATED = 'last_validation'  # the file that names the iteration of the last complete validation


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """mmengine's CheckpointHook, with these differences.

    - Files are written atomically (to a temporary name, then renamed), ``last_checkpoint`` and the best checkpoint
      included. Old checkpoints are deleted afterwards; mmengine deletes first, and with ``max_keep_ckpts=1`` a killed
      training would have no checkpoint left.
    - Deletions that a killed training still had to do are done when it is resumed.
    - Only checkpoints that this run wrote are deleted: those in its folder that match its file name template. Paths
      stored in a checkpoint are not trusted: a training resumed in another folder leaves the first folder as it is.
    - Published checkpoints (``published_keys``) are written atomically as well. The eight characters in the file name
      are the beginning of the file's SHA-256, which ``torch.hub`` verifies after a download.
    - With gradient accumulation a checkpoint that is due between two updates of the weights is written at the next
      update (``by_epoch``: at the end of the next epoch that ends with one), so that resuming is exact.
    - A validation that was interrupted is repeated on resuming. mmengine skips it, even where it was the final one.

    Folders that are not on a disk (``s3://`` and the like) are written to as in mmengine.

    Args:
        published_suffix: '.pth', or '.safetensors' for the weights and what JSON can say of ``meta``.
        save_trainable_only: Leave a frozen encoder out of the files. It comes back from the config's ``init_cfg`` when
            they are loaded, and has to be the same one.
        options: As of mmengine's CheckpointHook.
    """

    def __init__(self, *args, published_suffix: str = '.pth', save_trainable_only: bool = False, **options) -> None:
        super().__init__(*args, **options)
        self.save_trainable_only = save_trainable_only
        if self.interval == 0:
            raise ValueError('interval is 0, expected 1 or more, or -1 for no checkpoints but the last and the best.')
        if self.max_keep_ckpts == 0:
            raise ValueError('max_keep_ckpts is 0, expected 1 or more, or -1 to keep all.')
        if published_suffix not in ('.pth', '.safetensors'):
            raise ValueError(f"published_suffix is '.pth' or '.safetensors', but got {published_suffix!r}.")
        if published_suffix == '.safetensors' and 'state_dict' not in (self.published_keys or ['state_dict']):
            raise ValueError("'.safetensors' holds weights, so published_keys needs 'state_dict'.")
        self.published_suffix = published_suffix

    saved_step: int | None = None
    _postponed = False

    # ---- start -------------------------------------------------------------------------------------------------
    def before_train(self, runner) -> None:
        if '://' not in str(self.out_dir or runner.work_dir) and not (self.file_client_args or self.backend_args):
            self.backend_args = dict(backend='whole_files')
        self.own = OwnFiles(self._folder(runner), self.filename_tmpl)
        self._forget_other_files(runner)
        super().before_train(runner)
        if runner.iter:
            self.last_ckpt = runner.message_hub.runtime_info.get('last_ckpt')
        if is_main_process():
            self._clear_away(runner)
        if self._owes_validation(runner):
            runner.logger.info(f'Training was interrupted in the validation of iteration {runner.iter}: repeating it.')
            runner.val_loop.run()

    def _folder(self, runner) -> str:
        """Where mmengine's hook is going to write: ``out_dir`` gets the name of the work folder."""
        work_dir = str(runner.work_dir)
        if self.out_dir is None or self.out_dir == work_dir:
            return work_dir
        return f'{str(self.out_dir).rstrip("/")}/{Path(work_dir).name}'

    def _forget_other_files(self, runner) -> None:
        source = getattr(runner, 'resumed_from', None)
        dropped = self.own.keep_own(runner.message_hub.runtime_info, same_folder(source, self.own.folder))
        if dropped:
            runner.logger.warning(
                f'{source} names checkpoints that this run in {self.own.folder} did not write; they are not deleted: '
                f'{describe(dropped)}.'
            )

    def _clear_away(self, runner) -> None:
        for folder in {str(runner.work_dir), str(self.out_dir)}:
            if '://' not in folder and (left := remove_partial(folder)):
                runner.logger.warning(f'Removed what an interrupted write left in {folder}: {", ".join(left)}.')
        superseded = runner.message_hub.runtime_info.get('superseded_ckpts', [])
        self._remove([path for path in superseded if self.own.removable(path)])
        if runner.iter == 0:
            self._validated_file(runner).unlink(missing_ok=True)

    def _owes_validation(self, runner) -> bool:
        loop = runner.train_loop
        done, last = runner.iter, runner.max_iters
        if isinstance(loop, EpochBasedTrainLoop):
            if runner.iter != runner.epoch * len(loop.dataloader):
                return False
            done, last = runner.epoch, runner.max_epochs
        if done == 0 or runner.val_loop is None or done < loop.val_begin:
            return False
        due = done % loop.val_interval == 0 or done == last
        file = self._validated_file(runner)
        return due and not (file.is_file() and file.read_text().strip() == str(runner.iter))

    @staticmethod
    def _validated_file(runner) -> Path:
        return Path(runner.work_dir) / _VALIDATED

    # ---- a frozen encoder ---------------------------------------------------------------------------------------
    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        if self.save_trainable_only:
            leave_out_frozen(checkpoint, runner.model)

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        put_back_frozen(checkpoint, runner.model, str(getattr(runner, 'resumed_from', None) or 'The checkpoint'))

    # ---- when to save ------------------------------------------------------------------------------------------
    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        if self._postponed and not self.by_epoch and step_is_whole(runner.optim_wrapper):
            self._save_checkpoint(runner)
        else:
            super().after_train_iter(runner, batch_idx, data_batch, outputs)

    def after_train_epoch(self, runner) -> None:
        if self._postponed and self.by_epoch and step_is_whole(runner.optim_wrapper):
            self._save_checkpoint(runner)
        else:
            super().after_train_epoch(runner)

    # ---- saving ------------------------------------------------------------------------------------------------
    def save_now(self, runner, iterations: int) -> str:
        """Save outside the regular interval, after ``iterations``; returns the path. Every process has to call this."""
        if self.saved_step == iterations or self._is_of_this_epoch(runner, iterations):
            return self.last_ckpt
        template, limit = self.filename_tmpl, self.max_keep_ckpts
        if self.by_epoch:  # in the middle of an epoch, which has no name of its own yet
            self.filename_tmpl, self.max_keep_ckpts = 'iter_{}.pth', -1
        try:
            self._save_checkpoint_with_step(runner, iterations, dict(epoch=runner.epoch, iter=iterations))
        finally:
            self.filename_tmpl, self.max_keep_ckpts = template, limit
        return self.last_ckpt

    def _is_of_this_epoch(self, runner, iterations: int) -> bool:
        """Whether the checkpoint of the epoch that has just ended holds these iterations."""
        return self.by_epoch and self.saved_step == runner.epoch and iterations == runner.epoch * _length(runner)

    def _save_checkpoint_with_step(self, runner, step: int, meta: dict) -> None:
        """Like mmengine's, but writes atomically, deletes old files last, and only right after an optimizer step."""
        self._postponed = not step_is_whole(runner.optim_wrapper)
        if self._postponed:
            runner.logger.info(f'Gradients are being accumulated: checkpoint {step} waits for the next optimizer step.')
            return
        limit = self.max_keep_ckpts
        outdated = []
        if limit > 0:
            kept = [x for x in self.keep_ckpt_ids if x != step] + [step]
            outdated, kept = kept[:-limit], kept[-limit:]
            self.keep_ckpt_ids.clear()
            self.keep_ckpt_ids.extend(kept)
            runner.message_hub.update_info('keep_ckpt_ids', kept)
        name, previous = self.filename_tmpl.format(step), self.last_ckpt
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        superseded = [self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(x)) for x in outdated]
        superseded += self._stopped_in_an_epoch(previous)
        self._note_superseded(runner, superseded)
        runner.save_checkpoint(
            self.out_dir,
            name,
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        self.saved_step = step
        if is_main_process():
            self._note(runner, LAST, self.last_ckpt)
            self._remove(superseded)

    def _stopped_in_an_epoch(self, previous: str | None) -> list[str]:
        """The checkpoint of a stop in the middle of an epoch, which the next epoch's checkpoint replaces."""
        other = Path(str(previous)).name
        if self.max_keep_ckpts > 0 and self.by_epoch and other.startswith('iter_') and previous in self.own:
            return [] if self.last_ckpt == previous else [previous]
        return []

    def _save_best_checkpoint(self, runner, metrics: dict) -> None:
        """Like mmengine's, but deletes the previous best checkpoint after the new one is written."""
        backend, self.file_backend = self.file_backend, KeepingBackend(self.file_backend)
        try:
            super()._save_best_checkpoint(runner, metrics)
            superseded = self.file_backend.removed
        finally:
            self.file_backend = backend
        best = {str(value) for key, value in runner.message_hub.runtime_info.items() if key.startswith('best_ckpt')}
        if is_main_process():
            self._remove([path for path in superseded if path not in best])

    def _note_superseded(self, runner, paths: list[str]) -> None:
        """Store in the checkpoint which files to delete after it, in case the training is killed before that."""
        best = getattr(self.file_backend, 'removed', [])
        runner.message_hub.update_info('superseded_ckpts', [*paths, *best])

    def _remove(self, paths: list[str]) -> None:
        for path in paths:
            if path not in self.own:
                continue
            if self.file_backend.isfile(path):
                self.file_backend.remove(path)
            elif self.file_backend.isdir(path):  # written by DeepSpeed or FSDP
                self.file_backend.rmtree(path)

    @master_only
    def _publish_model(self, runner, ckpt_path: str) -> None:
        if '://' in str(ckpt_path):
            super()._publish_model(runner, ckpt_path)
            return
        kept = {key: value for key, value in read_checkpoint(ckpt_path).items() if key in self.published_keys}
        path, suffix = Path(ckpt_path), self.published_suffix
        data = checkpoint_bytes(kept, path.with_suffix(suffix))
        published = path.with_name(f'{path.stem}-{hashlib.sha256(data).hexdigest()[:8]}{suffix}')
        write_whole(published, data)
        runner.logger.info(f'Published {sorted(kept)} of {ckpt_path} as {published}')

    # ---- validation --------------------------------------------------------------------------------------------
    def after_val_epoch(self, runner, metrics: dict | None = None) -> None:
        if not hasattr(self, 'file_backend'):  # a validation outside a training
            return
        super().after_val_epoch(runner, metrics)
        if is_main_process():
            self._note(runner, _VALIDATED, str(runner.iter))

    @staticmethod
    def _note(runner, name: str, text: str) -> None:
        """Write a line to a file in the work folder; failures (a full disk) are logged only."""
        try:
            write_whole(Path(runner.work_dir) / name, text)
        except ValueError as error:
            runner.logger.warning(str(error))


def _length(runner) -> int:
    return len(runner.train_loop.dataloader)

"""The inferencer: runs a trained model on images, videos and cameras."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import print_log
from PIL import Image

from mlore_mm.apis.inference.init_model import init_model, predict_batch, same_size_batches
from mlore_mm.apis.inference.model_index import find_model, list_models
from mlore_mm.apis.inference.photo_pipeline import PhotoPipeline, training_size
from mlore_mm.apis.inference.result_writer import OUTPUTS, ImageResult, ResultWriter
from mlore_mm.apis.inference.sources import PhotoSource
from mlore_mm.datasets.channel_images import first_three
from mlore_mm.models.compiling import compile_network
from mlore_mm.registry import INFERENCERS
from mlore_mm.tasks import TaskSet, check_task_names
from mlore_mm.utils.half_precision import check_dtype, default_half
from mlore_mm.utils.progress import ProgressLine


@INFERENCERS.register_module()
class MultiTaskInferencer:
    """Predicts all tasks of a model for images or videos; the counterpart of mmsegmentation's ``MMSegInferencer``.

    >>> infer = MultiTaskInferencer('mlore_vitb_nyud', 'mlore_vitb_nyud.pth')
    >>> result = infer('kitchen.jpg', out_dir='out')[0]
    >>> result['depth'].metres, result['semseg'].names, result['normals'].unit

    Args:
        model: Name of a model in ``model-index.yml``, a config file, or a config.
        weights: Checkpoint, a file or URL; by default what the index names. The config is never taken out of a
            checkpoint: it is Python code there, which reading would run.
        device: Name of the device in PyTorch; by default an accelerator, if there is one.
        amp: Mixed precision: fp16 on a GPU, bf16 on a CPU.
        dtype: 'fp32', 'bf16' or 'fp16' in place of ``amp``.
        deploy: Re-parameterise the model for inference, where it supports that: faster for small batches, but it needs
            more memory (see ``switch_to_deploy`` of the decode head).
        max_size: Longest side at which photos are taken in, see :class:`PhotoPipeline`.
        slide: Sliding-window inference with windows of this size or (h, w) and a stride of two thirds of it, so that
            memory does not grow with the image. True takes the training size.
        compile: Compile the network, see :func:`mlore_mm.models.compile_network`.
        cfg_options: Overrides of the config by dotted key.
        show_progress: Print a line of progress.

    Raises:
        ValueError: No such model, no weights, or what :func:`init_model` raises.
    """

    def __init__(
        self,
        model: str | Path | Config,
        weights: str | Path | None = None,
        *,
        device: str | None = None,
        amp: bool = False,
        dtype: str | None = None,
        deploy: bool = False,
        max_size: int | str | None = 'train',
        slide: bool | int | Sequence[int] = False,
        compile: bool | dict = False,
        cfg_options: dict | None = None,
        show_progress: bool = True,
    ) -> None:
        if not isinstance(model, Config):
            model, published = find_model(str(model))
            weights = weights or published
        if weights is None:
            raise ValueError('No weights are published for this model: give a checkpoint as `weights`.')
        device = device or get_device()
        self.dtype = check_dtype(dtype or (default_half(device) if amp else 'fp32'), device)
        self.model = init_model(model, weights, device, cfg_options)
        self.tasks: TaskSet = self.model.tasks
        self.pipeline = PhotoPipeline(self.model.cfg, self.tasks, max_size)
        self.show_progress = show_progress
        self._said_size = False
        self._about = dict(config=self.model.cfg.filename, checkpoint=str(weights), max_size=self.pipeline.max_side)
        if slide:
            self._use_windows(slide)
        if deploy and hasattr(self.model, 'switch_to_deploy'):
            self.model.switch_to_deploy()
        compile_network(self.model, compile)

    list_models = staticmethod(list_models)

    def __call__(self, inputs, *, return_datasamples: bool = False, show: bool = False, **options) -> list:
        """Results of all images as a list; see :meth:`stream` for the options, and for many images or videos.

        Args:
            inputs: As of :meth:`stream`.
            return_datasamples: Data samples in place of :class:`ImageResult`, as mmengine's inferencers do.
            show: Open every panel in the system's picture viewer.
            options: As of :meth:`stream`.
        """
        results = []
        for result in self.stream(inputs, **options):
            if show:
                Image.fromarray(result.panel()).show(result.label)
            results.append(result.sample if return_datasamples else result)
        return results

    def stream(
        self,
        inputs,
        *,
        tasks: Sequence[str] | None = None,
        batch_size: int = 1,
        out_dir: str | Path | None = None,
        outputs: Sequence[str] = OUTPUTS,
        on_error: str = 'raise',
        every: int = 1,
        max_frames: int | None = None,
    ) -> Iterator[ImageResult]:
        """Yield the results one by one in the order of the inputs, so that memory does not grow with their number.

        Args:
            inputs: What :class:`PhotoSource` takes: a path, folder, pattern, URL, array (BGR), Pillow image, video,
                camera index, or a list of these.
            tasks: Compute and write these tasks only.
            batch_size: Pictures at a time, of those that follow each other in one size.
            out_dir: Write files there, see :class:`ResultWriter`.
            outputs: Which: 'panels', 'pictures', 'raw'.
            on_error: 'raise' stops at a picture that cannot be used, 'skip' notes it in the log and the index.
            every: Take every n-th frame of a video.
            max_frames: Frames of a video or camera to take.

        Raises:
            ValueError: Nothing to run on, an unknown task, or a picture that cannot be used
                (:class:`mlore_mm.apis.inference.photos.PhotoError`).
        """
        names = check_task_names(self.model.eval_tasks if tasks is None else tasks, self.tasks)
        chosen = self.tasks.subset(names)
        if batch_size < 1 or on_error not in ('raise', 'skip'):
            raise ValueError(f"batch_size counts from 1 and on_error is 'raise' or 'skip': {batch_size}, {on_error!r}.")
        source = PhotoSource(inputs, every, max_frames)
        writer = None
        if out_dir is not None:
            writer = ResultWriter(out_dir, outputs, dict(self._about, tasks=chosen.to_config()))
        return self._run(source, chosen, batch_size, writer, on_error)

    def _run(
        self, source: PhotoSource, tasks: TaskSet, batch_size: int, writer: ResultWriter | None, on_error: str
    ) -> Iterator[ImageResult]:
        line = ProgressLine('inference') if self.show_progress and source.total else None
        done = 0
        try:
            for batch in same_size_batches(self._read(source, writer, on_error), batch_size):
                for item, sample in zip(batch, predict_batch(self.model, batch, tasks.names, self.dtype), strict=True):
                    photo, image = item['photo'], first_three(item['image'])[..., ::-1].copy()
                    result = ImageResult(photo.name, photo.label, image, sample.cpu(), tasks)
                    _warn_not_finite(result)
                    if writer:
                        writer.write(result)
                    done += 1
                    if line:
                        line(min(done, source.total), source.total)
                    yield result
        finally:
            if writer:
                writer.close()

    def _read(self, source: PhotoSource, writer: ResultWriter | None, on_error: str) -> Iterator[dict]:
        """What the pipeline packs of each photo, with the photo and its pixels."""
        for photo in source:
            try:
                image = photo.read(len(self.model.data_preprocessor.mean))
                self._say_size(photo.label, image)
                item = dict(self.pipeline(image, photo.label), photo=photo, image=image)
            except ValueError as error:
                if on_error == 'raise':
                    raise
                print_log(f'Left out: {error}', 'current')
                if writer:
                    writer.failed(photo.label, str(error))
                continue
            yield item

    def _say_size(self, label: str, image) -> None:
        """Once: at what size large pictures are computed."""
        height, width = image.shape[:2]
        limit = self.pipeline.max_side
        if self._said_size or not limit or max(height, width) <= limit:
            return
        self._said_size = True
        print_log(
            f'{label} has {width}x{height} pixels and is reduced to {limit} on its longest side, as are others. '
            f'max_size (--max-size) takes another number or None, slide (--slide) keeps detail.',
            'current',
        )

    def _use_windows(self, slide: bool | int | Sequence[int]) -> None:
        size = (slide, slide) if isinstance(slide, int) else slide
        if slide is True:
            size = self.pipeline.train_size or training_size(self.model.cfg)
        if size is None:
            raise ValueError('No pipeline of the config names a size: give one, as in slide=(448, 576).')
        size = tuple(size)
        divisor = self.model.data_preprocessor.size_divisor
        if any(x % divisor for x in size):
            raise ValueError(f'Windows have to be multiples of {divisor} pixels for this model, but got {size}.')
        stride = tuple(max(side * 2 // 3, 1) for side in size)
        self.model.test_cfg.update(mode='slide', crop_size=size, stride=stride)
        self._about['slide'] = list(size)


def _warn_not_finite(result: ImageResult) -> None:
    """Log a warning for an image with non-finite predictions."""
    shares = [f'{name} at {share:.2%} of the pixels' for name, share in result.not_finite().items()]
    if shares:
        print_log(f'{result.label}: not finite: {", ".join(shares)}.', 'current', logging.WARNING)

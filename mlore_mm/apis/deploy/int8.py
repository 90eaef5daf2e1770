"""An exported ONNX model in 8-bit integers, and what that costs each task on the validation set."""

import copy
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.structures import PixelData
from torch import Tensor, nn

from mlore_mm.apis.deploy.export import METADATA, read_metadata
from mlore_mm.apis.deploy.export_check import letterbox, load_exported
from mlore_mm.apis.inference.photos import read_photo
from mlore_mm.models.original_frame import to_original
from mlore_mm.registry import DATASETS, EVALUATOR
from mlore_mm.tasks import TaskSet
from mlore_mm.utils.whole_files import written_by_others

# What stays in fp32, by the module that a step comes from: gates decide which experts count, and the last layer of a
# task has its range of values as a whole.
FULL_PRECISION = ('router', 'gate', 'predict', 'patch_embed')
TOLERANCE = 0.02  # of a headline, relative


@dataclass(frozen=True)
class Int8Report:
    """What was found for one task's headline."""

    task: str
    headline: str
    fp32: float
    int8: float
    better: float

    @property
    def passed(self) -> bool:
        """Whether the number is no more than ``TOLERANCE`` worse."""
        return not self.better < -TOLERANCE


def quantise(path: str | Path, out: str | Path, photos: Sequence, keep: Sequence[str] = ()) -> dict[str, int]:
    """Convolutions and matrix products with constant weights in int8: activations by range, weights per channel.

    Ranges are the least and the largest value over the photos. Weights have 7 bits, so that processors without VNNI
    do not saturate. Attention's products, routers, norms, resizing and each task's last layer stay in fp32.

    Args:
        path: The export in fp32.
        out: The file to write.
        photos: Files or arrays to calibrate on, of the training set.
        keep: Names of more modules that stay in fp32, or parts of names, such as 'backbone'.

    Returns:
        How many steps are in int8 and how many of the same kinds stay in fp32, as 'int8' and 'fp32'.

    Raises:
        ValueError: No photos; ONNX Runtime is missing; or ``keep`` names a module that the export does not have.
    """
    if not photos:
        raise ValueError('int8 needs photos to calibrate on, and there are none: give --calibration FOLDER.')
    if not (find_spec('onnx') and find_spec('onnxruntime')):
        raise ValueError('int8 needs two more packages: pip install onnx onnxruntime')
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    metadata = read_metadata(path, 'onnx')
    with TemporaryDirectory() as folder:
        prepared, small = Path(folder) / 'prepared.onnx', Path(folder) / 'int8.onnx'
        quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True, save_as_external_data=True)
        nodes = [x for x in _nodes(onnx, prepared) if x.op_type in _KINDS]
        kept = _kept(_nodes(onnx, path), nodes, keep)
        quantize_static(
            str(prepared),
            str(small),
            _Photos(photos, metadata['input']),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(_KINDS),
            nodes_to_exclude=kept,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options=dict(MatMulConstBOnly=True),
        )
        model = onnx.load(str(small))
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {METADATA: json.dumps(dict(metadata, precision='int8'))})
    with written_by_others(out) as file:
        onnx.save(model, str(file))
    return dict(int8=len(nodes) - len(kept), fp32=len(kept))


_KINDS = ('Conv', 'MatMul', 'Gemm')


def _nodes(onnx, path: str | Path) -> Sequence:
    return onnx.load(str(path), load_external_data=False).graph.node


def _kept(exported: Sequence, prepared: Sequence, more: Sequence[str]) -> list[str]:
    """Names of the prepared steps that stay in fp32.

    PyTorch's exporter writes the modules of a step beside it, which ONNX Runtime loses when it prepares the file; names
    stay.
    """
    modules = {node.name: _modules_of(node) for node in exported}
    told = {node.name: ' '.join([modules.get(node.name, ''), *node.input, node.name]) for node in prepared}
    idle = [word for word in more if not any(word in words for words in told.values())]
    if idle:
        raise ValueError(
            f'No convolution or matrix product of the export is in a module with {", ".join(idle)} in its name. Names '
            "are those of the model's weights, such as backbone or decode_head."
        )
    return [name for name, words in told.items() if any(word in words for word in (*FULL_PRECISION, *more))]


def _modules_of(node) -> str:
    return ' '.join(entry.value for entry in node.metadata_props if entry.key.endswith('name_scopes'))


class _Photos:
    """ONNX Runtime's calibration reader: one photo after the other."""

    def __init__(self, photos: Sequence, picture: dict) -> None:
        self.items, self.picture = iter(photos), picture

    def get_next(self) -> dict | None:
        photo = next(self.items, None)
        if photo is None:
            return None
        image = letterbox(read_photo(photo), self.picture['size'], self.picture['pad_value'])
        return {self.picture['name']: image.numpy()}


def calibration_photos(cfg, count: int) -> list[str]:
    """``count`` photos of the training set, evenly over it.

    Raises:
        ValueError: It is not there.
    """
    init_default_scope(cfg.get('default_scope', 'mlore_mm'))
    try:
        dataset = DATASETS.build(cfg.train_dataloader.dataset)
    except (ValueError, FileNotFoundError) as error:
        raise ValueError(
            f'int8 is calibrated on photos of the training set, or those of --calibration FOLDER. {error}'
        ) from error
    step = max(len(dataset) // count, 1)
    return [dataset.get_data_info(i)['img_path'] for i in range(0, len(dataset), step)][:count]


def evaluate_exported(path: str | Path, model: nn.Module, limit: int | None = None) -> tuple[dict, float]:
    """Metrics of an exported ONNX file on the validation set of the config, and the seconds of one image.

    Args:
        path: The file, whose outputs are scores.
        model: The model that it was made of, for its preprocessing, its tasks and its config.
        limit: Images to take; all by default.

    Raises:
        ValueError: Images of another size than the file takes.
    """
    metadata, run = read_metadata(path, 'onnx'), load_exported(path, 'onnx')
    names = [task['name'] for task in metadata['tasks']]
    cfg = copy.deepcopy(model.cfg)
    cfg.val_dataloader.update(batch_size=1, num_workers=0, persistent_workers=False)
    cfg.val_dataloader.pop('prefetch_factor', None)
    if limit:
        cfg.val_dataloader.dataset['indices'] = limit
    loader = Runner.build_dataloader(cfg.val_dataloader)
    options = dict(cfg.val_evaluator)
    options['tasks'] = TaskSet(options['tasks']).subset(names)
    evaluator = EVALUATOR.build(options)
    evaluator.dataset_meta = loader.dataset.metainfo
    seconds = []
    for batch in loader:
        data = model.data_preprocessor(batch, False)
        start = time.perf_counter()
        scores = dict(zip(names, _scores(run, model, data['inputs'], metadata), strict=True))
        seconds.append(time.perf_counter() - start)
        (sample,) = data['data_samples']
        maps = {name: to_original(model.tasks[name], x[0], sample, 'finalize') for name, x in scores.items()}
        sample.pred = PixelData(**maps)
        evaluator.process(data_samples=[sample], data_batch=batch)
    return evaluator.evaluate(len(loader.dataset)), min(seconds)


def _scores(run, model: nn.Module, images: Tensor, metadata: dict) -> list[Tensor]:
    picture, prepare = metadata['input'], model.data_preprocessor
    if not picture['dynamic_size'] and list(images.shape[-2:]) != list(picture['size']):
        raise ValueError(
            f'The validation set has an image of {tuple(images.shape[-2:])}, and the file takes {picture["size"]}: '
            'export with --dynamic-size.'
        )
    with torch.no_grad():
        return run(images * prepare.std + prepare.mean)


def compare_int8(fp32: dict, int8: dict, tasks: TaskSet) -> list[Int8Report]:
    """By task the headline before and after, and by what share it is better."""
    rows = []
    for name, task in tasks.items():
        key = f'{name}/{task.headline}'
        if key not in fp32:
            continue
        before, after = fp32[key], int8[key]
        gain = (after - before) / abs(before) if before else float(after != before)
        rows.append(Int8Report(name, task.headline, before, after, gain if task.higher_is_better else -gain))
    return rows

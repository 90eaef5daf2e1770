"""A trained model as one file that runs without mlore_mm: ONNX, TorchScript or PyTorch's export format."""

import copy
import json
import math
import warnings
import zipfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from mlore_mm.apis.inference.photo_pipeline import PhotoPipeline, training_size
from mlore_mm.tasks import check_task_names
from mlore_mm.tasks.task_set import check_task_name
from mlore_mm.utils.whole_files import write_whole, written_by_others
from mlore_mm.version import __version__

SUFFIXES = dict(onnx='.onnx', torchscript='.torchscript', torch_export='.pt2')
METADATA = 'mlore_mm'  # key of the ONNX property, and stem of the file inside the two PyTorch formats
OPSET = 18
_LARGEST_METADATA = 10_000_000  # bytes


class ExportModel(nn.Module):
    """What is exported: pixels in, one map per task out, at the size of the input.

    Args:
        model: The trained model.
        tasks: Tasks to compute, in this order.
        decoded: Outputs are predictions (class ids and so on) instead of scores, which can still be resized well.
    """

    def __init__(self, model: nn.Module, tasks: Sequence[str], decoded: bool = False) -> None:
        super().__init__()
        self.model, self.tasks, self.decoded = model, list(tasks), decoded

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """RGB (B, 3, H, W), float32 in 0..255, to (B, C_t, H, W) per task."""
        prepare = self.model.data_preprocessor
        logits = self.model.encode_decode((image - prepare.mean) / prepare.std, self.tasks)
        definitions = self.model.tasks
        return tuple(
            definitions[name].decode(logits[name]) if self.decoded else definitions[name].activate(logits[name])
            for name in self.tasks
        )


def export_model(
    model: nn.Module,
    path: str | Path,
    kind: str = 'onnx',
    *,
    tasks: Sequence[str] | None = None,
    size: Sequence[int] | None = None,
    dynamic_size: bool = False,
    decoded: bool = False,
) -> dict:
    """Write a model to a file; the batch size stays free. See :func:`check_export` for the comparison.

    MLoRE's blocks are exported in the wide form. In the folded form every image has a convolution kernel of its own,
    so the number of groups would be the batch size, which none of the formats can leave open.

    Args:
        model: What ``init_model`` returned; it is not changed.
        path: The file, ending as in ``SUFFIXES``.
        kind: 'onnx', 'torchscript' or 'torch_export'.
        tasks: These tasks only; what the others need is left out.
        size: (H, W) of the input, multiples of the model's divisor; the training size by default.
        dynamic_size: Leave height and width open. In PyTorch's own format a model with parts of a fixed grid (position
            embedding, MLoRE's routers) then refuses the training size; ONNX has no such checks.
        decoded: See :class:`ExportModel`.

    Returns:
        The metadata that the file carries, see :func:`describe`.

    Raises:
        ValueError: Another kind, a size that does not fit, missing packages, or a model that cannot be exported so.
    """
    if kind not in SUFFIXES:
        raise ValueError(f'Formats are {", ".join(SUFFIXES)}, but got {kind!r}.')
    if kind == 'onnx' and not (find_spec('onnx') and find_spec('onnxscript')):
        raise ValueError('Export to ONNX needs two more packages: pip install onnx onnxscript onnxruntime')
    if kind == 'torchscript' and dynamic_size:
        raise ValueError('TorchScript is made by tracing, which fixes height and width. Use onnx or torch_export.')
    names = check_task_names(model.eval_tasks if tasks is None else tasks, model.tasks)
    names = [name for name in model.tasks if name in names]
    metadata = describe(model, names, _input_size(model, size), dynamic_size, decoded)
    wrapper = ExportModel(_exportable(model), names, decoded).eval()
    example = torch.rand(2, 3, *_example_size(metadata['input'])) * 255
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of tracing: sizes that become constants
        if kind == 'torchscript':
            traced = torch.jit.trace(wrapper, example, check_trace=False)
            with written_by_others(path) as file:
                torch.jit.save(traced, str(file), _extra_files={f'{METADATA}.json': json.dumps(metadata)})
            write_whole(metadata_file(path), json.dumps(metadata, indent=1) + '\n', lasting=False)
            return metadata
        program = _export(wrapper, example, dynamic_size)
        if kind == 'torch_export':
            with written_by_others(path) as file:
                torch.export.save(program, file, extra_files={f'{METADATA}.json': json.dumps(metadata)})
            write_whole(metadata_file(path), json.dumps(metadata, indent=1) + '\n', lasting=False)
        else:
            _save_onnx(program, names, path, metadata)
    return metadata


def describe(model: nn.Module, tasks: Sequence[str], size: Sequence[int], dynamic_size: bool, decoded: bool) -> dict:
    """What someone needs who has nothing but the file.

    ``input`` says that RGB pixels in 0..255 go in, that normalisation happens inside, and that borders are filled with
    ``pad_value``, which is 0 after normalisation. ``tasks`` lists the outputs in order. Their ``kind`` tells what to do
    with scores: the largest channel of a 'class_map', the last one of a 'probability'; 'unit_vectors' and 'metres' are
    values as they are.
    """
    prepare = model.data_preprocessor
    mean, std = prepare.mean.flatten().tolist(), prepare.std.flatten().tolist()
    outputs = []
    for name in tasks:
        task, config = model.tasks[name], model.tasks[name].to_config()
        entry = dict(name=name, type=config['type'], kind=task.result_type.kind, channels=task.out_channels)
        if task.classes or task.result_type.kind == 'class_map':
            entry['classes'] = list(task.classes) or [str(i) for i in range(task.out_channels)]
            entry['palette'] = task.colours().tolist()
        outputs.append(dict(entry, unit=task.values_unit))
    normalisation = dict(inside=True, mean=mean, std=std)
    picture = dict(
        name='image',
        layout='NCHW',
        channels='RGB',
        dtype='float32',
        range=[0, 255],
        size=list(size),
        dynamic_size=dynamic_size,
        divisor=prepare.size_divisor,
        normalisation=normalisation,
        pad_value=mean,
    )
    return dict(
        mlore_mm=__version__,
        config=Path(model.cfg.filename or '').name,
        outputs='predictions' if decoded else 'scores',
        input=picture,
        tasks=outputs,
    )


def read_metadata(path: str | Path, kind: str) -> dict:
    """The metadata of an exported file, without running any of it.

    PyTorch's formats hold code that runs when they are loaded; the metadata are read from the JSON file beside them, or
    else as a member of the archive.

    Raises:
        ValueError: Naming the file: it is missing, damaged, or holds no metadata of ours.
    """
    try:
        if kind == 'onnx':
            import onnx

            properties = onnx.load(str(path), load_external_data=False).metadata_props
            found = next((entry.value for entry in properties if entry.key == METADATA), '')
        else:
            beside = metadata_file(path)
            found = beside.read_text(encoding='utf-8') if beside.is_file() else _member(path)
        metadata = json.loads(found)
    except Exception as error:  # a damaged file fails in many ways
        raise ValueError(f'{path} cannot be read as an exported model ({kind}): {error}') from error
    if not isinstance(metadata, dict):
        raise ValueError(f'{path} holds metadata of another kind than mlore_mm writes.')
    for task in metadata.get('tasks', ()):
        check_task_name(task.get('name') if isinstance(task, dict) else task)
    return metadata


def metadata_file(path: str | Path) -> Path:
    """The JSON file beside an exported file of PyTorch's formats."""
    return Path(f'{path}.json')


def _member(path: str | Path) -> str:
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if Path(entry.filename).name == f'{METADATA}.json' and entry.file_size <= _LARGEST_METADATA:
                return archive.read(entry).decode()
    raise ValueError(f'it has no member {METADATA}.json')


def _input_size(model: nn.Module, size: Sequence[int] | None) -> tuple[int, int]:
    divisor = model.data_preprocessor.size_divisor
    if size is None:
        trained = PhotoPipeline(model.cfg, model.tasks).train_size or training_size(model.cfg)
        if trained is None:
            raise ValueError('No pipeline of the config names a size: give --size H W.')
        return tuple(math.ceil(side / divisor) * divisor for side in trained)
    if any(side < 1 or side % divisor for side in size):
        raise ValueError(f'Height and width have to be multiples of {divisor} for this model, but got {tuple(size)}.')
    return tuple(size)


def _example_size(picture: dict) -> tuple[int, int]:
    """Where the size is open, one that differs from the training size in both directions.

    Position embedding and routers are resampled for other grids than their own, and tracing keeps what it sees.
    """
    (height, width), divisor = picture['size'], picture['divisor']
    return (height + 2 * divisor, width + 3 * divisor) if picture['dynamic_size'] else (height, width)


def _exportable(model: nn.Module) -> nn.Module:
    """A copy on the CPU whose blocks compute in the form that can be exported."""
    if any(getattr(module, 'deployed', None) is not None for module in model.modules()):
        raise ValueError('This model was switched to its folded form, which cannot be exported: load it once more.')
    model = copy.deepcopy(model).cpu().eval()
    for module in model.modules():
        if hasattr(module, 'form'):
            module.form = 'wide'
    return model


def _export(wrapper: nn.Module, example: Tensor, dynamic_size: bool) -> torch.export.ExportedProgram:
    # Without an end, PyTorch 2.6 finds that the largest 64-bit number would not do as a batch size.
    free = {0: torch.export.Dim('batch', max=2**20)}
    if dynamic_size:
        free.update({2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC})
    try:
        return torch.export.export(wrapper, (example,), dynamic_shapes=(free,), strict=False)
    except Exception as error:  # PyTorch has many kinds for it
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        advice = 'Leave out --dynamic-size.' if dynamic_size else 'A part of this model cannot be exported.'
        raise ValueError(f'torch.export refused the model: {reason} {advice}') from error


def _save_onnx(program: torch.export.ExportedProgram, names: Sequence[str], path: str | Path, metadata: dict) -> None:
    """One file; weights above 2 GB go into a second one beside it, as ONNX demands."""
    exported = torch.onnx.export(program, dynamo=True, opset_version=OPSET, output_names=list(names), verbose=False)
    exported.model.metadata_props[METADATA] = json.dumps(metadata)
    with written_by_others(path, several=True) as file:
        exported.save(str(file))

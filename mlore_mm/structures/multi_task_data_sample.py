"""One image's labels and predictions."""

from pathlib import Path

from mmengine.structures import BaseDataElement, PixelData


class MultiTaskDataSample(BaseDataElement):
    """Labels and predictions of one image, a field per task.

    - ``gt``: PixelData, a tensor (C, H, W) per task; an image without labels for a task holds its ignore value.
    - ``pred``: PixelData, what ``Task.decode`` returns, (C, H, W) per task, at the size of the original image.
    - ``groups``: PixelData, the same of auxiliary predictions that a metric looks at, as '<group>/<task>'.

    Loop over the task set and not over ``sample.gt``, whose order is arbitrary. Meta information set by the pipeline:
    ``img_path``, ``sample_id``, ``label_paths`` (task to file, None where there is none), ``ori_shape`` and
    ``img_shape`` as (H, W), ``padding`` as (left, right, top, bottom) in pixels, ``scale_factor`` as (w, h), ``flip``,
    ``flip_direction``.
    """

    @property
    def gt(self) -> PixelData:
        return self._gt

    @gt.setter
    def gt(self, value: PixelData) -> None:
        self.set_field(value, '_gt', dtype=PixelData)

    @gt.deleter
    def gt(self) -> None:
        del self._gt

    @property
    def pred(self) -> PixelData:
        return self._pred

    @pred.setter
    def pred(self, value: PixelData) -> None:
        self.set_field(value, '_pred', dtype=PixelData)

    @pred.deleter
    def pred(self) -> None:
        del self._pred

    @property
    def groups(self) -> PixelData:
        return self._groups

    @groups.setter
    def groups(self, value: PixelData) -> None:
        self.set_field(value, '_groups', dtype=PixelData)

    @groups.deleter
    def groups(self) -> None:
        del self._groups


def file_name(sample: MultiTaskDataSample) -> str:
    """What files of this image are called, without suffix: its id with its folders, else the stem of its file.

    Raises:
        ValueError: The id leads out of the folder that files are written to.
    """
    name = str(sample.get('sample_id') or Path(sample.img_path).stem)
    parts = name.split('/')
    if '' in parts or '..' in parts or '.' in parts or '\\' in name or '\0' in name:
        raise ValueError(f'The sample id {name!r} is no relative path, so no file can be named after it.')
    return name

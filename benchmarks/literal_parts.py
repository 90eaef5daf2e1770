"""A model with the literal decoder, cut into the parts of ``mlore_mm.apis.analysis.model_parts``."""

from collections.abc import Callable, Sequence

from torch import Tensor

from benchmarks.literal_mlore import block_output, fuse_stages, head_output
from mlore_mm.models.decode_heads import MLoREDecodeHead


def run_literal_in_parts(model, images: Tensor, tasks: Sequence[str], run: Callable) -> None:
    """What ``run_in_parts`` does, for a model with a MLoRE decoder that is to be computed literally.

    Raises:
        ValueError: The backbone's levels differ in size or by task, which the literal decoder does not cover.
    """
    head = model.decode_head
    if not isinstance(head, MLoREDecodeHead):
        raise ValueError(f'The literal form exists for MLoRE on a plain ViT only, not for {type(head).__name__}.')
    feats = run('encoder', model.extract_feat, images)
    if not feats.is_shared or len({x.shape[-2:] for x in feats.shared}) > 1:
        raise ValueError('The literal form exists for MLoRE on a plain ViT only: here levels differ in size.')
    stages = []
    for feature, project, blocks in zip(feats.shared, head.project, head.stages, strict=True):
        maps = dict.fromkeys(tasks, run('project', project, feature))
        for block in blocks:
            maps = run('blocks', block_output, block, maps)
        stages.append(maps)
    for task in tasks:
        fused = run('fusion', fuse_stages, head.fusion, [maps[task] for maps in stages], task)
        run('heads', head_output, head.heads[task], fused)

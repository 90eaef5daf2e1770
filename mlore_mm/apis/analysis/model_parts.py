"""A forward pass cut into its parts, so that each can be counted or timed on its own."""

from collections.abc import Callable, Sequence

from torch import Tensor

from mlore_mm.models.decode_heads import MLoREDecodeHead
from mlore_mm.models.multi_task_encoder_decoder import MultiTaskEncoderDecoder

Run = Callable[..., object]


def run_in_parts(model: MultiTaskEncoderDecoder, images: Tensor, tasks: Sequence[str], run: Run) -> None:
    """One forward pass, in which every part is called as ``run(part, function, *args)`` and has to return its result.

    Parts of MLoRE are encoder, project, blocks, fusion and heads; of any other decoder encoder and decoder. The final
    resizing of logits to the input size belongs to none.

    Args:
        model: In the form to be looked at.
        images: (B, 3, H, W).
        tasks: Names of the tasks to compute.
        run: Calls what it is given and looks at it meanwhile.
    """
    feats = run('encoder', model.extract_feat, images, tasks)
    head = model.decode_head
    if not isinstance(head, MLoREDecodeHead):
        run('decoder', head, feats, tasks)
        return
    tasks = head.active_tasks(tasks)
    stages = []
    for blocks, x in zip(head.stages, run('project', head._project, feats, tasks), strict=True):
        for block in blocks:
            x = run('blocks', block, x, tasks)
        stages.append(x)
    for i, task in enumerate(tasks):
        fused = run('fusion', head.fusion, [stage[i] for stage in stages], task)
        run('heads', head.heads[task], fused)

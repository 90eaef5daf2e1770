"""First guesses, and the features they are read from."""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn


class InitialPrediction(nn.Module):
    """Two residual blocks per task, whose output other tasks learn from, and Conv1x1 for a first prediction.

    Source: PAD-Net (Xu et al., CVPR 2018) in the form of MTI-Net (Vandenhende et al., ECCV 2020), which both methods
    share: features are distilled, and predictions only supervised.

    Args:
        out_channels: Task to the channels of its logits.
        in_channels: Channels of the input, alike for all tasks.
        channels: Width of the features.
        block: Class of the blocks, called as ``block(in_channels, channels)``.
    """

    def __init__(self, out_channels: Mapping[str, int], in_channels: int, channels: int, block: type) -> None:
        super().__init__()
        self.features = nn.ModuleDict(
            {task: nn.Sequential(block(in_channels, channels), block(channels, channels)) for task in out_channels}
        )
        self.predict = nn.ModuleDict({task: nn.Conv2d(channels, n, 1) for task, n in out_channels.items()})

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Input (B, C_in, h, w) of every task to its features (B, C, h, w)."""
        return {task: blocks(inputs[task]) for task, blocks in self.features.items()}

    def logits(self, features: Mapping[str, Tensor], tasks: Sequence[str]) -> dict[str, Tensor]:
        """First predictions (B, C_t, h, w) of the named tasks."""
        return {task: self.predict[task](features[task]) for task in tasks}

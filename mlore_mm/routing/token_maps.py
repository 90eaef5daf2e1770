"""Where on a photo tokens go to which expert."""

from torch import Tensor

from mlore_mm.routing.records import RouterRecord

_MOST_EXTRA = 8  # class and register tokens in front of the patches


def token_grid(tokens: int, size: tuple[int, int]) -> tuple[int, int]:
    """The patches (h, w) of an image (H, W) that is ``tokens`` long with its class tokens, if it has any.

    Raises:
        ValueError: No size of square patches gives that number.
    """
    height, width = size
    for side in range(min(size), 0, -1):
        if height % side or width % side:
            continue
        h, w = height // side, width // side
        if 0 <= tokens - h * w <= _MOST_EXTRA:
            return h, w
    raise ValueError(
        f'{tokens} tokens are no grid of square patches of an image of {height} x {width}, with up to {_MOST_EXTRA} '
        'class tokens in front: the layer does not route patches.'
    )


def best_experts(record: RouterRecord, size: tuple[int, int]) -> Tensor:
    """Ids (B, h, w) of the expert with the largest gate for every patch of images (H, W).

    Raises:
        ValueError: The record is per image, or its tokens are no patches.
    """
    if not record.per_token:
        raise ValueError(f"The layer '{record.layer}' routes images and not tokens: every patch has the same experts.")
    h, w = token_grid(record.gates.shape[1], size)
    return record.gates[:, -h * w :].argmax(dim=-1).unflatten(1, (h, w))

"""Intersection over union from counts."""

import torch
from torch import Tensor


def class_counts(prediction: Tensor, target: Tensor, valid: Tensor, num_classes: int) -> Tensor:
    """Pixels per class, (3, num_classes) int64: predicted and labelled so, predicted so, labelled so.

    Args:
        prediction: Class ids >= 0 of any shape.
        target: Class ids >= 0, same shape.
        valid: bool, same shape; other pixels are not counted anywhere.

    Raises:
        ValueError: A valid pixel holds an id of ``num_classes`` or more.
    """
    prediction, target = (torch.where(valid, ids.long(), num_classes).flatten() for ids in (prediction, target))
    agreed = torch.where(prediction == target, target, num_classes)
    agreed, predicted, labelled = (
        torch.bincount(ids, minlength=num_classes + 1) for ids in (agreed, prediction, target)
    )
    ignored = (~valid).sum()
    for name, count in (('prediction', predicted), ('label', labelled)):
        if len(count) > num_classes + 1 or count[num_classes] > ignored:
            raise ValueError(
                f'A {name} holds a class id of {num_classes} or more, but the task has {num_classes} classes. '
                f'Check its out_channels and its labels.'
            )
    return torch.stack([count[:num_classes] for count in (agreed, predicted, labelled)])


def confusion_counts(prediction: Tensor, target: Tensor, valid: Tensor, num_classes: int) -> Tensor:
    """Pixels by true and predicted class, (num_classes, num_classes) int64, sparse: an image has few of the pairs.

    Args: see :func:`class_counts`, which checks the ids.
    """
    pairs = (target.long() * num_classes + prediction.long())[valid].cpu()
    pairs, counts = pairs.unique(return_counts=True)
    indices = torch.stack([pairs // num_classes, pairs % num_classes])
    return torch.sparse_coo_tensor(indices, counts, (num_classes, num_classes), check_invariants=True).coalesce()


def iou_per_class(counts: Tensor) -> Tensor:
    """(3, C) counts to (C,) float64 in 0..1; NaN for a class found neither in labels nor in predictions."""
    both, predicted, labelled = counts.double()
    return both / (predicted + labelled - both)

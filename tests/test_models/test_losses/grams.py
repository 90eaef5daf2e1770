"""Inner products of gradients, and weights for them."""

import torch


def gram_of(*gradients):
    gradients = torch.tensor(gradients, dtype=torch.float64)
    return gradients @ gradients.t()


def weights(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)

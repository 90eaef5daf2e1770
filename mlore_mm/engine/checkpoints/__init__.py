"""Checkpoints: reading them safely and completely, writing them whole, and removing only those of this training."""

from .own_files import OwnFiles

__all__ = ['OwnFiles']

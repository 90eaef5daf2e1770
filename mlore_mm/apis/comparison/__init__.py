"""Several systems under equal conditions, and the table that says which is better, by how much, at what cost."""

from .comparison import compare

__all__ = ['compare']

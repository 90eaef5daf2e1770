"""What labels mean: one file per kind of task. Where labels are stored is the business of ``mlore_mm.datasets``."""

from .base import Task
from .bind import bind_tasks
from .boundary import Edge
from .class_map import ClassMap, HumanParts, SemSeg
from .normals import SurfaceNormals
from .regression import DenseRegression, Depth
from .saliency import Saliency
from .task_set import TaskSet, check_task_names

__all__ = [
    'ClassMap',
    'DenseRegression',
    'Depth',
    'Edge',
    'HumanParts',
    'Saliency',
    'SemSeg',
    'SurfaceNormals',
    'Task',
    'TaskSet',
    'bind_tasks',
    'check_task_names',
]

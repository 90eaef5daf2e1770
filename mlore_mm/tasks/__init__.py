"""What labels mean: one file per kind of task. Where labels are stored is the business of ``mlore_mm.datasets``."""

from .base import Task
from .bind import bind_tasks, leaf_datasets
from .boundary import Edge
from .class_map import ClassMap, HumanParts, SemSeg
from .inverse_depth import InverseDepth
from .label_statistics import Finding, LabelStatistics
from .log_depth import LogDepth
from .normals import SurfaceNormals
from .order import PUBLISHED_ORDER, in_order
from .regression import DenseRegression, Depth
from .results import ClassMapResult, DepthResult, NormalsResult, NumbersResult, ProbabilityResult, TaskResult
from .saliency import Saliency
from .task_set import TaskSet, check_task_names

__all__ = [
    'PUBLISHED_ORDER',
    'ClassMap',
    'ClassMapResult',
    'DenseRegression',
    'Depth',
    'DepthResult',
    'Edge',
    'Finding',
    'HumanParts',
    'InverseDepth',
    'LabelStatistics',
    'LogDepth',
    'NormalsResult',
    'NumbersResult',
    'ProbabilityResult',
    'Saliency',
    'SemSeg',
    'SurfaceNormals',
    'Task',
    'TaskResult',
    'TaskSet',
    'bind_tasks',
    'check_task_names',
    'in_order',
    'leaf_datasets',
]

"""The data sample that travels from the data set through the model to metrics and pictures."""

from .multi_task_data_sample import MultiTaskDataSample, file_name

__all__ = ['MultiTaskDataSample', 'file_name']

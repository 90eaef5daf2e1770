import pickle

import pytest

from mlore_mm.registry import TASKS
from mlore_mm.tasks import Depth, SemSeg, TaskSet, check_task_names

CONFIG = dict(
    depth=dict(type='Depth', loss_weight=3.0),
    semseg=dict(type='SemSeg', out_channels=4, classes=['a', 'b', 'c', 'd']),
    edge=dict(type='Edge'),
)


def test_order_and_names_come_from_the_config():
    tasks = TaskSet(CONFIG)
    assert tasks.names == tuple(tasks) == ('depth', 'semseg', 'edge')
    assert len(tasks) == 3
    assert tasks['depth'] == Depth(name='depth', loss_weight=3.0)
    assert repr(tasks) == "TaskSet(['depth', 'semseg', 'edge'])"


def test_a_subset_keeps_the_order_of_the_set():
    assert TaskSet(CONFIG).subset(['edge', 'depth']).names == ('depth', 'edge')


def test_plain_dicts_and_pickles_rebuild_the_set():
    tasks = TaskSet(CONFIG)
    assert dict(TaskSet(tasks.to_config())) == dict(tasks)
    assert dict(pickle.loads(pickle.dumps(tasks))) == dict(tasks)


def test_built_tasks_are_taken_as_they_are():
    task = SemSeg(name='semseg')
    assert TaskSet(dict(semseg=task))['semseg'] is task


def test_the_key_is_the_name():
    assert TaskSet(dict(left=dict(type='Depth', name='other')))['left'].name == 'left'


def test_mistakes_are_named():
    with pytest.raises(ValueError, match='At least one task is needed'):
        TaskSet({})
    with pytest.raises(ValueError, match=r"Task 'x' has type 'Dpeth'.*Known kinds: \[.*'Depth'"):
        TaskSet(dict(x=dict(type='Dpeth')))
    with pytest.raises(ValueError, match='tasks.x has no `type`'):
        TaskSet(dict(x=dict(out_channels=3)))
    with pytest.raises(KeyError, match=r"Unknown task 'flow'; the tasks here are \['depth', 'semseg', 'edge'\]"):
        TaskSet(CONFIG)['flow']
    with pytest.raises(ValueError, match=r"Unknown task \['flow'\]: known here are"):
        TaskSet(CONFIG).subset(['flow', 'depth'])


def test_names_are_checked():
    assert check_task_names('a', ['a', 'b']) == ['a']
    assert check_task_names(('b', 'a'), ['a', 'b']) == ['b', 'a']
    with pytest.raises(ValueError, match='Every task may be named once'):
        check_task_names(['a', 'a'], ['a'])


@pytest.mark.parametrize('kind', sorted(TASKS.module_dict))
@pytest.mark.parametrize('part', ['loss', 'metric'])
def test_options_are_laid_over_the_default_of_the_class(kind, part):
    default = getattr(TaskSet(dict(x=dict(type=kind)))['x'], part)
    if not default:
        return
    laid = getattr(TaskSet({'x': {'type': kind, part: dict(prefix=1)}})['x'], part)
    assert laid == dict(default, prefix=1)
    whole = {'type': kind, part: dict(_delete_=True, type=default['type'], prefix=1)}
    assert getattr(TaskSet(dict(x=whole))['x'], part) == dict(type=default['type'], prefix=1)
    assert getattr(TaskSet({'x': {'type': kind, part: {}}})['x'], part) == {}


def test_another_type_starts_from_nothing():
    task = TaskSet(dict(x=dict(_delete_=True, type='Depth', metric=dict(type='RegressionMetric'))))['x']
    assert task.metric == dict(type='RegressionMetric')


def test_auxiliary_tasks_follow_a_subset():
    tasks = TaskSet(CONFIG, aux=['edge', 'depth'])
    assert (tasks.aux, tasks.main) == (('depth', 'edge'), ('semseg',))
    part = tasks.subset(['edge', 'semseg'])
    assert (part.names, part.aux, part.main) == (('semseg', 'edge'), ('edge',), ('semseg',))
    assert (TaskSet(CONFIG).aux, TaskSet(CONFIG).main) == ((), ('depth', 'semseg', 'edge'))
    with pytest.raises(ValueError, match='Unknown task'):
        TaskSet(CONFIG, aux=['flow'])


@pytest.mark.parametrize('name', ['a/b', '', 'a b', 3, 'x' * 101])
def test_a_name_makes_a_file_and_a_module(name):
    with pytest.raises(ValueError, match='Names of tasks are made of letters'):
        TaskSet({name: dict(type='Depth')})
    assert TaskSet({'x-1_' + 'x' * 96: dict(type='Depth')}).names[0].startswith('x-1_')


@pytest.mark.parametrize(
    ('config', 'message'),
    [
        ('Depth', "tasks.depht is 'Depth', expected the settings of a task"),
        (dict(out_channels=1), "tasks.depht has no `type`.*Did you mean 'tasks.depth'"),
        (dict(type=3), "Task 'depht' has type 3, which"),
        (dict(type='depth'), "has type 'depth', which is not a known kind of task. Did you mean 'Depth'"),
        (dict(type='Depth', los_weight=2), "tasks.depht.los_weight: Depth takes no 'los_weight'.*'loss_weight'"),
        (dict(type='Depth', loss_weight='much'), "tasks.depht.loss_weight is the text 'much', expected float"),
    ],
)
def test_a_bad_entry_is_named_with_what_was_meant(config, message):
    with pytest.raises(ValueError, match=message):
        TaskSet(dict(depth=dict(type='Depth'), depht=config))


def test_a_loss_of_another_type_takes_nothing_from_that_of_the_class():
    task = TaskSet(dict(x=dict(type='Edge', loss=dict(type='MaskedL1Loss'))))['x']
    assert task.loss == dict(type='MaskedL1Loss')
    given = dict(type='Edge', loss=dict(_delete_=True, type='BalancedBCELoss'))
    assert TaskSet(dict(x=given))['x'].loss == dict(type='BalancedBCELoss')
    assert given['loss']['_delete_']  # what came in stays

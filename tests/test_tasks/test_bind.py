import pytest
from mmengine.config import Config, ConfigDict

from mlore_mm.tasks import TaskSet, bind_tasks


def config(**changes):
    dataset = dict(type='MultiTaskDataset', data_root='x', metainfo=dict(note='kept'))
    base = dict(
        tasks=dict(
            semseg=dict(type='SemSeg', out_channels=4),
            depth=dict(type='Depth'),
            edge=dict(type='Edge', loss_weight=50.0),
        ),
        model=dict(type='Model', test_cfg=dict(mode='whole')),
        train_dataloader=dict(
            dataset=dict(
                type='ConcatDataset',
                datasets=[dataset, dict(type='RepeatDataset', times=2, dataset=dict(dataset, data_root='y'))],
            )
        ),
        val_dataloader=dict(dataset=dataset),
        val_evaluator=dict(type='MultiTaskEvaluator'),
        test_evaluator=dict(type='OtherMetric'),
    )
    return Config(dict(base, **changes))


def leaves(cfg):
    first, second = cfg.train_dataloader.dataset.datasets
    return [first, second.dataset, cfg.val_dataloader.dataset]


def test_the_evaluator_is_recognised_by_its_class():
    cfg = bind_tasks(config(val_evaluator=dict(type='mlore_mm.MultiTaskEvaluator'), test_evaluator=dict(type='Named')))
    assert list(cfg.val_evaluator.tasks) == ['semseg', 'depth', 'edge']
    assert cfg.val_evaluator.metrics == []
    assert 'tasks' not in cfg.test_evaluator


def test_the_final_tasks_reach_every_place():
    cfg = config()
    cfg.merge_from_dict({'tasks.edge.loss_weight': 20.0})
    bind_tasks(cfg)
    for place in (cfg.model, *(leaf.metainfo for leaf in leaves(cfg)), cfg.val_evaluator):
        assert list(place.tasks) == ['semseg', 'depth', 'edge']
        assert place.tasks.edge.loss_weight == 20.0
    assert all(leaf.metainfo.note == 'kept' for leaf in leaves(cfg))
    assert cfg.model.test_cfg == dict(mode='whole', tasks=['semseg', 'depth', 'edge'])
    assert 'tasks' not in cfg.test_evaluator


def test_binding_twice_changes_nothing():
    once = bind_tasks(config(task_names=['depth', 'semseg'])).to_dict()
    assert bind_tasks(bind_tasks(config(task_names=['depth', 'semseg']))).to_dict() == once


def test_task_names_cut_and_keep_the_order_of_tasks():
    cfg = bind_tasks(config(task_names=['edge', 'semseg']))
    assert list(cfg.model.tasks) == ['semseg', 'edge']
    assert list(cfg.val_evaluator.tasks) == ['semseg', 'edge']
    assert list(cfg.tasks) == ['semseg', 'depth', 'edge']


def test_auxiliary_tasks_are_loaded_but_not_evaluated():
    cfg = bind_tasks(config(aux_tasks=['depth']))
    assert list(cfg.model.tasks) == ['semseg', 'depth', 'edge']
    assert cfg.model.aux_tasks == ['depth']
    assert cfg.model.test_cfg.tasks == list(cfg.val_evaluator.tasks) == ['semseg', 'edge']
    assert list(leaves(cfg)[0].metainfo.tasks) == ['semseg', 'depth', 'edge']


def test_evaluated_tasks_can_be_named():
    cfg = bind_tasks(config(eval_tasks=['edge']))
    assert cfg.model.test_cfg.tasks == ['edge']


def test_what_is_handed_out_is_plain_and_not_shared():
    cfg = bind_tasks(config())
    first, second, _ = leaves(cfg)
    first.metainfo.tasks.depth.loss_weight = 7
    assert 'loss_weight' not in second.metainfo.tasks.depth
    assert isinstance(cfg.model.tasks, ConfigDict)  # the config's own view; what is inside stays plain


def test_mistakes_are_named():
    with pytest.raises(ValueError, match='has no `tasks`'):
        bind_tasks(config(tasks={}))
    for key in ('task_names', 'aux_tasks', 'eval_tasks'):
        with pytest.raises(ValueError, match=r"Unknown task \['flow'\]: known here are"):
            bind_tasks(config(**{key: ['flow']}))


def test_a_misspelt_entry_of_labels_is_named():
    labels = dict(semseg=None, dpeth=None, flow=None)
    with pytest.raises(ValueError, match="the val data set has an entry 'dpeth'.*Did you mean 'depth'"):
        bind_tasks(config(val_dataloader=dict(dataset=dict(type='MultiTaskDataset', labels=labels))))
    labels = dict(semseg=None, depth=None, edge=None, edges=None, flow=None)  # leftovers of other tasks do no harm
    bind_tasks(config(val_dataloader=dict(dataset=dict(type='MultiTaskDataset', labels=labels))))


def test_configs_without_model_or_data_are_fine():
    cfg = bind_tasks(Config(dict(tasks=dict(depth=dict(type='Depth')))))
    assert list(cfg) == ['tasks']


def test_a_delete_that_is_left_over_is_dropped():
    cfg = config(val_dataloader=dict(dataset=dict(_delete_=True, type='MultiTaskDataset', x=[dict(_delete_=True)])))
    cfg.tasks.semseg.metric = dict(_delete_=True, type='IoUMetric', per_class=True)
    bind_tasks(cfg)
    assert '_delete_' not in str(cfg.val_dataloader.dataset.x)
    assert '_delete_' not in cfg.val_dataloader.dataset
    assert TaskSet(cfg.val_evaluator.tasks)['semseg'].metric == dict(type='IoUMetric', per_class=True)


def test_groups_that_a_metric_looks_at_are_asked_of_the_model():
    metrics = [dict(type='IoUMetric', task='semseg', output='initial'), 'other']
    cfg = config(val_evaluator=metrics, test_evaluator=dict(type='MultiTaskEvaluator', metrics=metrics[0]))
    cfg.tasks.edge.metric = dict(type='BoundaryLossMetric', output='first')
    assert bind_tasks(cfg).model.test_cfg.groups == ['first', 'initial']
    assert 'tasks' not in cfg.val_evaluator[0]
    cfg = config(val_evaluator=dict(type='MultiTaskEvaluator', metrics=metrics[:1]))
    assert bind_tasks(cfg).model.test_cfg.groups == ['initial']
    assert cfg.val_evaluator.metrics == metrics[:1]


def test_the_model_inside_a_wrapper_gets_the_tasks():
    cfg = bind_tasks(config(model=dict(type='TTA', module=dict(type='Model'))))
    assert list(cfg.model.module.tasks) == ['semseg', 'depth', 'edge']
    assert cfg.model.module.test_cfg == dict(tasks=['semseg', 'depth', 'edge'])
    assert 'tasks' not in cfg.model


def test_auxiliary_tasks_may_be_evaluated_by_name_and_left_out_with_the_others():
    cfg = bind_tasks(config(aux_tasks=['depth'], eval_tasks=['depth', 'edge']))
    assert cfg.model.test_cfg.tasks == ['depth', 'edge']
    cfg = bind_tasks(config(task_names=['semseg'], aux_tasks=['depth']))
    assert (cfg.model.aux_tasks, list(cfg.model.tasks)) == ([], ['semseg'])
    with pytest.raises(ValueError, match=r"Unknown task \['depth'\]"):
        bind_tasks(config(task_names=['semseg'], eval_tasks=['depth']))


def test_a_task_that_is_no_dict_is_named():
    with pytest.raises(ValueError, match=r"tasks.flow is 'Depth', but a task is a dict.*The tasks are \['semseg'"):
        bind_tasks(config(tasks=dict(semseg=dict(type='SemSeg'), flow='Depth')))


def test_what_is_no_evaluator_of_ours_stays():
    cfg = bind_tasks(config(val_evaluator=[dict(type='MultiTaskEvaluator')], val_dataloader=None))
    assert cfg.val_evaluator == [dict(type='MultiTaskEvaluator')]
    cfg = bind_tasks(config(val_evaluator=dict(type='MultiTaskEvaluator', metrics=[dict(type='X')])))
    assert cfg.val_evaluator.metrics == [dict(type='X')]


def test_values_of_variables_are_filled_in_first():
    cfg = config(width=7, val_dataloader=dict(dataset=dict(type='X', size='$width + 1')))
    assert bind_tasks(cfg).val_dataloader.dataset.size == 8


def test_only_a_near_miss_of_an_unlabelled_task_is_a_mistake():
    near = dict(semseg=None, depth=None, edgs=None)
    with pytest.raises(ValueError, match="an entry 'edgs'.*Did you mean 'edge'"):
        bind_tasks(config(val_dataloader=dict(dataset=dict(type='MultiTaskDataset', labels=near))))
    far = dict(semseg=None, depth=None, hegdes=None, sem=None)
    bind_tasks(config(val_dataloader=dict(dataset=dict(type='MultiTaskDataset', labels=far))))

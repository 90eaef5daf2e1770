"""Names of the top level of a config."""

import logging

import pytest

from mlore_mm.apis import load_config
from mlore_mm.engine.config_check.top_level import names_used
from tests.test_engine.test_config_check.settings import CONFIG, changed, check

# Setting to the name that is meant, or what the message says.
TOP = {
    'task_name': 'task_names',
    'eval_task': 'eval_tasks',
    'taks.edge.loss_weight': 'tasks',
    'train_dataloder.batch_size': 'train_dataloader',
    'optim_wraper.clip_grad.max_norm': 'optim_wrapper',
    'custom_hoks': 'custom_hooks',
    'load_form': 'load_from',
    'find_unused_parameter': 'find_unused_parameters',
    'randomnes.seed': 'randomness',
    'workdir': 'work_dir',
    'log_levl': 'log_level',
    'runner_typ': 'runner_type',
    'crop_sze': 'crop_size',
}


@pytest.mark.parametrize('key', TOP)
def test_names_of_the_top_level(config, key):
    with pytest.raises(ValueError, match=f"{key.split('.')[0]}.*Did you mean '{TOP[key]}'"):
        check(changed(config, key, 1))  # in a leaf, or by a script of mmsegmentation
    with pytest.raises(ValueError, match=f"{key}.*Did you mean '{TOP[key]}'"):
        load_config(CONFIG, cfg_options={key: 1})


def test_variables_of_a_config_are_fine(tmp_path, caplog):
    (tmp_path / 'mine.py').write_text(
        f'_base_ = {CONFIG!r}\ntask_name = "depth"\ntask_names = [task_name]\n_custom_hok = 1\nnote = "unused"\n'
        'custom_hoks = dict(batch_size=2)\ntrain_dataloader = dict(**custom_hoks)\nbatch = 3\n'
        "val_dataloader = dict(batch_size='$batch')\n"
    )
    with caplog.at_level(logging.WARNING, 'mmengine'):
        cfg = load_config(str(tmp_path / 'mine.py'), cfg_options={'batch': 4})
        check(cfg)
    assert cfg.val_dataloader.batch_size == 4
    with pytest.raises(ValueError, match=r"task_name: the config copied its variable.*write '\$task_name'"):
        load_config(str(tmp_path / 'mine.py'), cfg_options={'task_name': 'edge'})


def test_names_that_a_text_uses():
    text = 'a = b  # c\nd = dict(e=f, g=\'h\', i="j")\nk = l == m\n_n = o.p\n'
    assert {*'bflm', 'o', 'dict'} <= names_used(text)
    assert not {*'acdeghijkn', '_n'} & names_used(text)

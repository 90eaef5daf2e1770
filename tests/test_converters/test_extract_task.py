import copy
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from torch.testing import assert_close

from mlore_mm.apis import init_model
from mlore_mm.converters import extract_task
from mlore_mm.converters.extract_task import cut_config
from mlore_mm.models.encoding import encode
from mlore_mm.models.one_task import choose_experts, mixtures
from mlore_mm.registry import MODELS
from mlore_mm.routing import trace_routing
from mlore_mm.tasks import bind_tasks
from tests.golden_mod_squad import NAMES, Golden, golden_place
from tests.mlore_models import TASKS, build_mlore, randomise
from tests.systems import SYSTEMS

CONDITIONED = dict(gate='conditioned', task_dims=5, num_experts=[3, 4])


def system_config(name: str, **backbone) -> Config:
    model = copy.deepcopy(SYSTEMS[name].config())
    model['backbone'].update(backbone)
    return Config(dict(tasks=model['tasks'], model=model))


def build(cfg: Config):
    model = init_model(cfg)
    randomise(model)
    return model


def even_use(model) -> dict:
    return {name: torch.ones(part.mixture.num_experts) for name, part in mixtures(model).items()}


def rebuilt(extracted):
    """As anybody would load it: by config and checkpoint."""
    model = init_model(extracted.cfg)
    model.load_state_dict(extracted.state)
    return model


def images(system: str = 'm3vit'):
    return torch.randn(2, 3, *SYSTEMS[system].size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize('which', [0, 1])
@pytest.mark.parametrize('name', NAMES)
def test_published_extraction(name, which):
    golden = Golden(name)
    cut, wanted = golden.meta['extractions'][which], golden.expected['extractions'][which]
    whole, task = golden.model(), cut['task']
    for place, counts in golden.meta['usage_ema_after_each_pass'][2].items():
        whole.get_submodule(f'backbone.{place.replace("blocks", "layers")}').usage.count = torch.tensor(counts).double()
    cfg = Config(dict(tasks=golden.config()['tasks'], model=golden.config()))
    extracted = extract_task(cfg, whole, task, threshold=cut['threshold_percent_of_tokens'])
    assert {golden_place(layer): ids for layer, (ids, _) in extracted.experts.items()} == cut['kept_experts']

    model = MODELS.build(bind_tasks(copy.deepcopy(extracted.cfg)).model).double().eval()
    model.load_state_dict(extracted.state)
    with torch.no_grad(), trace_routing() as trace:
        out = model.decode_head(encode(model.backbone, golden.passes()[0][0], [task], [task], True)).logits[task]
    output = wanted['eval_output']
    assert_close(out[:, :, 0, 0] if output.dim() == 2 else out.permute(0, 2, 3, 1), output.double(), atol=1e-6, rtol=0)
    for record in trace.records:
        assert record.gates.shape[-1] == len(cut['kept_experts'][golden_place(record.layer)])


@pytest.mark.parametrize('task', ['semseg', 'depth'])
@pytest.mark.parametrize(('name', 'options'), [('m3vit', {}), ('m3vit', CONDITIONED), ('mod_squad', {}), ('fgmoe', {})])
def test_with_all_experts_nothing_changes(name, options, task):
    cfg = system_config(name, **options)
    whole = build(cfg)
    before = copy.deepcopy(whole.state_dict())
    extracted = extract_task(cfg, whole, task, even_use(whole))
    assert 'tasks' not in extracted.cfg.model  # not bound
    with torch.no_grad():
        wanted = whole(images(name), tasks=[task])[task]
        assert_close(rebuilt(extracted)(images(name)), {task: wanted}, rtol=0, atol=1e-6)
    assert_close(whole.state_dict(), before, rtol=0, atol=0)
    numbers = sum(x.numel() for x in extracted.state.values())
    assert numbers < sum(x.numel() for x in before.values())
    others = set(TASKS) - {task}
    assert not [key for key in extracted.state if others & set(key.split('.'))], 'of other tasks nothing is left'


@pytest.mark.parametrize('options', [{}, CONDITIONED])
def test_left_out_experts_are_those_of_little_use(options):
    cfg = system_config('m3vit', **options)
    whole = build(cfg)
    first, second = mixtures(whole)
    use = even_use(whole)
    use[first][1] = 0.01  # of 2 or 3.01: less than 3 / 2 percent
    extracted = extract_task(cfg, whole, 'depth', use)
    count = whole.backbone.layers[1].mixture.num_experts
    kept = [e for e in range(count) if e != 1]
    assert extracted.experts == {first: (kept, count), second: ([0, 1, 2, 3], 4)}
    assert list(extracted.cfg.model.backbone.num_experts) == [count - 1, 4]
    # A router that cannot choose expert 1 is what is left of the whole model.
    with torch.no_grad():
        mixtures(whole)[first].router.gate.register_forward_pre_hook(
            lambda module, args: (args[0].index_fill(-1, torch.tensor([1]), -1e9), *args[1:])
        )
        assert_close(rebuilt(extracted)(images()), whole(images(), tasks=['depth']), rtol=0, atol=1e-5)


@pytest.mark.parametrize('deploy', [False, True, 'factors'])
def test_mlore(deploy):
    tasks = ('semseg', 'normals')
    whole = build_mlore(tasks).eval()
    backbone = dict(type='PlainViT', arch=dict(embed_dims=16, num_layers=4, num_heads=2), img_size=[32, 48])
    head = dict(
        type='MLoREDecodeHead',
        in_channels=[16] * 4,
        embed_dims=12,
        ranks=(3, 7, 2, 5),
        task_rank=2,
        top_k=2,
        grid=(2, 3),
    )
    weighting = dict(type='UncertaintyWeighting')
    model = dict(
        type='MultiTaskEncoderDecoder',
        backbone=dict(backbone, init_cfg=dict(type='Pretrained', checkpoint='not_there.pth')),
        decode_head=head,
        criterion=dict(type='MultiTaskCriterion', weighting=weighting),
    )
    cfg = Config(dict(tasks={name: TASKS[name] for name in tasks}, model=model, task_names=list(tasks)))
    extracted = extract_task(cfg, whole, 'normals', deploy=deploy)
    assert extracted.experts == {}
    pixels = torch.randn(2, 3, 32, 48)
    with torch.no_grad():
        wanted = whole(pixels, tasks=['normals'])
        assert_close(rebuilt(extracted)(pixels), wanted, rtol=1e-4, atol=1e-5)


def test_written_files_load(tmp_path):
    cfg = system_config('mod_squad')
    cfg.default_hooks = dict(checkpoint=dict(save_best='semseg/mIoU'))
    cfg.work_dir = 'somewhere'
    whole = build(cfg)
    extracted = extract_task(cfg, whole, 'depth', even_use(whole))
    config, checkpoint = extracted.write(tmp_path / 'new', 'depth')
    model = init_model(str(config), str(checkpoint))
    assert list(model.tasks) == ['depth']
    assert model.cfg.default_hooks.checkpoint.save_best == 'auto'
    assert_close(model(images())['depth'], whole(images(), tasks=['depth'])['depth'], rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match='trained on other tasks'):
        init_model(cfg, str(checkpoint))


@pytest.mark.parametrize(
    ('name', 'task', 'message'),
    [
        ('m3vit', 'sal', "no task 'sal' to extract, only"),
        ('pad_net', 'edge', "'edge' is an auxiliary task"),
        ('pad_net', 'depth', 'PADNetHead computes features of .* to predict'),
        ('task_prompter', 'depth', 'no task can be cut out|no model of its own'),
        ('mtan', 'depth', 'no task can be cut out|no model of its own'),
    ],
)
def test_what_cannot_be_extracted(name, task, message):
    cfg = system_config(name)
    with pytest.raises(ValueError, match=message):
        extract_task(cfg, SYSTEMS[name].build(), task)


def test_use_that_was_never_counted():
    cfg = system_config('mod_squad')
    with pytest.raises(ValueError, match=r"never counted .* 'backbone/block0/attn'.*--use measured"):
        extract_task(cfg, init_model(cfg), 'depth')
    with pytest.raises(ValueError, match="never counted .* 'backbone/block1'"):
        extract_task(system_config('m3vit'), SYSTEMS['m3vit'].build(), 'depth')


def test_no_folded_form():
    cfg = system_config('m3vit')
    whole = build(cfg)
    with pytest.raises(ValueError, match='PUPHead has no folded form'):
        extract_task(cfg, whole, 'depth', even_use(whole), deploy=True)


def test_the_config_that_is_cut():
    weights = dict(type='X', init_cfg=1, pretrained=True)
    criterion = dict(weighting=1, auxiliary=dict(a=1, b=2), auxiliary_weights=dict(a=1, b=2), x=3)
    model = dict(tasks=1, aux_tasks=2, gradient_surgery=3, init_cfg=4, test_cfg=dict(tasks=1, mode='whole'))
    model |= dict(backbone=weights, criterion=criterion, decode_head=dict(type='Y', a=1))
    top = dict(task_names=[1], aux_tasks=[2], eval_tasks=[3], work_dir='w', launcher='l', load_from='f', resume=True)
    hooks = dict(checkpoint=dict(save_best='depth/absRel'))
    cfg = Config(dict(tasks=dict(depth=1, semseg=2), model=model, default_hooks=hooks, **top))
    before = cfg.to_dict()
    cut = cut_config(cfg, 'depth', dict(backbone=dict(b=1), decode_head=dict(a=2)), ['b'])
    assert cut.to_dict() == dict(
        tasks=dict(depth=1),
        model=dict(
            test_cfg=dict(mode='whole'),
            backbone=dict(type='X', pretrained=False, b=1),
            criterion=dict(auxiliary=dict(b=2), auxiliary_weights=dict(b=2), x=3),
            decode_head=dict(type='Y', a=2),
        ),
        default_hooks=hooks,
        load_from=None,
        resume=False,
    )
    assert cfg.to_dict() == before
    assert cut_config(cfg, 'semseg', {}).model.criterion.auxiliary == dict(a=1, b=2)
    assert cut_config(cfg, 'semseg', {}).default_hooks.checkpoint.save_best == 'auto'


@pytest.mark.parametrize(
    ('count', 'top_k', 'threshold', 'kept'),
    [
        ((10, 1, 80, 9), 2, 3, [0, 2, 3]),  # shares above 1.5 percent
        ((10, 1, 80, 9), 2, 100, [0, 2]),  # above 50 there is one, and two are chosen
        ((0.03, 0.97), 1, 3, [1]),  # not those at the threshold, on any scale
        ((5, 5), 2, 0, [0, 1]),
    ],
)
def test_experts_of_enough_use_by_hand(count, top_k, threshold, kept):
    part = SimpleNamespace(
        mixture=SimpleNamespace(num_experts=4), router=SimpleNamespace(gate=SimpleNamespace(top_k=top_k))
    )
    model = SimpleNamespace(backbone=SimpleNamespace(mixtures=lambda: dict(a=part)))
    use = dict(a=torch.tensor(count, dtype=torch.float64))
    assert choose_experts(model, use, threshold)['a'].tolist() == kept
    part.mixture.num_experts = top_k  # nothing to choose, so nobody is asked
    assert choose_experts(model, {}, threshold)['a'].tolist() == list(range(top_k))
    assert choose_experts(SimpleNamespace(backbone=None), {}) == {}

import json
import runpy
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from mlore_mm.apis import init_model
from mlore_mm.apis.analysis.routing_report import (
    _change,
    ablate,
    collect_routing,
    evaluate,
    expert_ranks,
    load_dataset,
    routed_layers,
    without_expert,
)
from mlore_mm.routing import trace_routing
from mlore_mm.visualization.routing_plot import plot_token_experts, plot_usage
from tests.shared import REPO
from tests.tiny import SINGLE_STAGE, write_rooms, write_tiny

FIRST = 'decode_head/stage0/block0'


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp('routing')
    return write_tiny(folder, data=write_rooms(folder / 'NYUDv2'), more=SINGLE_STAGE)


@pytest.fixture(scope='module')
def model(files):
    return init_model(*files)


@pytest.fixture(scope='module')
def dataset(model):
    return load_dataset(model.cfg)


def test_statistics_are_those_of_the_records(model, dataset):
    layers = collect_routing(model, dataset, batch_size=2)
    assert list(layers) == [FIRST, 'decode_head/stage0/block1']
    gates = []
    for i in range(len(dataset)):
        inputs = model.data_preprocessor(dict(inputs=[dataset[i]['inputs']]), False)['inputs']
        with trace_routing() as trace, torch.no_grad():
            model(inputs)
        gates.append(torch.cat([record.gates for record in trace.by_layer()[FIRST]]))
    expected = torch.stack(gates).mean(dim=0).numpy()
    assert layers[FIRST].tasks == tuple(model.tasks)
    np.testing.assert_allclose(layers[FIRST].mean_gate, expected, atol=1e-5)
    np.testing.assert_allclose(layers[FIRST].selection.sum(axis=1), np.full(5, 2))  # top_k
    assert expert_ranks(model)[FIRST] == (2, 4, 6)


def test_an_expert_is_taken_away_and_comes_back(model, dataset):
    inputs = model.data_preprocessor(dict(inputs=[dataset[0]['inputs']]), False)['inputs']
    with torch.no_grad():
        with trace_routing() as trace:
            before = model(inputs)['depth']
        expert = next(int(x.gates[0].argmax()) for x in trace.by_layer()[FIRST] if x.task == 'depth')
        with without_expert(model, FIRST, expert):
            without = model(inputs)['depth']
        after = model(inputs)['depth']
    assert not torch.allclose(before, without)
    torch.testing.assert_close(before, after)
    with pytest.raises(ValueError, match="No layer 'nowhere'"), without_expert(model, 'nowhere', 0):
        pass


def test_ablation_is_the_change_of_the_metrics(model, dataset):
    layers = collect_routing(model, dataset)
    report = ablate(model, model.cfg, dataset, layers, only=[FIRST], tasks=['semseg', 'depth'])
    tasks = model.tasks.subset(['semseg', 'depth'])
    whole = evaluate(model, model.cfg, dataset, tasks)
    assert report['baseline'] == pytest.approx(whole)
    assert list(report['layers']) == [FIRST]
    with without_expert(model, FIRST, 2):
        rmse = evaluate(model, model.cfg, dataset, tasks)['depth']
    expected = 100 * (whole['depth'] - rmse) / whole['depth']
    assert report['layers'][FIRST]['depth'][2] == pytest.approx(expected, abs=1e-3)
    with pytest.raises(ValueError, match="No layer .*'x'"):
        ablate(model, model.cfg, dataset, layers, only=['x'])


def test_change_by_hand():
    assert _change(3.0, 4.0, True) == -25.0
    assert _change(3.0, 4.0, False) == 25.0
    assert _change(1.0, 3.0, True) == -66.6667
    for score, whole in ((1.0, 0.0), (np.nan, 1.0), (np.inf, 1.0), (1.0, np.nan)):
        assert _change(score, whole, True) is None


def test_unused_experts_are_not_evaluated(model, dataset, monkeypatch):
    """Of two layers of three experts one is never chosen: the whole model and five more."""
    layers, done, taken = collect_routing(model, dataset), [], []
    for layer in layers.values():
        layer.selection[:] = 1
    layers[FIRST].selection[:, 1] = 0
    module = sys.modules[ablate.__module__]
    plain = module.without_expert
    monkeypatch.setattr(module, 'without_expert', lambda *args: taken.append(args[1:]) or plain(*args))
    monkeypatch.setattr(module, 'evaluate', lambda *args: dict(depth=2.0 if len(taken) else 1.0))
    report = ablate(
        model, model.cfg, dataset, layers, tasks=['depth'], on_progress=lambda *numbers: done.append(numbers)
    )
    second = 'decode_head/stage0/block1'
    assert taken == [(FIRST, 0), (FIRST, 2), (second, 0), (second, 1), (second, 2)]
    assert done == [(i, 6) for i in range(1, 7)]
    assert report['layers'] == {FIRST: dict(depth=[-100, 0, -100]), second: dict(depth=[-100, -100, -100])}
    assert (report['headlines'], report['images']) == (dict(depth='depth RMSE'), 3)


def test_part_of_a_data_set(model):
    done = []
    few = load_dataset(model.cfg, 'val', max_images=2)
    collect_routing(model, few, on_progress=lambda *numbers: done.append(numbers))
    assert done == [(1, 2), (2, 2)]
    assert len(load_dataset(model.cfg, max_images=9)) == 3
    with pytest.raises(ValueError, match='no extra_dataloader. Choose another split'):
        load_dataset(model.cfg, 'extra')


def test_a_model_without_routers(model, dataset, monkeypatch):
    monkeypatch.setattr('mlore_mm.routing.top_k_gate.record_routing', lambda *args: None)
    with pytest.raises(ValueError, match='nothing in this model routes'):
        collect_routing(model, dataset)
    assert routed_layers(torch.nn.Linear(1, 1)) == {}


def test_command_line(files, tmp_path, monkeypatch, capsys):
    out = tmp_path / 'out'
    args = ['--out', out, '--tasks', 'semseg', 'depth', '--max-images', 2, '--batch-size', 2, '--ablate', FIRST]
    monkeypatch.setattr(sys, 'argv', ['routing.py', *files, *map(str, args), '--device', 'cpu'])
    runpy.run_path(str(REPO / 'tools' / 'analysis_tools' / 'routing.py'), run_name='not main')['main']()
    assert f'files are in {out}' in capsys.readouterr().out
    content = json.loads((out / 'routing.json').read_text())
    layer = content['layers'][FIRST]
    assert (layer['tasks'], layer['experts'], layer['images'], layer['ranks']) == (['semseg', 'depth'], 3, 2, [2, 4, 6])
    assert list(content['ablation']['layers']) == [FIRST]
    names = {'overview', 'decode_head_stage0_block0', 'decode_head_stage0_block1', 'decode_head_stage0_block0_ablation'}
    assert {path.stem for path in out.glob('*.png')} == names
    assert all(Image.open(path).width > 500 for path in out.glob('*.png'))


def test_panels_that_are_left_over_stay_empty():
    """Four tasks need two rows of three panels, a photo and four layers two rows of four."""
    steps, shares = np.array([1, 3, 5]), np.full((3, 2), 0.5)
    figure = plot_usage('x', dict.fromkeys('abcd', (steps, shares)))
    panels = [ax for ax in figure.axes if ax.get_title()]
    assert [ax.get_title() for ax in panels] == list('abcd')
    assert panels[0].images[0].get_extent() == [0, 6, 1.5, -0.5]  # each step in the middle of its column
    assert sum(not ax.axison for ax in figure.axes) == 2
    experts = np.array([[0, 1], [1, 1]])
    figure = plot_token_experts('x', np.zeros((4, 4, 3), np.uint8), dict.fromkeys('abcd', (experts, 3)))
    assert [ax.get_title() for ax in figure.axes if ax.get_title()] == [f'{name}: 2 of 3' for name in 'abcd']
    legend = next(ax for ax in figure.axes if ax.get_title()).get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ['1: 75%', '0: 25%']

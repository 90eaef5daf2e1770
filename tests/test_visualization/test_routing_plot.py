"""What the figures of experts say, read from the figures."""

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure

from mlore_mm.visualization import routing_plot as plots


def layer(tasks=('a', 'b'), experts=3, per_token=False):
    rng = np.random.default_rng(0)
    return SimpleNamespace(
        tasks=list(tasks),
        mean_gate=rng.random((len(tasks), experts)),
        entropy=np.log(np.arange(1, len(tasks) + 1) + 0.5),
        selection=rng.random((len(tasks), experts)),
        similarity=rng.random((len(tasks), len(tasks))),
        load=np.arange(1.0, experts + 1),
        load_variation=0.25,
        mean_similarity=0.5,
        per_token=per_token,
        counted='7 images',
    )


def texts(items):
    return [item.get_text() for item in items]


def panels(figure):
    """Axes without colour bars."""
    return [ax for ax in figure.axes if not hasattr(ax, '_colorbar')]


@pytest.mark.parametrize(
    ('shape', 'numbers', 'size'), [((6, 10), 60, 9), ((61, 1), 61, 7), ((16, 10), 160, 7), ((7, 23), 0, None)]
)
def test_numbers_stand_in_cells_where_they_are_legible(shape, numbers, size):
    ax = Figure().subplots()
    plots.heat_map(ax, np.zeros(shape), [''] * shape[0], [''] * shape[1], 'x', high=1)
    assert len(ax.texts) == numbers
    assert {text.get_fontsize() for text in ax.texts} == ({size} if numbers else set())


def test_a_heat_map_by_hand():
    ax = Figure().subplots()
    values = np.array([[0.0, 1.0, -0.004], [0.456, 0.5, 1.0]])
    plots.heat_map(ax, values, ['r', 's'], list('xyz'), 'title', high=1, colormap='gray')
    assert texts(ax.texts) == ['0.00', '1.00', '0.00', '0.46', '0.50', '1.00']
    assert [text.get_color() for text in ax.texts][:2] == ['white', 'black']  # on black and on white
    assert [text.get_position() for text in ax.texts][:4] == [(0, 0), (1, 0), (2, 0), (0, 1)]
    assert (texts(ax.get_yticklabels()), texts(ax.get_xticklabels())) == (['r', 's'], ['x', 'y', 'z'])
    assert (ax.images[0].norm.vmin, ax.images[0].norm.vmax, ax.get_title()) == (0, 1, 'title')
    ax = Figure().subplots()
    plots.heat_map(ax, values, ['r', 's'], list('xyz'), 'title', digits=1)
    assert (ax.images[0].norm.vmin, ax.images[0].norm.vmax) == (0, 1)
    assert texts(ax.texts)[3] == '0.5'
    grey = plots.Figure().subplots()
    plots.heat_map(grey, np.array([[0.49, 0.52]]), [''], ['', ''], '', high=1, colormap='gray')
    assert [text.get_color() for text in grey.texts] == ['white', 'black']


def test_a_layer_has_four_panels():
    one = layer()
    figure = plots.plot_layer('stage 1', one, ranks=[4, 8, 16])
    gate, common, chosen, bars = panels(figure)
    assert figure._suptitle.get_text() == 'stage 1, 7 images'
    assert texts(gate.get_yticklabels()) == ['a (1.5)', 'b (2.5)']
    assert texts(gate.get_xticklabels()) == ['0\nr4', '1\nr8', '2\nr16']
    assert gate.get_xlabel() == chosen.get_xlabel() == bars.get_xlabel() == 'expert (r: its rank)'
    assert [ax.images[0].get_array().tolist() for ax in (gate, common, chosen)] == [
        one.mean_gate.tolist(),
        one.similarity.tolist(),
        one.selection.tolist(),
    ]
    assert [ax.images[0].norm.vmax for ax in (common, chosen)] == [1, 1]
    assert chosen.get_title() == 'chosen for this share of the images'
    assert [bar.get_height() for bar in bars.patches] == [1, 2, 3]
    assert bars.lines[0].get_ydata()[0] == 2  # even
    assert '0.250' in bars.get_title()
    plain = panels(plots.plot_layer('x', layer(experts=24, per_token=True)))
    assert plain[2].get_title() == 'chosen for this share of the tokens'
    assert (plain[0].get_xlabel(), texts(plain[0].get_xticklabels())[:2]) == ('expert', ['0', '1'])
    for experts, size in ((20, 9), (21, 7)):
        bars = panels(plots.plot_layer('x', layer(experts=experts)))[3]
        assert bars.get_xticklabels()[0].get_fontsize() == size


def test_all_layers_beside_each_other():
    figure = plots.plot_overview(dict(one=layer(), two=layer()))
    used, load, common = panels(figure)
    np.testing.assert_allclose(used.images[0].get_array(), [[1.5, 2.5]] * 2)
    assert used.images[0].norm.vmin == 1
    assert texts(used.get_yticklabels()) == ['one', 'two']
    assert [[bar.get_width() for bar in ax.patches] for ax in (load, common)] == [[0.25] * 2, [0.5] * 2]


def test_changes_have_a_range_that_is_even_around_0():
    changes = np.array([[-3.0, 1.0], [np.nan, 2.04]])
    (ax,) = panels(plots.plot_ablation('x', changes, ['mIoU', 'RMSE'], None))
    assert (ax.images[0].norm.vmin, ax.images[0].norm.vmax, ax.images[0].get_cmap().name) == (-3, 3, 'RdBu')
    assert texts(ax.texts)[:2] + texts(ax.texts)[3:] == ['-3.0', '1.0', '2.0']
    (ax,) = panels(plots.plot_ablation('x', np.full((1, 2), 0.01), ['mIoU'], [4, 8]))
    assert ax.images[0].norm.vmax == 0.1
    assert texts(ax.get_xticklabels()) == ['0\nr4', '1\nr8']
    (ax,) = panels(plots.plot_matrix(np.eye(2), ['a', 'b'], 't'))
    assert (ax.images[0].norm.vmin, ax.images[0].norm.vmax) == (-1, 1)


@pytest.mark.parametrize(('count', 'grid'), [(1, (1, 1)), (3, (1, 3)), (4, (2, 3))])
def test_curves_of_every_task(count, grid):
    curves = {f't{i}': (np.array([10, 20, 30]), np.arange(6.0).reshape(3, 2) / 6) for i in range(count)}
    axes = panels(plots.plot_usage('x', curves))
    assert axes[0].get_gridspec().get_geometry() == grid
    assert [ax.axison for ax in axes] == [True] * count + [False] * (grid[0] * grid[1] - count)
    image = axes[0].images[0]
    assert (image.get_extent(), image.norm.vmin, image.norm.vmax) == ([5, 35, 1.5, -0.5], 0, 1)
    assert image.get_array().tolist() == curves['t0'][1].T.tolist()
    single = panels(plots.plot_usage('x', dict(t=(np.array([7]), np.ones((1, 2))))))[0]
    assert single.images[0].get_extent() == [6.5, 7.5, 1.5, -0.5]


def test_patches_are_shown_by_their_expert():
    photo, experts = np.zeros((20, 30, 3), np.uint8), np.array([[0, 2, 2], [2, 0, 5]])
    figure = plots.plot_token_experts('seg', photo, dict(one=(experts, 6)))
    first, second = figure.axes
    assert [ax.axison for ax in (first, second)] == [False, False]
    assert second.get_title() == 'one: 3 of 6'
    assert texts(second.get_legend().get_texts()) == ['2: 50%', '0: 33%', '5: 17%']
    np.testing.assert_allclose(second.images[1].get_array(), plots.expert_colors(6)[experts])
    assert second.images[1].get_extent() == [-0.5, 29.5, 19.5, -0.5]
    many = plots.plot_token_experts('seg', photo, {str(i): (experts, 6) for i in range(4)})
    assert many.axes[0].get_gridspec().get_geometry() == (2, 4)
    wide = plots.plot_token_experts('x', photo, dict(a=(np.arange(12).reshape(3, 4), 12)))
    assert len(wide.axes[1].get_legend().get_texts()) == 8


def test_neighbours_in_number_are_far_apart_in_hue():
    colours = plots.expert_colors(8)
    assert colours.max(axis=1) == pytest.approx([1, 0.75] * 4)  # every other one is darker
    assert colours.min(axis=1) == pytest.approx(colours.max(axis=1) * 0.15)
    assert np.abs(np.diff(colours, axis=0)).sum(axis=1).min() > 0.5
    assert colours[0].tolist() == pytest.approx([1, 0.15, 0.15])  # red


def test_a_figure_as_a_file_and_as_pixels(tmp_path):
    figure = plots.plot_matrix(np.eye(2), ['a', 'b'], 't')
    assert plots.save_figure(figure, str(tmp_path / 'new/x.png')) == tmp_path / 'new/x.png'
    pixels = plots.figure_to_image(figure)
    assert (pixels.dtype, pixels.shape[2], pixels[0, 0].tolist()) == (np.uint8, 3, [255] * 3)
    assert pixels.flags.writeable

"""Draw docs/figures/mlore.svg: the decoder of MLoRE, and one of its blocks.

Example:
    python docs/figures/mlore.py docs/figures/mlore.svg
"""

import sys

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

SHARED, PER_TASK, PLAIN, LINE = '#d7e8f7', '#fbe3cf', '#ececec', '#444444'
TASKS = ('semseg', 'depth', 'normals')


def box(axes, x, y, width, height, text, colour=PLAIN, size=9):
    """A box centred at (x, y)."""
    shape = FancyBboxPatch(
        (x - width / 2, y - height / 2), width, height,
        boxstyle='round,pad=0.02,rounding_size=0.08', facecolor=colour, edgecolor=LINE, linewidth=0.9,
    )  # fmt: skip
    axes.add_patch(shape)
    axes.text(x, y, text, ha='center', va='center', fontsize=size, linespacing=1.25)


def arrow(axes, *points, style='-|>', dashed=False):
    """A line through the points that ends in an arrow head."""
    xs, ys = zip(*points[:-1], strict=True)
    kind = dict(color=LINE, linewidth=1.1, linestyle=(0, (3, 2)) if dashed else '-')
    if len(points) > 2:
        axes.plot(xs, ys, solid_joinstyle='round', **kind)
    axes.add_patch(
        FancyArrowPatch(points[-2], points[-1], arrowstyle=style, mutation_scale=10, shrinkA=0, shrinkB=0, **kind)
    )


def new_axes(axes, title, width, height):
    axes.set_xlim(0, width)
    axes.set_ylim(0, height)
    axes.set_aspect('equal')
    axes.axis('off')
    axes.set_title(title, fontsize=11, loc='left', fontweight='bold')


def draw_decoder(axes):
    """Encoder levels, two blocks each, fusion and heads."""
    new_axes(axes, '(a) The network', 14, 7.2)
    box(axes, 1.1, 4.2, 1.5, 4.6, 'encoder\n(ViT,\nSwin, ...)', SHARED)
    axes.text(1.1, 1.25, 'image', ha='center', va='center', fontsize=9)
    arrow(axes, (1.1, 1.45), (1.1, 1.88))
    for level in range(4):
        y = 6.0 - 1.2 * level
        arrow(axes, (1.87, y), (2.5, y))
        box(axes, 3.2, y, 1.3, 0.75, f'1x1, level {level + 1}', SHARED, 8)
        arrow(axes, (3.87, y), (4.35, y))
        box(axes, 5.1, y, 1.4, 0.75, 'MLoRE block', PLAIN, 8)
        arrow(axes, (5.82, y), (6.3, y))
        box(axes, 7.05, y, 1.4, 0.75, 'MLoRE block', PLAIN, 8)
        arrow(axes, (7.77, y), (8.3, y))
    axes.plot((8.35, 8.35), (2.1, 6.3), color=LINE, linewidth=2.2)
    axes.text(8.35, 6.5, 'a map for every\nlevel and task', ha='center', va='bottom', fontsize=8)
    for i, task in enumerate(TASKS):
        y = 5.6 - 1.4 * i
        arrow(axes, (8.4, y), (8.9, y))
        box(axes, 9.75, y, 1.6, 0.9, 'softmax over\nlevels, sum', PER_TASK, 8)
        arrow(axes, (10.57, y), (11.0, y))
        box(axes, 11.75, y, 1.4, 0.9, 'up x4, 3x3,\n1x1', PER_TASK, 8)
        arrow(axes, (12.47, y), (12.9, y))
        axes.text(13.0, y, task, ha='left', va='center', fontsize=9)
    axes.text(10.7, 1.75, '...', ha='center', va='center', fontsize=14)
    box(axes, 4.2, 0.75, 2.2, 0.5, 'shared by the tasks', SHARED, 8)
    box(axes, 6.8, 0.75, 2.2, 0.5, 'one per task', PER_TASK, 8)
    box(axes, 9.4, 0.75, 2.2, 0.5, 'has parts of both', PLAIN, 8)


def draw_block(axes):
    """The parts of one block for one task."""
    new_axes(axes, '(b) One MLoRE block, for task t', 14, 6.6)
    axes.text(0.3, 3.4, 'x', ha='center', va='center', fontsize=11)
    arrow(axes, (0.5, 3.4), (0.95, 3.4))
    box(axes, 1.5, 3.4, 1.0, 0.8, '1x1', PER_TASK)
    axes.text(2.25, 3.6, 'u', ha='center', va='bottom', fontsize=10)
    axes.plot((2.02, 2.6), (3.4, 3.4), color=LINE, linewidth=1.1)
    for y, x in ((5.6, 4.05), (4.2, 3.15), (2.6, 3.15), (1.1, 3.15)):
        arrow(axes, (2.6, 3.4), (2.6, y), (x, y), dashed=y == 1.1)
    box(axes, 5.0, 5.6, 1.85, 0.8, 'router', PER_TASK)
    for i in range(3):
        box(axes, 5.2 + 0.12 * i, 4.2 - 0.09 * i, 3.9, 0.85, '', SHARED)
    axes.text(5.44, 4.02, 'N low-rank experts: 3x3 to rank r$_i$, 1x1 back', ha='center', va='center', fontsize=8)
    box(axes, 5.2, 2.6, 3.9, 0.8, 'task-specific low-rank expert', PER_TASK, 8)
    box(axes, 5.2, 1.1, 3.9, 0.8, 'generic 3x3 convolution', SHARED, 8)
    axes.text(2.1, 0.5, 'gradient stops here', ha='left', va='center', fontsize=8, style='italic')
    arrow(axes, (5.95, 5.6), (8.2, 5.6), (8.2, 4.5))
    axes.text(7.9, 5.7, 'gates g: k of N experts', ha='right', va='bottom', fontsize=8)
    arrow(axes, (7.42, 4.1), (7.8, 4.1))
    box(axes, 8.2, 4.1, 0.75, 0.75, r'$\Sigma\, g_i e_i$', 'white', 8)
    arrow(axes, (8.6, 4.1), (9.0, 4.1))
    box(axes, 9.4, 4.1, 0.75, 0.6, 'BN', PER_TASK, 8)
    arrow(axes, (9.8, 4.1), (10.3, 4.1), (10.3, 2.9))
    arrow(axes, (7.18, 2.6), (7.85, 2.6))
    box(axes, 8.2, 2.6, 0.65, 0.6, r'$\times\, m$', 'white', 8)
    arrow(axes, (7.0, 5.6), (7.0, 5.1), (8.85, 5.1), (8.85, 3.15), (8.2, 3.15), (8.2, 2.92))
    axes.text(8.95, 4.85, 'm', ha='left', va='center', fontsize=9)
    arrow(axes, (8.55, 2.6), (10.0, 2.6))
    arrow(axes, (7.18, 1.1), (10.3, 1.1), (10.3, 2.3))
    box(axes, 10.3, 2.6, 0.55, 0.55, '+', 'white', 12)
    arrow(axes, (10.6, 2.6), (11.0, 2.6))
    box(axes, 11.6, 2.6, 1.15, 0.8, 'BN, GELU', PER_TASK, 8)
    arrow(axes, (12.2, 2.6), (12.6, 2.6))
    box(axes, 13.05, 2.6, 0.85, 0.8, '1x1', PER_TASK, 8)
    axes.text(13.75, 2.6, 'y', ha='center', va='center', fontsize=11)
    axes.text(
        10.9, 0.35, 'between u and GELU all is linear:\none 3x3 convolution at inference', ha='center', va='center',
        fontsize=8, style='italic',
    )  # fmt: skip


def main(path: str) -> None:
    plt.rcParams.update({'svg.hashsalt': 'mlore', 'font.family': 'DejaVu Sans', 'mathtext.fontset': 'dejavusans'})
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(10, 10.4), height_ratios=(7.2, 6.6))
    draw_decoder(upper)
    draw_block(lower)
    figure.tight_layout()
    figure.savefig(path, dpi=110, facecolor='white', metadata=dict(Date=None) if path.endswith('.svg') else None)
    print(f'wrote {path}')


if __name__ == '__main__':
    main(sys.argv[1])

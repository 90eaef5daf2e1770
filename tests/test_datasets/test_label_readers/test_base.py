import numpy as np
import pytest

from mlore_mm.datasets.label_readers import IdMapReader, NpyReader
from mlore_mm.datasets.label_readers.base import expect_map
from mlore_mm.registry import LABEL_READERS


def test_paths_are_put_together_from_root_folder_and_suffix():
    reader = LABEL_READERS.build(dict(type='IdMapReader', dir='labels', suffix='_ids.png'))
    assert reader.paths('/data', 'town/a') == ('/data/labels/town/a_ids.png',)
    assert reader.metric_path('/data', 'a') == '/data/labels/a_ids.png'
    assert IdMapReader('/else/labels').paths('/data', 'a') == ('/else/labels/a.png',)
    assert NpyReader('depth', suffix='/depth.npy').paths('/data', 'a') == ('/data/depth/a/depth.npy',)


def test_a_metric_may_read_another_file():
    reader = IdMapReader('baked', metric_dir='original', metric_suffix='.mat')
    assert reader.metric_path('/data', 'a') == '/data/original/a.mat'


def test_maps_have_one_value_per_pixel():
    assert expect_map(np.zeros((3, 4)), 'x').shape == (3, 4)
    assert expect_map(np.zeros((3, 4, 1)), 'x').shape == (3, 4)
    with pytest.raises(ValueError, match=r'x has shape \(3, 4, 2\), expected one value per pixel, \(H, W\). Advice'):
        expect_map(np.zeros((3, 4, 2)), 'x', 'Advice')


def test_what_a_reader_says_of_itself():
    reader = IdMapReader('labels', suffix='_x.png')
    assert repr(reader) == "IdMapReader(dir='labels', suffix='_x.png')"
    assert NpyReader('d').named
    assert NpyReader('d', metric_suffix='.mat').metric_path('/r', 'a') == '/r/d/a.mat'
    with pytest.raises(ValueError, match=r'\(H, W\)\.$'):
        expect_map(np.zeros(3), 'x')

"""The config of the small copy of NYUD-v2 against the data and its table of classes."""

import csv

import numpy as np
import pytest
from mmengine.config import Config

from mlore_mm.datasets.checking_config import open_datasets, survey_sample
from tests.shared import REPO, shared_path


@pytest.fixture
def root(monkeypatch):
    path = shared_path('data/nyud_small')
    monkeypatch.setenv('NYUD_SMALL_ROOT', str(path))
    return path


@pytest.fixture
def config(root):
    return Config.fromfile(REPO / 'configs/_base_/datasets/nyud_small.py')


def test_the_classes_are_those_of_the_table(root, config):
    rows = list(csv.DictReader((root / 'classes.tsv').open(), delimiter='\t'))
    assert [int(row['id13']) for row in rows] == list(config.to_13)
    assert [config.classes[int(row['id13'])] for row in rows] == [row['name13'] for row in rows]


def test_four_tasks_are_read_and_nothing_is_found_in_them(config):
    (dataset,) = open_datasets(config, 'val')
    assert len(dataset) == 90
    surveys = survey_sample(dataset, samples=4)
    assert list(surveys) == ['semseg', 'depth', 'normals', 'edge']
    assert [finding for survey in surveys.values() for finding in survey.findings(whole=False)] == []
    depth = surveys['depth'].statistics
    assert 0.5 < depth.low < depth.high < 10
    normals = surveys['normals'].statistics
    assert 50 < normals.share(normals.valid) < 95  # the others are white
    assert normals.length / normals.valid == pytest.approx(1, abs=0.02)


def test_invalid_normals_are_found_where_nobody_named_them(config):
    config.labels.normals.pop('ignore')
    config.val_dataloader.dataset.labels = config.labels
    (dataset,) = open_datasets(config, 'val')
    (finding,) = survey_sample(dataset, samples=3)['normals'].findings(whole=False)
    assert '(255, 255, 255)' in finding.text
    assert 'ignore=((255, 255, 255),)' in finding.cure
    assert np.isfinite(float(finding.text.split(' %')[0]))

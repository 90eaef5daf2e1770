import numpy as np
import pytest

from mlore_mm.datasets.label_readers import NpyReader, ScaledReader, VectorReader
from mlore_mm.datasets.survey import TaskSurvey, merge_surveys, survey_label, table
from mlore_mm.tasks import Depth, SurfaceNormals
from tests.test_datasets.archives import write_image, write_npy

SIZE = (20, 24)


@pytest.fixture
def normals(tmp_path):
    pixels = np.full((*SIZE, 3), (128, 128, 255), dtype=np.uint8)
    pixels[:6] = 255
    return str(write_image(tmp_path / 'n.png', pixels))


def test_colours_that_a_reader_drops_by_itself_are_told_with_the_option(normals):
    task = SurfaceNormals(name='normals')
    (finding,) = survey_label(task, VectorReader(''), (normals,), SIZE, 'x').findings()
    assert (finding.level, finding.task) == ('warning', 'normals')
    assert '30.0 % of the pixels hold (255, 255, 255)' in finding.text
    assert 'ignore=((255, 255, 255),) of its VectorReader' in finding.cure
    named = survey_label(task, VectorReader('', ignore=((255, 255, 255),)), (normals,), SIZE, 'x')
    assert named.findings() == []
    (finding,) = survey_label(task, VectorReader('', ignore=()), (normals,), SIZE, 'x').findings()
    assert 'most often (255, 255, 255), length 1.73, with 30.0 %' in finding.text


def test_the_largest_code_is_told(tmp_path):
    codes = np.arange(500, 980, dtype=np.uint16).reshape(SIZE)
    codes[:4] = 65535
    path = str(write_image(tmp_path / 'd.png', codes))
    (finding,) = survey_label(Depth(name='d'), ScaledReader('', divisor=1000), (path,), SIZE, 'x').findings()
    assert '20.0 % of the pixels hold 65535' in finding.text


def test_surveys_add_up_to_a_table(tmp_path, normals):
    depth = str(write_npy(tmp_path / 'd.npy', np.linspace(1, 4, 480, dtype=np.float32).reshape(SIZE)))
    surveys = {}
    for _ in range(2):
        merge_surveys(
            surveys,
            dict(
                depth=survey_label(Depth(name='depth'), NpyReader(''), (depth,), SIZE, 'x'),
                normals=survey_label(SurfaceNormals(name='normals'), VectorReader(''), (normals,), SIZE, 'x'),
            ),
        )
    missing = TaskSurvey(Depth(name='depth'))
    missing.missing = 1
    merge_surveys(surveys, dict(depth=missing))
    head, first, second = table(surveys).splitlines()
    assert head.split() == ['task', 'labels', 'labelled', 'values']
    assert first.startswith('depth    2 (1 missing)  100.0 %   1 to 4 m')
    assert second.startswith('normals  2              70.0 %    mean length 1.000')
    assert '30.0 %' in surveys['normals'].findings()[0].text

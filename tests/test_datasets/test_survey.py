import numpy as np
import pytest

from mlore_mm.datasets.label_readers import NpyReader, ScaledReader, VectorReader
from mlore_mm.datasets.survey import Photo, TaskSurvey, merge_surveys, survey_label, table
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


def test_the_three_commonest_colours_are_told_and_counted(tmp_path):
    pixels = np.full((*SIZE, 3), (128, 128, 255), dtype=np.uint8)
    for row, colour in enumerate((255, 255, 255, 127, 127, 128, 0)):
        pixels[row] = colour
    path = str(write_image(tmp_path / 'n.png', pixels))
    surveys = [survey_label(SurfaceNormals(name='n'), VectorReader(''), (path,), SIZE, 'x') for _ in range(2)]
    assert len(surveys[0].marks) == 3
    texts = [finding.text for finding in surveys[0].merge(surveys[1]).findings()]
    assert [text[:6] for text in texts[:2]] == ['15.0 %', '10.0 %']
    assert len(texts) == 3


def test_a_survey_of_missing_labels_takes_the_reader_of_the_others(tmp_path):
    path = str(write_npy(tmp_path / 'd.npy', np.full(SIZE, 3.0, dtype=np.float32)))
    missing, task = TaskSurvey(Depth(name='depth')), Depth(name='depth')
    missing.missing = 1
    assert missing.row() == ('depth', '0 (1 missing)', '-', '')
    assert missing.findings() == []
    merged = missing.merge(survey_label(task, NpyReader('', scale=3), (path,), SIZE, 'x'))
    assert merged.reader.code(9.0) == '3'
    assert merged.row() == ('depth', '1 (1 missing)', '100.0 %', '9 to 9 m; 1 % below 9, half 9, 99 % 9')
    holes = survey_label(task, NpyReader(''), (str(write_npy(tmp_path / 'h.npy', np.zeros(SIZE))),), SIZE, 'x')
    assert holes.row() == ('depth', '1', '0.0 %', '')


def test_a_photo_and_its_label_are_laid_on_each_other(tmp_path):
    image = np.zeros((*SIZE, 3), np.uint8)
    image[:, 12:] = 200
    photo = Photo.read(str(write_image(tmp_path / 'x.png', image)))
    assert (photo.size, photo.orientation) == (SIZE, 1)
    depth = str(write_npy(tmp_path / 'd.npy', np.where(image[..., 0] > 0, 5, 2).astype(np.float32)))
    survey = survey_label(Depth(name='depth'), NpyReader(''), (depth,), SIZE, 'x', photo)
    assert survey.alignment.images == 1
    assert survey_label(Depth(name='depth'), NpyReader(''), (depth,), SIZE, 'x').alignment.images == 0

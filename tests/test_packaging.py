"""What `pip install .` brings, from a wheel, from a source distribution and as links."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

from mlore_mm.utils.versions import FAMILIES
from mlore_mm.version import __version__

REPO = Path(__file__).resolve().parents[1]
SOURCES = ('mlore_mm', 'configs', 'tools', 'requirements', 'requirements.txt', 'setup.py', 'pyproject.toml')
SOURCES += ('MANIFEST.in', 'LICENSE', 'README.md', 'CHANGELOG.md', 'model-index.yml')
BUILD = 'import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))'


def requirement_lines(name: str) -> list[str]:
    lines = (REPO / 'requirements' / f'{name}.txt').read_text().splitlines()
    return [line.split('#')[0].strip() for line in lines if line.split('#')[0].strip()]


def build(kind: str, source: Path, target: Path) -> Path:
    """Build in the way pip does, without the network; ``kind`` is a hook of PEP 517."""
    target.mkdir(exist_ok=True)
    env = {key: value for key, value in os.environ.items() if key != 'PYTHONPATH'}
    run = subprocess.run(
        [sys.executable, '-c', BUILD, kind, str(target)], cwd=source, env=env, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return target / run.stdout.splitlines()[-1]


@pytest.fixture(scope='module')
def source(tmp_path_factory) -> Path:
    """A copy of the sources, which builds may litter."""
    pytest.importorskip('setuptools')
    folder = tmp_path_factory.mktemp('source')
    for name in SOURCES:
        if (REPO / name).is_dir():
            shutil.copytree(REPO / name, folder / name, ignore=shutil.ignore_patterns('__pycache__', '.mim'))
        else:
            shutil.copy2(REPO / name, folder / name)
    return folder


def files_below(folder: Path) -> set[str]:
    paths = (path.relative_to(REPO) for path in (REPO / folder).rglob('*') if path.is_file())
    return {path.as_posix() for path in paths if not {'__pycache__', '.mim'} & set(path.parts)}


def test_wheel_holds_code_configs_and_tools(source, tmp_path):
    # Links of an editable install lie in the tree when somebody builds from it.
    build('build_editable', source, tmp_path)
    wheel = zipfile.ZipFile(build('build_wheel', source, tmp_path))
    names = set(wheel.namelist())
    content = files_below('configs') | files_below('tools') | {'model-index.yml'}
    assert {f'mlore_mm/.mim/{name}' for name in content} <= names
    assert files_below('mlore_mm') <= names
    assert {name.split('/')[0] for name in names} == {'mlore_mm', f'mlore_mm-{__version__}.dist-info'}


def test_source_distribution_builds_the_same_wheel(source, tmp_path):
    with tarfile.open(build('build_sdist', source, tmp_path)) as archive:
        # The argument came with a patch release: 3.10.12, 3.11.4.
        archive.extractall(tmp_path, **({'filter': 'data'} if hasattr(tarfile, 'data_filter') else {}))
    again = build('build_wheel', tmp_path / f'mlore_mm-{__version__}', tmp_path / 'again')
    direct = build('build_wheel', source, tmp_path / 'direct')
    assert zipfile.ZipFile(again).namelist() == zipfile.ZipFile(direct).namelist()


def test_editable_install_links_to_the_sources(source, tmp_path):
    build('build_editable', source, tmp_path)
    for name in ('configs', 'tools', 'model-index.yml'):
        assert (source / 'mlore_mm' / '.mim' / name).resolve() == (source / name).resolve()


def test_runtime_requirements_hold_neither_family_nor_torch(source, tmp_path):
    wheel = zipfile.ZipFile(build('build_wheel', source, tmp_path))
    metadata = wheel.read(f'mlore_mm-{__version__}.dist-info/METADATA').decode()
    required = re.findall(r'^Requires-Dist: ([\w.-]+)(?!.*extra ==)', metadata, re.MULTILINE)
    assert sorted(required) == sorted(re.match(r'[\w.-]+', line)[0] for line in requirement_lines('runtime'))
    assert not any(name.startswith(('onedl', 'mm')) or name in ('torch', 'torchvision') for name in required)


@pytest.mark.parametrize(('family', 'file'), [('OneDL', 'onedl'), ('OpenMMLab', 'mminstall')])
def test_requirement_files_agree_with_the_version_check(family, file):
    assert {package.requirement for package in FAMILIES[family]} <= set(requirement_lines(file))
    other = {package.distribution for name in FAMILIES if name != family for package in FAMILIES[name]}
    assert not {re.match(r'[\w.-]+', line)[0] for line in requirement_lines(file)} & other


@pytest.mark.parametrize('script', ['tools/env.sh', 'tools/quickstart.sh', 'tools/run_tests.sh', '.ci/run'])
def test_shell_scripts_parse(script):
    result = subprocess.run(['bash', '-n', REPO / script], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, '')


def test_model_index_names_every_config():
    """In the form that mim reads: an index that imports a file per folder of configs."""
    index = yaml.safe_load((REPO / 'model-index.yml').read_text())
    files = [yaml.safe_load((REPO / path).read_text()) for path in index['Import']]
    models = [model for file in files for model in file['Models']]
    collections = [collection for file in files for collection in file['Collections']]
    configs = {path.relative_to(REPO).as_posix() for path in REPO.glob('configs/[!_]*/*.py')}
    assert sorted(model['Config'] for model in models) == sorted(configs)
    for model in models:
        assert Path(model['Config']).stem == model['Name']
        assert model['In Collection'] in [collection['Name'] for collection in collections]
    assert all((REPO / collection['README']).is_file() for collection in collections)

import re

import pytest

from mlore_mm.utils.versions import FAMILIES, check_versions, install_commands

ONEDL = {
    'torch': '2.13.0+cpu',
    'onedl-mmengine': '0.10.12',
    'onedl-mmcv': '2.3.6',
    'onedl-mmsegmentation': '1.4.2',
}
OPENMMLAB = {'torch': '2.10.0', 'mmengine': '0.10.7', 'mmcv': '2.1.0', 'mmsegmentation': '1.2.2'}


def refusal(installed: dict) -> str:
    with pytest.raises(ImportError) as error:
        check_versions(installed)
    return str(error.value)


def without(installed: dict, name: str) -> dict:
    return {key: version for key, version in installed.items() if key != name}


def test_both_families_are_accepted():
    assert check_versions(ONEDL) == 'OneDL'
    assert check_versions(OPENMMLAB) == 'OpenMMLab'
    assert check_versions(OPENMMLAB | {'mmpretrain': '1.2.0'}) == 'OpenMMLab'


def test_this_environment_is_accepted():
    assert check_versions() in FAMILIES


@pytest.mark.parametrize('version', ['2.2.0', '2.0.1', '2.2.0rc1'])
def test_unsupported_version_names_found_supported_and_cure(version):
    message = refusal(OPENMMLAB | {'mmcv': version})
    assert f'mmcv: found mmcv {version}, supported is mmcv>=2.1.0,<2.2.0' in message
    assert 'MMCV_WITH_OPS=1 pip install --no-build-isolation "mmcv>=2.1.0,<2.2.0"' in message
    assert 'mmengine: found' not in message


def test_missing_package_is_named_with_the_cure_of_the_family_at_hand():
    message = refusal(without(ONEDL, 'onedl-mmsegmentation'))
    assert 'mmseg: not installed, supported is onedl-mmsegmentation>=1.4.0,<1.5' in message
    assert install_commands('OneDL')[0] in message
    assert refusal(without(OPENMMLAB, 'mmengine')).count('mmengine: not installed') == 1


def test_nothing_installed_suggests_the_family_without_a_compiler():
    message = refusal({'torch': '2.13.0'})
    for module in ('mmengine', 'mmcv', 'mmseg'):
        assert f'{module}: not installed' in message
    assert 'pip install "onedl-mmengine' in message


def test_mmcv_lite_is_explained():
    message = refusal(without(OPENMMLAB, 'mmcv') | {'mmcv-lite': '2.1.0'})
    assert 'mmcv-lite 2.1.0 was found, but it lacks the compiled operators' in message


def test_mixed_families_are_refused_with_the_command_that_separates_them():
    message = refusal(ONEDL | {'mmengine': '0.10.7'})
    assert 'mixed: onedl-mmengine 0.10.12, onedl-mmcv 2.3.6, onedl-mmsegmentation 1.4.2, mmengine 0.10.7' in message
    assert 'pip uninstall -y onedl-mmengine onedl-mmcv onedl-mmsegmentation mmengine' in message
    assert message.index('pip uninstall') < message.index('pip install "onedl-mmengine')


@pytest.mark.parametrize('version', ['2.5.1', '1.13.1+cpu'])
def test_old_torch_alone_asks_for_torch_alone(version):
    message = refusal(ONEDL | {'torch': version})
    assert f'torch: found torch {version}, supported is torch>=' in message
    assert re.findall('pip install "(.*?)"', message) == ['torch>=2.10']


def test_optional_package_may_be_missing_but_not_of_another_version():
    assert 'mmpretrain: found onedl-mmpretrain 1.2.9' in refusal(ONEDL | {'onedl-mmpretrain': '1.2.9'})


def test_versions_are_judged_by_their_number():
    assert check_versions(ONEDL | {'torch': '2.11.0.dev20260101+cu130'}) == 'OneDL'
    assert 'torch: found torch 2.10.0rc1' in refusal(ONEDL | {'torch': '2.10.0rc1'})
    assert 'torch: not installed, supported is torch>=2.10' in refusal(without(ONEDL, 'torch'))
    assert check_versions(ONEDL | {'onedl-mmpretrain': '1.3.3'}) == 'OneDL'


def test_other_builds_are_explained_where_they_stand_in_the_way():
    message = refusal(without(OPENMMLAB, 'mmengine') | {'mmengine-lite': '0.10.7', 'mmcv-full': '1.7'})
    assert '(mmengine-lite 0.10.7 was found, but mmcv and mmsegmentation ask for mmengine itself)' in message
    assert 'mmcv-full' not in message  # mmcv itself is there
    assert check_versions(OPENMMLAB | {'mmcv-lite': '2.1.0'}) == 'OpenMMLab'


def test_commands_ask_for_what_is_required_only():
    assert install_commands('OneDL') == [
        'pip install "onedl-mmengine>=0.10.10,<0.11" "onedl-mmcv>=2.3.3,<2.4" "onedl-mmsegmentation>=1.4.0,<1.5"'
    ]
    commands = install_commands('OpenMMLab')
    assert commands[-1] == 'pip install ftfy regex "mmengine>=0.10.7,<0.11" "mmsegmentation>=1.2.2,<1.3"'
    assert len(commands) == 3
    message = refusal(without(ONEDL, 'onedl-mmcv'))
    assert 'pip uninstall' not in message
    assert 'pip install "torch' not in message

"""Which versions of the OpenMMLab packages work, and what to do about others.

The packages ``mmengine``, ``mmcv`` and ``mmseg`` come from one of two families of distributions, the original OpenMMLab
releases or their continuation by OneDL, which install modules of the same names. The check reads the metadata of what
is installed and imports nothing, so that its message comes before the bare assertions of the packages themselves.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata

from packaging.specifiers import SpecifierSet


@dataclass(frozen=True)
class Package:
    """A distribution and the range of its versions that works.

    Attributes:
        module: Name under which it is imported.
        distribution: Name under which it is installed.
        versions: Supported range; the lower end was tested, the upper end is explained in docs/dependencies.md.
        optional: Whether it may be missing.
    """

    module: str
    distribution: str
    versions: str
    optional: bool = False

    @property
    def requirement(self) -> str:
        return self.distribution + self.versions


# Below 2.10 a file can break out of torch.load(weights_only=True), by which all checkpoints are read (CVE-2026-24747).
TORCH = Package('torch', 'torch', '>=2.10')
FAMILIES = {
    'OneDL': (
        Package('mmengine', 'onedl-mmengine', '>=0.10.10,<0.11'),
        Package('mmcv', 'onedl-mmcv', '>=2.3.3,<2.4'),
        Package('mmseg', 'onedl-mmsegmentation', '>=1.4.0,<1.5'),
        Package('mmpretrain', 'onedl-mmpretrain', '>=1.3.3,<1.4', optional=True),
    ),
    'OpenMMLab': (
        Package('mmengine', 'mmengine', '>=0.10.7,<0.11'),
        Package('mmcv', 'mmcv', '>=2.1.0,<2.2.0'),
        Package('mmseg', 'mmsegmentation', '>=1.2.2,<1.3'),
        Package('mmpretrain', 'mmpretrain', '>=1.2.0,<1.3', optional=True),
    ),
}
# Distributions that also bring a module ``mmcv``, and why that one does not do.
UNSUITABLE = {
    'mmcv-lite': 'it lacks the compiled operators that mmsegmentation imports',
    'mmcv-full': 'it is the name of mmcv 1.x',
    'mmengine-lite': 'mmcv and mmsegmentation ask for mmengine itself',
}


def installed_versions() -> dict[str, str]:
    """Versions of the distributions that the check looks at, by name; those not installed are left out."""
    names = [TORCH.distribution, *UNSUITABLE]
    names += [package.distribution for family in FAMILIES.values() for package in family]
    versions = {}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def check_versions(installed: Mapping[str, str] | None = None) -> str:
    """The family of OpenMMLab distributions in use.

    Args:
        installed: Version by distribution name; read from the environment when left out.

    Raises:
        ImportError: If a package is missing, has another version than those supported, or if the families are mixed.
            The message names what was found, what is supported, and the command that cures it.
    """
    installed = installed_versions() if installed is None else installed
    present = {
        family: [package for package in packages if package.distribution in installed]
        for family, packages in FAMILIES.items()
    }
    mixed = all(present.values())
    # With nothing installed, the family that needs no compiler is the one to suggest.
    family = max(present, key=lambda name: len(present[name]))
    problems = _problems(FAMILIES[family], installed)
    if mixed:
        found = ', '.join(_describe(package, installed) for packages in present.values() for package in packages)
        problems = [f'two families that install the same modules are mixed: {found}']
    problems += _problems([TORCH], installed)
    if problems:
        raise ImportError(_message(problems, family, present if mixed else {}))
    return family


def _problems(packages, installed: Mapping[str, str]) -> list[str]:
    """One line for each package that is missing or has an unsupported version."""
    problems = []
    for package in packages:
        if package.distribution not in installed:
            if not package.optional:
                problems.append(_missing(package, installed))
        # Pre-releases and local builds such as 2.13.0+cpu are judged by their number alone.
        elif not SpecifierSet(package.versions).contains(installed[package.distribution], prereleases=True):
            problems.append(
                f'{package.module}: found {_describe(package, installed)}, supported is {package.requirement}'
            )
    return problems


def _missing(package: Package, installed: Mapping[str, str]) -> str:
    line = f'{package.module}: not installed, supported is {package.requirement}'
    for name, reason in UNSUITABLE.items():
        if name.startswith(package.module) and name in installed:
            line += f' ({name} {installed[name]} was found, but {reason})'
    return line


def _describe(package: Package, installed: Mapping[str, str]) -> str:
    return f'{package.distribution} {installed[package.distribution]}'


def _message(problems: list[str], family: str, to_remove: dict[str, list[Package]]) -> str:
    lines = ['mlore_mm cannot work with the packages of this environment.']
    lines += [f'  - {problem}' for problem in problems]
    lines.append('To cure it, run:')
    if any(to_remove.values()):
        names = [package.distribution for packages in to_remove.values() for package in packages]
        lines.append(f'  pip uninstall -y {" ".join(names)}')
        family = 'OneDL'
    if any(problem.startswith('torch:') for problem in problems):
        lines.append(f'  pip install "{TORCH.requirement}"')
    if any(not problem.startswith('torch:') for problem in problems):
        lines += [f'  {command}' for command in install_commands(family)]
    return '\n'.join(lines)


def install_commands(family: str) -> list[str]:
    """The shell commands that install the required packages of a family, for an environment that has torch."""
    required = {package.module: package.requirement for package in FAMILIES[family] if not package.optional}
    if family == 'OneDL':
        return ['pip install ' + ' '.join(f'"{requirement}"' for requirement in required.values())]
    mmcv = required.pop('mmcv')
    return [
        'pip install "setuptools>=77.0.3,<81" wheel ninja psutil',  # mmcv's setup.py imports pkg_resources
        f'MMCV_WITH_OPS=1 pip install --no-build-isolation "{mmcv}"',
        'pip install ftfy regex ' + ' '.join(f'"{requirement}"' for requirement in required.values()),
    ]

"""Installs mlore_mm, with its configs and tools in ``mlore_mm/.mim`` where ``mim`` looks for them."""

import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
MIM_CONTENT = ('configs', 'tools', 'model-index.yml')


class BuildWithMim(build_py):
    """Adds ``mlore_mm/.mim``: a copy in what is built, links in the source tree for an editable install."""

    def run(self):
        if not self.editable_mode:
            # A folder of an earlier build may hold modules that are gone from the sources.
            shutil.rmtree(Path(self.build_lib) / 'mlore_mm', ignore_errors=True)
        super().run()
        if self.editable_mode:
            self._place(ROOT / 'mlore_mm' / '.mim', link=True)
        else:
            self._place(Path(self.build_lib) / 'mlore_mm' / '.mim', link=False)

    def _place(self, target: Path, link: bool) -> None:
        shutil.rmtree(target, ignore_errors=True)  # what an earlier build left there
        target.mkdir(parents=True)
        for name in MIM_CONTENT:
            source = ROOT / name
            if link:
                try:
                    (target / name).symlink_to(Path('..', '..', name))
                    continue
                except OSError:  # Windows without the right to make links: copy, and install again after changes
                    pass
            if source.is_dir():
                shutil.copytree(source, target / name, ignore=shutil.ignore_patterns('__pycache__'))
            else:
                shutil.copy2(source, target / name)


def requirements(name: str) -> list[str]:
    """The lines of requirements/<name>.txt that name a package."""
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text(encoding='utf-8').splitlines()
    lines = (line.split('#')[0].strip() for line in lines)
    return [line for line in lines if line]


def version() -> str:
    """``__version__``, without an import: the packages that mlore_mm imports may not be installed yet."""
    namespace = {}
    exec((ROOT / 'mlore_mm' / 'version.py').read_text(encoding='utf-8'), namespace)
    return namespace['__version__']


setup(
    name='mlore_mm',
    version=version(),
    description='Multi-task dense prediction for OpenMMLab, with MLoRE (CVPR 2024)',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8') if (ROOT / 'README.md').exists() else '',
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    keywords='computer vision, multi-task learning, dense prediction, mixture of experts',
    classifiers=[
        'Development Status :: 4 - Beta',
        'Operating System :: OS Independent',
        'Programming Language :: Python :: 3',
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Topic :: Scientific/Engineering :: Image Recognition',
    ],
    packages=find_packages(include=['mlore_mm', 'mlore_mm.*']),
    python_requires='>=3.10',
    # mmengine, mmcv and mmseg are not among them: two families of distributions bring them, and pip must not
    # put one over the other. The import of mlore_mm says what is missing.
    install_requires=requirements('runtime'),
    extras_require={
        'tests': requirements('tests'),
        'optional': requirements('optional'),
        'encoders': requirements('encoders'),
        'surgery': requirements('surgery'),
        'onedl': requirements('onedl'),
        'mim': requirements('mminstall'),
    },
    cmdclass={'build_py': BuildWithMim},
    zip_safe=False,
)

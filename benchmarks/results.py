"""Rows of results, their table, and the machine that they hold for."""

import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import torch

BEGIN, END = '<!-- results of benchmarks/run.py: begin -->', '<!-- results of benchmarks/run.py: end -->'


@dataclass(frozen=True)
class Row:
    """One measured value.

    Attributes:
        section: Such as 'Decoder, inference'.
        case: Configuration, batch and precision.
        name: What was measured, such as 'deploy'.
        value: In ``unit``.
        unit: 's', 'ms', 'MiB', or '' for a plain number.
        ratio: The literal form's value over this one; None where there is none.
        note: Anything more, such as the spread.
    """

    section: str
    case: str
    name: str
    value: float
    unit: str = ''
    ratio: float | None = None
    note: str = ''

    @property
    def key(self) -> tuple[str, str, str]:
        """What a second measurement of the same thing replaces."""
        return self.section, self.case, self.name

    def cells(self) -> tuple[str, ...]:
        ratio = '' if self.ratio is None else f'{self.ratio:.2f} x'
        return self.case, self.name, f'{self.value:.4g} {self.unit}'.strip(), ratio, self.note


def markdown(rows: Iterable[Row], machine: str) -> str:
    """A table per section."""
    sections: dict[str, list[Row]] = {}
    for row in rows:
        sections.setdefault(row.section, []).append(row)
    lines = [machine]
    for section, members in sections.items():
        lines += ['', f'**{section}**', '', '| case | what | value | literal / this | |', '|---|---|---:|---:|---|']
        lines += [f'| {" | ".join(row.cells())} |' for row in members]
    return '\n'.join(lines) + '\n'


def write_into(path: Path, text: str) -> None:
    """Replace what stands between the two markers of a document.

    Raises:
        ValueError: The document lacks the markers.
    """
    document = path.read_text()
    if BEGIN not in document or END not in document:
        raise ValueError(f'{path} has no place for results: put {BEGIN} and {END} on lines of their own.')
    head, tail = document.split(BEGIN)[0], document.split(END)[1]
    path.write_text(f'{head}{BEGIN}\n{text}{END}{tail}')


def machine_line(device: str) -> str:
    """Processor, threads, versions and day."""
    parts = [f'{_processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads']
    if device.startswith('cuda'):
        parts = [f'{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}']
    load = os.getloadavg()[0] if hasattr(os, 'getloadavg') else float('nan')
    versions = f'PyTorch {torch.__version__}, Python {platform.python_version()}'
    return '; '.join([*parts, versions, f'load {load:.1f}', date.today().isoformat()])


def _processor() -> str:
    cpuinfo = Path('/proc/cpuinfo')
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(':')[1].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.processor() or platform.machine()

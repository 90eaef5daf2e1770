"""Runs what a plan names and writes the table of it."""

import json
import time
from collections.abc import Mapping
from pathlib import Path

from mlore_mm.apis.comparison.jobs import ending_softly, estimate, execute, outcome, probe, read_json, state_of
from mlore_mm.apis.comparison.pictures import plot_costs, plot_scores
from mlore_mm.apis.comparison.plan import KEY, Plan, Run, read_plan
from mlore_mm.apis.comparison.results import directions, summarise
from mlore_mm.apis.comparison.tables import as_dicts, csv_text, markdown
from mlore_mm.engine.folder_lock import FolderLock
from mlore_mm.utils.whole_files import write_whole
from mlore_mm.visualization.routing_plot import save_figure

FILE = 'comparison.json'


def compare(
    path: str | Path,
    work_dir: str | Path | None = None,
    *,
    dry_run: bool = False,
    add: bool = False,
    options: Mapping | None = None,
) -> list[Path]:
    """Run what is not done yet and write ``comparison.md``, ``.csv``, ``.json``, ``scores.png`` and ``costs.png``.

    The table is written after every run. Failed runs are in it, and are tried again by the next call.

    Args:
        path: The plan, see :func:`read_plan`.
        work_dir: Where everything goes; ``work_dirs/compare_<name of the plan>`` by default.
        dry_run: Train ten iterations of everything and print the table of runs with an estimate of time, no more.
        add: Extend the comparison that is in the folder by this plan.
        options: Overrides of the plan.

    Returns:
        The written files; none for a dry run.

    Raises:
        ValueError: A mistake in the plan; the folder holds a comparison of other runs and ``add`` is not set; or it is,
            and another plan has runs of the same names that are not the same.
    """
    plan = read_plan(path, options)
    work_dir = Path(work_dir or Path('work_dirs') / f'compare_{Path(path).stem}')
    earlier = _earlier(plan, work_dir, add)
    for sentence in plan.unequal:
        print(f'Not equal in training: {sentence}')
    if dry_run:
        with ending_softly():
            print(_dry_run(plan, work_dir))
        return []
    with FolderLock(work_dir), ending_softly():
        files, start, took = _write(plan, earlier, work_dir), time.monotonic(), 0
        waiting = [run for run in plan.runs if state_of(run, work_dir) != 'done']
        print(f'{len(plan.runs)} runs, {len(plan.runs) - len(waiting)} of them done before; the table is {files[0]}')
        for i, run in enumerate(waiting, start=1):
            print(f'[{i}/{len(waiting)}] {run.title}: {run.budget} ...', flush=True)
            began = time.monotonic()
            found = execute(run, work_dir)
            took = time.monotonic() - start
            left = took / i * (len(waiting) - i) / 60
            print(f'[{i}/{len(waiting)}] {run.title}: {_said(found)} in {time.monotonic() - began:.0f} s; '
                  f'about {left:.0f} min left', flush=True)  # fmt: skip
            files = _write(plan, earlier, work_dir)
    return files


def _earlier(plan: Plan, work_dir: Path, add: bool) -> list[dict]:
    """Records of the comparison in the folder that the plan does not name itself."""
    keys = {run.key: run.digest for run in plan.runs}
    known = _before(work_dir, 'runs')
    others = [record for record in known if tuple(record[name] for name in KEY) not in keys]
    if others and not add:
        titles = ', '.join(dict.fromkeys(x['title'] for x in others[:3]))
        raise ValueError(
            f'{work_dir} holds a comparison with {len(others)} runs that this plan does not name ({titles} ...). Give '
            '--add to extend it, or another --work-dir.'
        )
    for record in known if add else ():
        digest = keys.get(tuple(record[name] for name in KEY), record['config'])
        if digest != record['config'] and record.get('plan', plan.name) != plan.name:
            raise ValueError(
                f"{work_dir} holds {record['title']} of the plan '{record['plan']}', whose config is not that of this "
                'plan. Give the system another name, or the plan another --work-dir.'
            )
    return others


def _write(plan: Plan, earlier: list[dict], work_dir: Path) -> list[Path]:
    records = [*earlier, *(_record(run, plan, work_dir) for run in plan.runs)]
    said = directions(records)
    names = list(dict.fromkeys([*plan.tasks, *said]))
    tasks = {name: said[name] for name in names if name in said}
    rows = summarise(records, names)
    done = [x['outcome'] for x in records if x['outcome']['status'] == 'done']
    device = ', '.join(sorted({f'{x["device"]}, {x["threads"]}' for x in done}))
    unequal = dict.fromkeys([*(_before(work_dir, 'unequal') if earlier else ()), *plan.unequal])
    content = dict(name=plan.name, tasks=tasks, rows=as_dicts(rows), runs=records, unequal=list(unequal))
    files = [work_dir / f'comparison.{end}' for end in ('md', 'csv', 'json')]
    texts = (
        markdown(plan.name, rows, tasks, device, list(unequal)),
        csv_text(rows, tasks),
        json.dumps(content, indent=1) + '\n',
    )
    for file, text in zip(files, texts, strict=True):
        write_whole(file, text, lasting=False)
    if tasks:
        files.append(save_figure(plot_scores(rows, tasks), work_dir / 'scores.png'))
        files.append(save_figure(plot_costs(rows), work_dir / 'costs.png'))
    return files


def _before(work_dir: Path, name: str) -> list:
    """What the comparison in the folder says so far."""
    return (read_json(work_dir / FILE) or {}).get(name, [])


def _record(run: Run, plan: Plan, work_dir: Path) -> dict:
    return dict(
        plan=plan.name, data=run.data, encoder=run.encoder, budget=run.budget, system=run.system, task=run.task,
        seed=run.seed, title=run.title, config=run.digest, folder=run.folder(work_dir).relative_to(work_dir).as_posix(),
        outcome=outcome(run, work_dir),
    )  # fmt: skip


def _said(found: dict) -> str:
    if found['status'] != 'done':
        return f'FAILED ({" ".join(found.get("reason", "").split())[:200]})'
    scores = (f'{name} {row["headline"]} {row["value"]:.4g}' for name, row in found['tasks'].items())
    return ', '.join(scores)


def _dry_run(plan: Plan, work_dir: Path) -> str:
    width = max(len(run.title) for run in plan.runs)
    lines, left = [f'{"run":<{width}}  {"state":<10} {"s / iteration":>13} {"minutes":>8}'], 0.0
    for run in plan.runs:
        times, state = probe(run, work_dir), state_of(run, work_dir)
        if 'reason' in times:
            lines.append(f'{run.title:<{width}}  {state:<10} fails: {" ".join(times["reason"].split())[:200]}')
            continue
        minutes = estimate(run, times) / 60
        left += 0 if state == 'done' else minutes
        lines.append(f'{run.title:<{width}}  {state:<10} {times["iteration_s"]:13.3f} {minutes:8.1f}')
    done = sum(state_of(run, work_dir) == 'done' for run in plan.runs)
    lines.append(f'{len(plan.runs)} runs of {plan.budget} each, {done} done; about {left:.0f} minutes for the rest.')
    return '\n'.join(lines)

"""A page on this machine that shows all maps of a photo: drop one in, compare, read off numbers, download.

Example, with the model that `bash tools/quickstart.sh` trains:
    pip install gradio
    python demo/app.py

With others, of which visitors may choose:
    python demo/app.py --model CONFIG CHECKPOINT --model CONFIG CHECKPOINT
"""

import argparse
import logging
import os
import sys
import tempfile
from functools import partial
from pathlib import Path

from mlore_mm.apis import MultiTaskInferencer
from mlore_mm.apis.inference.photos import PhotoError
from mlore_mm.apis.training.config import user_errors
from photo_page.gate import Gate
from photo_page.page import PhotoPage
from photo_page.uploads import REFUSED, UploadFolder
from photo_page.viewer import message_html, viewer_html

HERE = Path(__file__).resolve().parent
QUICKSTART = (HERE.parent / 'configs/mlore/mlore_tiny_synthrooms_nyud.py', Path('work_dirs/quickstart'))
TITLE = 'MLoRE: every map of a photo from one network'
HINT = '<p>The maps of your photo appear here. Move over them to read numbers; the slider uncovers the photo.</p>'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--model',
        nargs=2,
        action='append',
        metavar=('CONFIG', 'CHECKPOINT'),
        help='config file or name of model-index.yml, and its weights (default: the quickstart model)',
    )
    parser.add_argument('--device', help='such as cpu or cuda:0 (default: an accelerator where there is one)')
    parser.add_argument(
        '--host', default='127.0.0.1', help='0.0.0.0 opens the page to the network (default: %(default)s)'
    )
    parser.add_argument('--port', type=int, default=7860, help='default: %(default)s')
    parser.add_argument('--max-megabytes', type=float, default=20, help='largest file (default: %(default)s)')
    parser.add_argument('--max-megapixels', type=float, default=25, help='largest photo (default: %(default)s)')
    return parser.parse_args()


def load_models(args: argparse.Namespace) -> dict[str, MultiTaskInferencer]:
    """Title to model, the first one chosen."""
    models = {}
    for config, checkpoint in args.model or [(str(QUICKSTART[0]), quickstart_checkpoint())]:
        title = f'{Path(config).stem}, {Path(checkpoint).stem}'
        models[title if title not in models else f'{title} ({len(models) + 1})'] = MultiTaskInferencer(
            config, checkpoint, device=args.device, show_progress=False
        )
    return models


def quickstart_checkpoint() -> str:
    """The newest checkpoint of the quickstart.

    Raises:
        ValueError: There is none.
    """
    pointer = QUICKSTART[1] / 'last_checkpoint'
    if not pointer.is_file():
        raise ValueError(
            f'There is no model in {QUICKSTART[1]}: `bash tools/quickstart.sh` trains one in minutes; or give your own '
            'as --model CONFIG CHECKPOINT.'
        )
    return str(QUICKSTART[1] / Path(pointer.read_text().strip()).name)


def import_gradio():
    """Gradio, told not to call home."""
    os.environ.setdefault('GRADIO_ANALYTICS_ENABLED', 'False')
    os.environ.setdefault('HF_HUB_OFFLINE', '1')
    try:
        import gradio
    except ImportError as error:
        raise ValueError(f'The page needs Gradio 6 ({error}): pip install "gradio>=6"') from error
    return gradio


def answer(page: PhotoPage, path: str | None, title: str, tasks: list[str]) -> str:
    """What the page shows for a photo. Whatever goes wrong, no visitor sees a traceback or a path."""
    if path is None:
        return HINT
    if not path:
        return message_html(REFUSED)
    try:
        result = page.predict(title, tasks, path)
        link = f'results/{page.keep(title, result)}.zip'
    except PhotoError as error:
        return message_html(str(error))
    except Exception:
        logging.getLogger(__name__).exception('A photo failed.')
        return message_html('This photo could not be processed. The log of the server says why.')
    return f'{viewer_html(result)}<a class="mm-download" href="{link}" download>Download pictures and numbers (ZIP)</a>'


def build_blocks(gr, page: PhotoPage):
    """The page's controls and what they do."""
    titles = list(page.models)
    private = dict(api_visibility='private')
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(600, 3600)) as blocks:
        gr.Markdown(f'# {TITLE}')
        with gr.Row():
            with gr.Column(scale=1, min_width=370):
                photo = gr.File(label=f'Photo, up to {page.max_bytes / 2**20:.3g} MB', elem_id='photo', height=140)
                model = gr.Dropdown(titles, value=titles[0], label='Model and checkpoint')
                tasks = gr.CheckboxGroup(page.tasks(titles[0]), value=page.tasks(titles[0]), label='Tasks')
                run = gr.Button('Run', variant='primary', elem_id='run')
            with gr.Column(scale=4):
                maps = gr.HTML(HINT, elem_id='maps')
        gr.on(
            [photo.upload, run.click],
            partial(answer, page),
            [photo, model, tasks],
            maps,
            concurrency_limit=1,
            **private,
        )
        photo.clear(lambda: HINT, None, maps, **private)
        model.change(
            lambda title: gr.CheckboxGroup(page.tasks(title), value=page.tasks(title)), model, tasks, **private
        )
    return blocks.queue(max_size=16)


def build_app(gr, page: PhotoPage, args: argparse.Namespace):
    """The web application: results to download beside Gradio's page, behind the gate."""
    from fastapi import FastAPI, Response  # come with Gradio

    app = FastAPI(openapi_url=None)

    @app.get('/results/{key}.zip')
    def download(key: str) -> Response:
        data = page.archive(key)
        if data is None:
            return Response('This result is gone; run the photo again.', 404, media_type='text/plain')
        return Response(data, media_type='application/zip', headers={'X-Content-Type-Options': 'nosniff'})

    os.environ['GRADIO_TEMP_DIR'] = str(page.uploads.root)  # where Gradio puts uploads, read when the page is built
    blocks = build_blocks(gr, page)
    app = gr.mount_gradio_app(
        app,
        blocks,
        path='/',
        server_name=args.host,
        server_port=args.port,
        footer_links=[],
        show_error=False,
        ssr_mode=False,
        max_file_size=page.max_bytes,
        theme=gr.themes.Default(font=['system-ui', 'sans-serif'], font_mono=['monospace']),  # no fonts from elsewhere
        css_paths=HERE / 'viewer.css',
        head=f'<script>{(HERE / "viewer.js").read_text()}</script>',
    )
    files = [[isinstance(x, gr.File) for x in function.inputs] for _, function in sorted(blocks.fns.items())]
    return Gate(app, page.uploads, page.max_bytes, files)


def main() -> None:
    args = parse_args()
    with user_errors():
        gr = import_gradio()
        models, folder = load_models(args), os.environ.get('GRADIO_TEMP_DIR')
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
        uploads = UploadFolder(tempfile.mkdtemp(prefix='photo_page_', dir=folder))
        page = PhotoPage(models, int(args.max_megabytes * 2**20), int(args.max_megapixels * 1e6), uploads)
        app = build_app(gr, page, args)
    import uvicorn  # comes with Gradio

    print(f'The page is at http://{args.host}:{args.port}; Ctrl-C ends it.', flush=True)
    try:
        uvicorn.run(app, host=args.host, port=args.port, log_level='warning')
    finally:
        uploads.close()


if __name__ == '__main__':
    sys.exit(main())

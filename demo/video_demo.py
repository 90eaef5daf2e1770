"""Run a trained model on a video or a camera: all tasks beside each frame, as a video or in a window.

Example:
    python demo/video_demo.py walk.mp4 configs/mlore/mlore_tiny_synthrooms_nyud.py \
        work_dirs/quickstart/iter_500.pth --out work_dirs/demo/walk.mp4

INPUT is a video, a URL of one, or the number of a camera. Ctrl-C, or q in the window, ends it and keeps what was
written.
"""

import argparse
import sys

import cv2

from mlore_mm.apis.inference.inferencer_options import add_model_options, make_inferencer, parse_source
from mlore_mm.apis.inference.video import VideoFile, VideoPanels, frame_rate
from mlore_mm.apis.training.config import user_errors


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('input', help='video, URL, or number of a camera')
    add_model_options(parser)
    parser.add_argument('--out', metavar='FILE', help='write a video here: .mp4, .mkv or .avi')
    parser.add_argument('--show', action='store_true', help='open a window')
    parser.add_argument('--every', type=int, default=1, help='take every n-th frame (default: %(default)s)')
    parser.add_argument('--max-frames', type=int, help='end after so many frames')
    args = parser.parse_args()
    if not (args.out or args.show):
        parser.error('give --out FILE or --show')
    return args


def main() -> None:
    args = parse_args()
    with user_errors():
        count = run(args)
    print(f'{count} frames' + (f' are in {args.out}' if args.out else ''))


def run(args: argparse.Namespace) -> int:
    source, count = parse_source(args.input), 0
    options = dict(tasks=args.tasks, batch_size=args.batch_size, every=args.every, max_frames=args.max_frames)
    results = make_inferencer(args).stream(source, **options)
    video = VideoFile(args.out, frame_rate(source, args.every)) if args.out else None
    panels = VideoPanels()
    try:
        for result in results:
            panel = panels(result)
            count += 1
            if video:
                video.write(panel)
            if args.show:
                cv2.imshow('mlore_mm', panel[..., ::-1])
                if cv2.waitKey(1) == ord('q'):
                    break
    except KeyboardInterrupt:
        pass
    finally:
        if video:
            video.close()
    return count


if __name__ == '__main__':
    sys.exit(main())

"""Run an exported model on a photo with nothing but onnxruntime, numpy and Pillow.

Example:
    python demo/onnx_demo.py model.onnx photo.jpg out
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

model, photo, out = sys.argv[1:4]
session = onnxruntime.InferenceSession(model, providers=['CPUExecutionProvider'])
about = json.loads(session.get_modelmeta().custom_metadata_map['mlore_mm'])
height, width = about['input']['size']

image = ImageOps.exif_transpose(Image.open(photo)).convert('RGB')
size = image.size
image.thumbnail((width, height), Image.Resampling.BOX)  # reduced to fit, then centred
left, top = (width - image.width) // 2, (height - image.height) // 2
box = np.s_[top : top + image.height, left : left + image.width]
canvas = np.empty((height, width, 3), np.float32)
canvas[:] = about['input']['pad_value']
canvas[box] = np.asarray(image)
maps = session.run(None, {'image': canvas.transpose(2, 0, 1)[None]})

Path(out).mkdir(parents=True, exist_ok=True)
for task, values in zip(about['tasks'], maps, strict=True):
    values = values[0].transpose(1, 2, 0)[box]
    if task['kind'] == 'class_map':  # scores per class, or ids where the model was exported with --decoded
        ids = values.argmax(-1) if values.shape[-1] > 1 else values[..., 0].astype(int)
        picture = np.array(task['palette'], np.uint8)[ids]
    elif task['kind'] == 'unit_vectors':
        picture = ((values + 1) * 127.5).astype(np.uint8)
    elif task['kind'] == 'probability':
        picture = (values[..., -1] * 255).astype(np.uint8)
    else:  # metres, near is bright; or other numbers, much is bright
        numbers = values[..., 0]
        np.save(f'{out}/{task["name"]}.npy', numbers)
        above = numbers.max() - numbers if task['kind'] == 'metres' else numbers - numbers.min()
        picture = (255 * above / max(np.ptp(numbers), 1e-6)).astype(np.uint8)
    smooth = Image.Resampling.NEAREST if task['kind'] == 'class_map' else Image.Resampling.BILINEAR
    Image.fromarray(picture).resize(size, smooth).save(f'{out}/{task["name"]}.png')
    print(f'{out}/{task["name"]}.png')

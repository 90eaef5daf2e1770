// The maps of one photo (see photo_page/viewer.py): a slider between maps and photo, and the numbers under the pointer
// in every map at once. Listens on the document, since the page puts the maps in and takes them away.
(() => {
  const pixels = new WeakMap(); // figure -> promise of its ImageData

  function read(figure) {
    if (!pixels.has(figure)) {
      const image = new Image();
      image.src = figure.dataset.values;
      pixels.set(figure, image.decode().then(() => {
        const canvas = document.createElement('canvas');
        canvas.width = image.naturalWidth;
        canvas.height = image.naturalHeight;
        const context = canvas.getContext('2d', { willReadFrequently: true });
        context.drawImage(image, 0, 0);
        return context.getImageData(0, 0, canvas.width, canvas.height);
      }));
    }
    return pixels.get(figure);
  }

  function text(reading, [red, green, blue]) {
    const number = 256 * red + green;
    if (reading.kind === 'class') return reading.names[number] ?? `class ${number}`;
    if (reading.kind === 'vector') {
      const [x, y, z] = [red, green, blue].map((byte) => ((byte - 128) / 127).toFixed(2));
      return `x ${x}  y ${y}  z ${z}`;
    }
    const value = reading.low + (reading.high - reading.low) * number / reading.steps;
    return `${value.toPrecision(3)} ${reading.unit}`;
  }

  async function show(figure, x, y) {
    const cross = figure.querySelector('.mm-frame i');
    Object.assign(cross.style, { display: 'block', left: `${100 * x}%`, top: `${100 * y}%` });
    if (!figure.dataset.values) return;
    figure.dataset.at = `${x} ${y}`;
    const { data, width, height } = await read(figure);
    if (figure.dataset.at !== `${x} ${y}`) return; // the pointer has moved on
    const column = Math.min(Math.floor(x * width), width - 1);
    const row = Math.min(Math.floor(y * height), height - 1);
    const start = 4 * (row * width + column);
    figure.querySelector('output').textContent = text(JSON.parse(figure.dataset.reading), data.slice(start, start + 3));
  }

  function onPointer(event) {
    const frame = event.target.closest?.('.mm-frame');
    if (!frame) return;
    const box = frame.getBoundingClientRect();
    const x = Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
    const y = Math.min(Math.max((event.clientY - box.top) / box.height, 0), 1);
    for (const figure of frame.closest('.mm-view').querySelectorAll('figure')) show(figure, x, y);
  }

  document.addEventListener('pointermove', onPointer);
  document.addEventListener('pointerdown', onPointer);
  document.addEventListener('input', (event) => {
    const slider = event.target.closest?.('.mm-slider input');
    if (slider) slider.closest('.mm-view').style.setProperty('--cut', `${slider.value}%`);
  });
})();

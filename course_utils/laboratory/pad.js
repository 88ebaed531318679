// A pad to draw a digit on, with mouse, finger or keyboard: 28 x 28 pixels in [0, 1].

export const SIDE = 28;
const BRUSH = 1.1;  // pixels: the radius in which a stroke is white

/** Draw pixels in [0, 1] as they are, one square each. */
export function paint(canvas, pixels) {
  if (canvas.width !== SIDE) canvas.width = canvas.height = SIDE;
  const context = canvas.getContext("2d");
  const picture = context.createImageData(SIDE, SIDE);
  for (let i = 0; i < SIDE * SIDE; i++) {
    picture.data.fill(Math.round(255 * Math.min(Math.max(pixels[i], 0), 1)), 4 * i, 4 * i + 3);
    picture.data[4 * i + 3] = 255;
  }
  context.putImageData(picture, 0, 0);
}

/** Shift a drawing so that its centre of mass is in the middle, as MNIST's digits are. */
export function centred(pixels) {
  let mass = 0, down = 0, right = 0;
  pixels.forEach((v, i) => {
    mass += v; down += v * Math.floor(i / SIDE); right += v * (i % SIDE);
  });
  if (!mass) return Float64Array.from(pixels);
  const y = Math.round(13.5 - down / mass), x = Math.round(13.5 - right / mass);
  return Float64Array.from(pixels, (_, i) => {
    const row = Math.floor(i / SIDE) - y, column = (i % SIDE) - x;
    const inside = row >= 0 && row < SIDE && column >= 0 && column < SIDE;
    return inside ? pixels[row * SIDE + column] : 0;
  });
}

/**
 * Let people draw on a canvas.
 * @param {HTMLCanvasElement} canvas @param {(pixels: Float64Array) => void} changed
 */
export function drawingPad(canvas, changed) {
  const pixels = new Float64Array(SIDE * SIDE);
  let last = null, cursor = { x: 14, y: 14 };
  const show = () => { paint(canvas, pixels); changed(pixels); };
  const dab = (x, y) => {
    for (let i = 0; i < pixels.length; i++) {
      const away = Math.hypot(i % SIDE + 0.5 - x, Math.floor(i / SIDE) + 0.5 - y);
      pixels[i] = Math.max(pixels[i], Math.min(1, Math.max(0, BRUSH + 0.5 - away)));
    }
  };
  const line = (from, to) => {
    const steps = Math.max(1, Math.ceil(2 * Math.hypot(to.x - from.x, to.y - from.y)));
    for (let k = 1; k <= steps; k++) {
      dab(from.x + (to.x - from.x) * k / steps, from.y + (to.y - from.y) * k / steps);
    }
  };
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return {
      x: (event.clientX - box.left) / box.width * SIDE,
      y: (event.clientY - box.top) / box.height * SIDE,
    };
  };
  canvas.style.touchAction = "none";  // a finger draws; it does not scroll
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    last = place(event);
    dab(last.x, last.y);
    show();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!last) return;
    const here = place(event);
    line(last, here);
    last = here;
    show();
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => (last = null));
  canvas.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const move = moves[event.key];
    if (!move && event.key !== " ") return;
    event.preventDefault();
    const before = { ...cursor };
    if (move) {
      cursor = { x: Math.min(Math.max(cursor.x + move[0], 1), 27),
                 y: Math.min(Math.max(cursor.y + move[1], 1), 27) };
    }
    if (event.key === " " || event.shiftKey) { line(before, cursor); show(); }
    mark();
  });
  const mark = () => {
    paint(canvas, pixels);
    const context = canvas.getContext("2d");
    context.fillStyle = "#808080";
    context.fillRect(Math.round(cursor.x) - 1, Math.round(cursor.y) - 1, 2, 2);
  };
  return {
    /** Put a picture on the pad. */
    set(picture) { pixels.set(picture); show(); },
    pixels,
  };
}

// Lecture 3's layers, frequency by frequency: the norms, and the pattern that is amplified most.
import { randomNumbers } from "./attacks.js";
import { choice, make, slider } from "./laboratory.js";
import { bytesOf } from "./networks.js";

const ROUNDS = 200, SETTLED = 1e-10;  // of the power iteration; by how much the last may change it
const VIEW = 240;  // CSS pixels of a picture, about
const MARK = [1, 0.5, 0.05];  // the colour of the frequency that is shown

/** A convolution with the norms of all its frequencies, from what Python stored. */
export function convolutionOf(stored) {
  const numbers = new Float32Array(bytesOf(stored.weights).buffer);
  const [down, right] = stored.plan.periods, start = numbers.length - down * right;
  return { ...stored.plan, weights: numbers.subarray(0, start), norms: numbers.subarray(start) };
}

/**
 * The input of one frequency that the layer amplifies most (course_utils.lipschitz has the same as
 * amplified_pattern), found by a power iteration on the matrix of its waves and their aliases.
 * @returns {{pattern: Float64Array, amplified: number}} (channels, height, width), row by row
 */
export function amplifiedPattern(layer, frequency) {
  const { channels, outputs, kernel: [rows, columns], stride: [sy, sx], input: [height, width] } = layer;
  const n = channels * sy * sx, turns = frequency.map((f, i) => 2 * Math.PI * f / layer.periods[i]);
  // The cosine and sine of a wave that begins at a phase: of sums of angles, by rows and columns.
  const wave = (high, wide, phase) => {
    const cosine = new Float64Array(high * wide), sine = new Float64Array(high * wide);
    const [down, across] = [[high, sy], [wide, sx]].map(([length, step], i) =>
      Array.from({ length }, (_, k) => turns[i] * Math.floor(k / step) + (i ? 0 : phase)));
    const cosines = across.map(Math.cos), sines = across.map(Math.sin);
    for (let y = 0, p = 0; y < high; y++) {
      const c = Math.cos(down[y]), s = Math.sin(down[y]);
      for (let x = 0; x < wide; x++, p++) {
        cosine[p] = c * cosines[x] - s * sines[x];
        sine[p] = s * cosines[x] + c * sines[x];
      }
    }
    return [cosine, sine];
  };
  const re = new Float64Array(outputs * n), im = new Float64Array(outputs * n);
  const [cosine, sine] = wave(rows, columns, 0);
  let at = 0;
  for (let o = 0; o < outputs; o++) {
    for (let c = 0; c < channels; c++) {
      for (let y = 0; y < rows; y++) {
        for (let x = 0; x < columns; x++) {
          const k = o * n + (c * sy + y % sy) * sx + x % sx, w = layer.weights[at++];
          re[k] += w * cosine[y * columns + x];
          im[k] += w * sine[y * columns + x];
        }
      }
    }
  }
  // A'A, whose largest eigenvalue is sought: smaller than A, and made once
  const gramRe = new Float64Array(n * n), gramIm = new Float64Array(n * n);
  for (let k = 0; k < outputs * n; k += n) {
    for (let i = 0; i < n; i++) {
      const a = re[k + i], b = im[k + i];
      for (let j = 0; j < n; j++) {
        gramRe[i * n + j] += a * re[k + j] + b * im[k + j];
        gramIm[i * n + j] += a * im[k + j] - b * re[k + j];
      }
    }
  }
  const next = randomNumbers(1);
  let v = [Float64Array.from({ length: n }, () => next() - 0.5), new Float64Array(n)], amplified = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const back = [new Float64Array(n), new Float64Array(n)];
    for (let i = 0, k = 0; i < n; i++) {
      let a = 0, b = 0;
      for (let j = 0; j < n; j++, k++) {
        a += gramRe[k] * v[0][j] - gramIm[k] * v[1][j];
        b += gramRe[k] * v[1][j] + gramIm[k] * v[0][j];
      }
      back[0][i] = a;
      back[1][i] = b;
    }
    const length = Math.hypot(...back[0], ...back[1]) || 1, before = amplified;
    amplified = Math.sqrt(length);  // of A'A, since v has length 1
    v = back.map((part) => part.map((value) => value / length));
    if (Math.abs(amplified - before) < SETTLED * amplified) break;
  }
  const sizes = v[0].map((a, i) => Math.hypot(a, v[1][i])), first = sizes.indexOf(Math.max(...sizes));
  const turned = Math.atan2(v[1][first], v[0][first]);  // the largest becomes real
  const [real, imaginary] = wave(height, width, -turned);
  const pattern = new Float64Array(channels * height * width);
  for (let c = 0, p = 0; c < channels; c++) {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++, p++) {
        const i = (c * sy + y % sy) * sx + x % sx;
        pattern[p] = v[0][i] * real[y * width + x] - v[1][i] * imaginary[y * width + x];
      }
    }
  }
  return { pattern, amplified };
}

/** Colour every pixel of a canvas. @param {(y: number, x: number, c: number) => number} colour 0 to 1 */
function colourAll(canvas, height, width, colour) {
  Object.assign(canvas, { height, width });
  canvas.style.width = `${Math.max(1, Math.round(VIEW / width)) * width}px`;  // whole pixels
  const context = canvas.getContext("2d"), picture = context.createImageData(width, height);
  for (let p = 0; p < height * width; p++) {
    const y = Math.floor(p / width), x = p % width;
    for (let c = 0; c < 3; c++) picture.data[4 * p + c] = 255 * colour(y, x, c);
    picture.data[4 * p + 3] = 255;
  }
  context.putImageData(picture, 0, 0);
}

/** Build the explorer inside an element. @param {HTMLElement} root @param {object} source */
export async function mountFrequency(root, source) {
  root.classList.add("laboratory");
  const status = make("p", { class: "lab-status", role: "status" }, "Loading the layers ...");
  root.replaceChildren(status);
  let layers;
  try {
    layers = await Promise.all(source.names.map(async (n) => convolutionOf(await source.load(n))));
  } catch (error) {
    status.textContent = `A layer could not be loaded (${error.message}).`;
    return null;
  }
  const most = layers.map(({ norms }) => norms.indexOf(Math.max(...norms)));
  const middle = (f, period) => (f + Math.floor(period / 2)) % period - Math.floor(period / 2);
  const menu = choice("layer", source.names.map((n, i) => [i, n]), () => begin(+menu.menu.value));
  const ways = ["down", "right"].map((name) => slider(name, { min: -1, max: 1, step: 1, value: 0 }, show));
  const canvases = ["norms", "pattern"].map((title) => make("canvas", { role: "img", "aria-label": title }));
  const figures = canvases.map((canvas) => make("figure", { class: "lab-figure lab-large" }, canvas,
    make("figcaption", {}, canvas.ariaLabel)));

  function begin(k) {
    const { periods } = layers[k], place = [Math.floor(most[k] / periods[1]), most[k] % periods[1]];
    ways.forEach((way, i) => {
      Object.assign(way.input, { min: -Math.floor(periods[i] / 2), max: Math.floor((periods[i] - 1) / 2) });
      way.set(middle(place[i], periods[i]));
    });
    show();
  }

  function show() {
    const k = +menu.menu.value, layer = layers[k], [down, right] = layer.periods;
    const place = ways.map((way, i) => (+way.input.value + layer.periods[i]) % layer.periods[i]);
    const top = layer.norms[most[k]], here = layer.norms[place[0] * right + place[1]];
    colourAll(canvases[0], down, right, (y, x, c) => {
      const j = (y + Math.ceil(down / 2)) % down, i = (x + Math.ceil(right / 2)) % right;
      return j === place[0] && i === place[1] ? MARK[c] : layer.norms[j * right + i] / top;
    });
    const { pattern } = amplifiedPattern(layer, place), [height, width] = layer.input;
    const largest = pattern.reduce((m, v) => Math.max(m, Math.abs(v)), 1e-30);
    colourAll(canvases[1], height, width, (y, x, c) =>
      0.5 + pattern[((c % layer.channels) * height + y) * width + x] / (2 * largest));
    const best = [Math.floor(most[k] / right), most[k] % right].map((f, i) => middle(f, layer.periods[i]));
    status.textContent = `Amplified ${here.toFixed(3)} times: ${(100 * here / top).toFixed(0)} % of the largest, `
      + `${top.toFixed(3)} at ${best[0]} down, ${best[1]} right.`;
  }

  root.replaceChildren(make("div", { class: "lab-controls" }, menu.row, ...ways.map((w) => w.row)),
    make("div", { class: "lab-row" }, ...figures), status);
  begin(0);
  return { show };
}

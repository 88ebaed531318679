// The game of two networks in two dimensions: small networks, by hand, sixty rounds a second.
import { normalNumbers, randomNumbers } from "./attacks.js";

const SLOPE = 0.2;  // of the leaky rectifier, below 0

/** A fully connected network with leaky rectifiers: rows of weights, then biases, layer by layer. */
export class SmallNetwork {
  /** @param {number[]} widths @param {number} seed of the first weights */
  constructor(widths, seed) {
    this.widths = widths;
    const next = randomNumbers(seed);
    this.weights = [];
    for (let k = 1; k < widths.length; k++) {
      const reach = Math.sqrt(6 / (widths[k - 1] + widths[k]));
      const layer = new Float64Array((widths[k - 1] + 1) * widths[k]);
      for (let i = 0; i < widths[k - 1] * widths[k]; i++) layer[i] = reach * (2 * next() - 1);
      this.weights.push(layer);
    }
    this.moments = this.weights.map((w) => [new Float64Array(w.length), new Float64Array(w.length)]);
    this.steps = 0;
  }

  /** @param {Float64Array} x points, row by row @returns {Float64Array[]} each layer's values */
  forward(x) {
    const values = [x];
    this.weights.forEach((w, k) => {
      const [n, m] = [this.widths[k], this.widths[k + 1]];
      const before = values[k], count = before.length / n, after = new Float64Array(count * m);
      const last = k === this.weights.length - 1;
      for (let p = 0; p < count; p++) {
        for (let o = 0; o < m; o++) {
          let sum = w[n * m + o];
          for (let i = 0; i < n; i++) sum += w[o * n + i] * before[p * n + i];
          after[p * m + o] = last || sum > 0 ? sum : SLOPE * sum;
        }
      }
      values.push(after);
    });
    return values;
  }

  /** From the slope of a loss in the outputs: its slopes in the inputs and in the weights. */
  backward(values, slope) {
    const gradients = [];
    for (let k = this.weights.length - 1; k >= 0; k--) {
      const [n, m] = [this.widths[k], this.widths[k + 1]];
      const w = this.weights[k], before = values[k], after = values[k + 1];
      const count = before.length / n, last = k === this.weights.length - 1;
      const inWeights = new Float64Array(w.length), inInputs = new Float64Array(before.length);
      for (let p = 0; p < count; p++) {
        for (let o = 0; o < m; o++) {
          const d = slope[p * m + o] * (last || after[p * m + o] > 0 ? 1 : SLOPE);
          inWeights[n * m + o] += d;
          for (let i = 0; i < n; i++) {
            inWeights[o * n + i] += d * before[p * n + i];
            inInputs[p * n + i] += d * w[o * n + i];
          }
        }
      }
      gradients.unshift(inWeights);
      slope = inInputs;
    }
    return { inputs: slope, weights: gradients };
  }

  /** One step down: plain ("sgd"), or Adam's with beta1 = 0.5. */
  descend(gradients, rate, optimiser) {
    this.steps++;
    this.weights.forEach((w, k) => {
      const g = gradients[k], [first, second] = this.moments[k];
      for (let i = 0; i < w.length; i++) {
        if (optimiser === "sgd") { w[i] -= rate * g[i]; continue; }
        first[i] = 0.5 * first[i] + 0.5 * g[i];
        second[i] = 0.999 * second[i] + 0.001 * g[i] ** 2;
        const corrected = Math.sqrt(second[i] / (1 - 0.999 ** this.steps)) + 1e-8;
        w[i] -= rate * (first[i] / (1 - 0.5 ** this.steps)) / corrected;
      }
    });
  }
}

const sigmoid = (v) => 1 / (1 + Math.exp(-v));

/** The discriminator's loss is -V; the generator's is V, or with `saturating` false -log D. */
export function generatorSlope(logit, saturating) {
  return saturating ? -sigmoid(logit) : sigmoid(logit) - 1;
}

/** Where real points come from: a draw of `count` of them, in about [-1.3, 1.3]. */
export const SHAPES = {
  "ring of eight": (normal, next) => {
    const k = Math.floor(8 * next()) * Math.PI / 4;
    return [Math.cos(k) + 0.06 * normal(), Math.sin(k) + 0.06 * normal()];
  },
  "two clusters": (normal, next) => {
    const side = next() < 0.5 ? -0.8 : 0.8;
    return [side + 0.12 * normal(), side * 0.5 + 0.12 * normal()];
  },
  circle: (normal, next) => {
    const turn = 2 * Math.PI * next();
    return [Math.cos(turn) + 0.04 * normal(), Math.sin(turn) + 0.04 * normal()];
  },
};

export class Game {
  /** @param {{shape?: string, seed?: number, batch?: number, width?: number}} options */
  constructor({ shape = "ring of eight", seed = 0, batch = 96, width = 24 } = {}) {
    Object.assign(this, { shape, batch, round: 0 });
    this.generator = new SmallNetwork([2, width, width, 2], 2 * seed + 1);
    this.discriminator = new SmallNetwork([2, width, width, 1], 2 * seed + 2);
    this.normal = normalNumbers(seed + 1000);
    this.next = randomNumbers(seed + 2000);
    this.shown = this.noise();  // the same noise at every drawing: points that can be followed
    this.shownReal = this.real();
  }

  noise() { return Float64Array.from({ length: 2 * this.batch }, this.normal); }

  real() {
    const points = Array.from({ length: this.batch }, () => SHAPES[this.shape](this.normal, this.next));
    return Float64Array.from(points.flat());
  }

  /** One round: the discriminator's steps, then the generator's. */
  play({ discriminatorSteps = 1, generatorSteps = 1, discriminatorRate = 0.005, generatorRate = 0.005,
         optimiser = "adam", saturating = false } = {}) {
    const { generator: g, discriminator: d, batch } = this;
    for (let k = 0; k < discriminatorSteps; k++) {
      const fake = g.forward(this.noise()).at(-1), points = new Float64Array(4 * batch);
      points.set(this.real());
      points.set(fake, 2 * batch);
      const values = d.forward(points);
      const slope = values.at(-1).map((v, i) => (sigmoid(v) - (i < batch ? 1 : 0)) / batch);
      d.descend(d.backward(values, slope).weights, discriminatorRate, optimiser);
    }
    for (let k = 0; k < generatorSteps; k++) {
      const made = g.forward(this.noise()), values = d.forward(made.at(-1));
      const slope = values.at(-1).map((v) => generatorSlope(v, saturating) / batch);
      const inPoints = d.backward(values, slope).inputs;
      g.descend(g.backward(made, inPoints).weights, generatorRate, optimiser);
    }
    this.round++;
  }

  /** What is drawn: points of both kinds, and where the generator's loss pulls its own. */
  state(saturating) {
    const fake = this.generator.forward(this.shown).at(-1);
    const values = this.discriminator.forward(fake);
    const slope = values.at(-1).map((v) => generatorSlope(v, saturating));
    const pull = this.discriminator.backward(values, slope).inputs.map((v) => -v);
    return { real: this.shownReal, fake, pull };
  }

  /** D on a grid over [-reach, reach] squared, row by row from the top. */
  heat(side, reach) {
    const points = new Float64Array(2 * side * side);
    for (let i = 0; i < side * side; i++) {
      points[2 * i] = reach * (2 * (i % side + 0.5) / side - 1);
      points[2 * i + 1] = -reach * (2 * (Math.floor(i / side) + 0.5) / side - 1);
    }
    return this.discriminator.forward(points).at(-1).map(sigmoid);
  }

  /** How many of the ring's eight places have at least a fortieth of the points near them. */
  placesReached(count = 400) {
    const noise = Float64Array.from({ length: 2 * count }, normalNumbers(7));
    const fake = this.generator.forward(noise).at(-1), near = new Array(8).fill(0);
    for (let p = 0; p < count; p++) {
      for (let k = 0; k < 8; k++) {
        const turn = k * Math.PI / 4;
        const away = Math.hypot(fake[2 * p] - Math.cos(turn), fake[2 * p + 1] - Math.sin(turn));
        if (away < 0.25) near[k]++;
      }
    }
    return near.filter((n) => n >= count / 40).length;
  }
}

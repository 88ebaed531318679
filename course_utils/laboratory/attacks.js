// The lectures' attacks on one image, step for step as course_utils.attacks has them.
import { largest, softmax } from "./networks.js";

const square = (x) => dot(x, x);
const clamp = (v, low, high) => Math.min(Math.max(v, low), high);
const norm = (x) => Math.sqrt(square(x));

function dot(x, y) {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += x[i] * y[i];
  return sum;
}

/** Root mean square per pixel of b - a. */
export function distortion(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (b[i] - a[i]) ** 2;
  return Math.sqrt(sum / a.length);
}

/** log((1 - p) / p) of the label, and its gradient: it does not vanish where p is near 1. */
export function logOdds(network, image, label) {
  const logits = network.logits(image);
  const rivals = logits.map((v, k) => (k === label ? -Infinity : v));
  const most = Math.max(...rivals);
  const total = most + Math.log(rivals.reduce((sum, v) => sum + Math.exp(v - most), 0));
  const mix = softmax(rivals);
  mix[label] = -1;
  return { value: total - logits[label], gradient: network.gradient(mix) };
}

/** The fast gradient sign (Goodfellow et al. 2014): away from the label, one step of eps. */
export function fastGradientSign(network, image, label, eps) {
  const { gradient } = logOdds(network, image, label);
  return Float64Array.from(image).map((v, i) => clamp(v + eps * Math.sign(gradient[i]), 0, 1));
}

/** The box [0, 1] and, around the image, a cube or ball of size eps (a ball: of eps sqrt(n)). */
function project(image, points, eps, ball) {
  const boxed = points.map((v) => clamp(v, 0, 1));
  if (!ball) return boxed.map((v, i) => clamp(v, image[i] - eps, image[i] + eps));
  const length = norm(boxed.map((v, i) => v - image[i])), most = eps * Math.sqrt(image.length);
  const share = length > most ? most / length : 1;
  return boxed.map((v, i) => image[i] + share * (v - image[i]));
}

/** Projected gradient (Madry et al. 2018); `ball`: eps is a distortion, else the largest change. */
export function projectedGradient(network, image, label, eps, { steps = 40, ball = false } = {}) {
  const start = Float64Array.from(image), step = 2.5 * eps / steps;
  let points = start, best = start, most = -Infinity;
  for (let taken = 0; taken <= steps; taken++) {
    const { value, gradient } = logOdds(network, points, label);
    if (value > most) { most = value; best = points; }
    if (taken === steps) break;
    const length = norm(gradient) || 1;
    const way = ball
      ? gradient.map((g) => g * Math.sqrt(image.length) / length)
      : gradient.map(Math.sign);
    points = project(start, points.map((v, i) => v + step * way[i]), eps, ball);
  }
  return best;
}

// The constants of course_utils.attacks.lbfgs, where their reasons stand.
const LOWER_C = 0.75, SLACK = 0.1, JUMP = 4, SHARPEN = 1.4, PATIENCE = 4, GAIN = 1.5e-3;
const LEAST_CURVATURE = 0.1;

/**
 * The smallest change that gives the image the target's label (Szegedy et al. 2013, section 4.1).
 * @returns {{image: Float64Array, success: boolean, evaluations: number}}
 */
export function smallestPerturbation(network, image, target, maxSteps = 100) {
  const x = Float64Array.from(image), logits = network.logits(x);
  if (largest(logits) === target) return { image: x, success: true, evaluations: 0 };
  let best = null, weight = 0, evaluations = 0;
  for (const crossed of [false, true]) {
    if (crossed && !best) break;
    const search = new Search(network, x, logits, target, best, weight, crossed);
    evaluations++;
    for (let step = 0, done = false; step < maxSteps && !done; step++) {
      const found = crossed ? search.alongTheBoundary() : search.towardsTheTarget();
      evaluations++;
      if (found.keep) { best = found.r; weight = search.weight; }
      done = found.done;
    }
  }
  const moved = best ? x.map((v, i) => clamp(v + best[i], 0, 1)) : x;
  return { image: moved, success: largest(network.logits(moved)) === target, evaluations };
}

class Search {
  constructor(network, x, logits, target, r, weight, crossed) {
    Object.assign(this, { network, x, target, crossed, s: null, l: null, scale: 1, idle: 0 });
    const margin = Math.max(...logits.map((v, k) => (k === target ? -Infinity : v))) - logits[target];
    const coarse = Math.max(...logits.map(Math.abs));
    this.sharpness = 40 / Math.max(margin, 1e-3 * coarse);
    this.sharpest = 8 * this.sharpness;
    this.depth = Math.max(1e-4 * margin, 1e-5 * coarse);
    this.beside = Math.max(0.03 * margin, this.depth);
    this.now = this.evaluate(r || new Float64Array(x.length));
    if (crossed) {
      this.weight = weight / 2;
    } else {
      const raised = logits.slice();
      raised[target] += margin;
      const fall = this.now.loss + Math.log(softmax(raised)[target]);
      this.weight = clamp(fall / (4 * Math.max(square(this.now.g), 1e-30)), 0, 1e12);
    }
    this.price = 1.5 * this.weight;
    this.least = this.now.size;
  }

  /** r with its size, its margin, and the loss and gradient there. */
  evaluate(r) {
    const logits = this.network.logits(this.x.map((v, i) => v + r[i])), target = this.target;
    const rivals = logits.map((v, k) => (k === target ? -Infinity : v));
    const sharp = this.crossed ? rivals.map((v) => v * this.sharpness) : logits;
    const most = Math.max(...sharp);
    const total = most + Math.log(sharp.reduce((sum, v) => sum + Math.exp(v - most), 0));
    const loss = (this.crossed ? total / this.sharpness : total) - logits[target];
    const mix = softmax(sharp);
    mix[target] -= 1;
    const margin = Math.max(...rivals) - logits[target];
    return { r, size: square(r), margin, loss, g: this.network.gradient(mix) };
  }

  /** The step -H (r + w g) of limited-memory BFGS, with g'Hg and g'Hr, on the free pixels. */
  model() {
    const { r, g } = this.now, w = this.weight, { s, l, x } = this;
    const slope = r.map((v, i) => v + w * g[i]);
    const free = slope.map((v, i) => clamp(r[i] - 1e6 * v, -x[i], 1 - x[i]) !== r[i] ? 1 : 0);
    const y = s && s.map((v, i) => v + w * l[i]);
    const sy = s ? dot(s, y) : 0;
    const used = s && square(s) > 0 && sy > LEAST_CURVATURE * square(s);
    const h = used ? sy / square(y) : 1 / (1 + w);
    const apply = (v) => {
      if (!used) return v.map((q) => h * q);
      const first = dot(s, v) / sy;
      const rest = v.map((q, i) => h * (q - first * y[i]));
      const second = dot(y, rest) / sy;
      return rest.map((q, i) => q + (first - second) * s[i]);
    };
    const ofR = apply(r.map((v, i) => v * free[i])), held = g.map((v, i) => v * free[i]);
    const ofG = apply(held);
    return {
      gg: dot(held, ofG),
      gr: dot(held, ofR),
      direction: (weight) => ofR.map((v, i) => -free[i] * (v + weight * ofG[i])),
    };
  }

  towardsTheTarget() {
    this.tryStep(this.model().direction(this.weight), ({ size, loss }) => size / 2 + this.weight * loss);
    this.weight = Math.min(this.weight / LOWER_C, 1e12);
    const crossed = this.now.margin < 0;
    return { r: this.now.r, keep: crossed, done: crossed };
  }

  alongTheBoundary() {
    const model = this.model();
    const newton = (this.now.loss + this.depth - model.gr) / Math.max(model.gg, 1e-30);
    this.weight = clamp(newton, this.weight / JUMP, JUMP * this.weight);
    this.price = Math.max(0.95 * this.price, 1.5 * this.weight);
    const merit = ({ size, loss }) => size / 2 + this.price * Math.max(loss + this.depth, 0);
    const trial = this.tryStep(model.direction(this.weight), merit);
    const record = trial.margin < -0.1 * this.depth && trial.size < this.least;
    const gained = record && trial.size < (1 - GAIN) * this.least;
    const beside = Math.abs(trial.loss + this.depth) < this.beside;
    this.idle = gained ? 0 : this.idle + (beside && trial.margin < 0 ? 1 : 0);
    if (beside) this.sharpness = Math.min(SHARPEN * this.sharpness, this.sharpest);
    if (record) this.least = trial.size;
    return { r: trial.r, keep: record, done: this.idle >= PATIENCE };
  }

  /** Step into the box; stay, with a shorter step next time, where the merit rises. */
  tryStep(direction, merit) {
    const { r, g } = this.now;
    const trial = this.evaluate(
      r.map((v, i) => clamp(v + this.scale * direction[i], -this.x[i], 1 - this.x[i])));
    this.s = trial.r.map((v, i) => v - r[i]);
    this.l = trial.g.map((v, i) => v - g[i]);
    const taken = merit(trial) <= (1 + SLACK) * merit(this.now);
    this.scale = taken ? 1 : 0.35 * this.scale;
    if (taken) this.now = trial;
    return trial;
  }
}

/** Numbers in [0, 1) from a seed, the same everywhere (Mulberry32). */
export function randomNumbers(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** Numbers of a standard normal distribution (Box and Muller). */
export function normalNumbers(seed) {
  const next = randomNumbers(seed);
  return () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
}

/** The control: noise in the box of the same distortion; its stddev is found by bisection. */
export function noiseOfSize(image, size, seed = 0) {
  const x = Float64Array.from(image), noise = x.map(normalNumbers(seed));
  const at = (stddev) => x.map((v, i) => clamp(v + stddev * noise[i], 0, 1));
  let low = 0, high = 16 * size;
  for (let step = 0; step < 16; step++) {
    const middle = (low + high) / 2;
    if (distortion(x, at(middle)) < size) low = middle; else high = middle;
  }
  return at(high);
}

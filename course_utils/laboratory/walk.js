// Lecture 5's walk: what a generator makes of noise, on the way from one draw to another.
import { randomNumbers } from "./attacks.js";
import { barsOf, make, panel, say, slider } from "./laboratory.js";
import { largest, Network } from "./networks.js";
import { paint } from "./pad.js";

const NUMBERS = 5;  // of A's, those that change the picture most
const DRAWS = 8;  // over which that is averaged

/** Noise (uniform in [-1, 1]) of a seed. */
const draw = (seed, count) => {
  const next = randomNumbers(seed);
  return Float64Array.from({ length: count }, () => 2 * next() - 1);
};

/** The numbers of z that change the images most on their way from -1 to 1, in the mean. */
export function strongest(generator, count) {
  const size = generator.plan.layers[0].inputs, effects = new Float64Array(size);
  for (let seed = 0; seed < DRAWS; seed++) {
    const z = draw(seed, size);
    for (let i = 0; i < size; i++) {
      const [low, high] = [-1, 1].map((end) => generator.logits(z.map((v, k) => (k === i ? end : v))));
      high.forEach((v, p) => (effects[i] += (v - low[p]) ** 2));
    }
  }
  return [...effects.keys()].sort((a, b) => effects[b] - effects[a]).slice(0, count);
}

/** Build the walk inside an element. @param {HTMLElement} root @param {object} source */
export async function mountWalk(root, source) {
  root.classList.add("laboratory");
  const status = make("p", { class: "lab-status", role: "status" }, "Loading the networks ...");
  root.replaceChildren(status);
  let generator, classifier;
  try {
    [generator, classifier] = await Promise.all(
      source.names.slice(0, 2).map(async (n) => Network.from(await source.load(n))));
  } catch (error) {
    status.textContent = `A network could not be loaded (${error.message}).`;
    return null;
  }
  const size = generator.plan.layers[0].inputs, places = strongest(generator, NUMBERS);
  const seed = (name, value) => slider(name, { min: 0, max: 99, step: 1, value }, show);
  const first = seed("anchor A", 0), second = seed("anchor B", 1);
  const blend = slider("blend t", { min: 0, max: 1, step: 0.02, value: 0.5 }, show);
  const changes = places.map((k) =>
    slider(`change z${k} of A`, { min: -2, max: 2, step: 0.02, value: 0 }, show));
  const panels = ["A", "(1 − t) A + t B", "B"].map((title) => panel(title));
  const bars = barsOf(`what ${classifier.plan.name} says of the middle, in percent`);

  function show() {
    const a = draw(+first.input.value, size), b = draw(+second.input.value, size);
    places.forEach((k, i) => (a[k] = Math.min(Math.max(a[k] + +changes[i].input.value, -1), 1)));
    const t = +blend.input.value;
    [a, a.map((v, i) => (1 - t) * v + t * b[i]), b].forEach((z, i) => {
      const image = generator.logits(z), percent = classifier.percentages(image);
      paint(panels[i].canvas, image);
      say(panels[i], `a ${largest(percent)}, says ${classifier.plan.name}`);
      if (i === 1) bars.show(percent);
    });
    status.textContent = "";
  }

  root.replaceChildren(
    make("div", { class: "lab-controls" }, ...[first, second, blend, ...changes].map((s) => s.row)),
    make("div", { class: "lab-row" }, ...panels.map((p) => p.box), bars.table), status);
  show();
  return { show };
}

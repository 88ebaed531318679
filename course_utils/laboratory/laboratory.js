// The laboratory's page: draw a digit, attack it, and show it to every network.
import {
  distortion, fastGradientSign, noiseOfSize, projectedGradient, smallestPerturbation,
} from "./attacks.js";
import { bytesOf, largest, Network } from "./networks.js";
import { centred, drawingPad, paint, SIDE } from "./pad.js";

export const ATTACKS = {
  smallest: "smallest change (Lecture 1)",
  sign: "fast gradient sign (Lecture 4)",
  cube: "projected gradient, largest change",
  ball: "projected gradient, distortion",
};
const CLASSES = [...Array(10).keys()];
const FIRST = { network: "FC100-100-10", attack: "smallest", digit: 0, target: -1, eps: 0.1, t: 1, all: 0 };

/** Make an element with attributes and children. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

export function choice(label, options, onchange) {
  const menu = make("select", { onchange });
  const fill = (entries, value) => {
    menu.replaceChildren(...entries.map(([key, text]) => make("option", { value: key }, text)));
    if (value !== undefined) menu.value = value;
  };
  fill(options);
  return { row: make("label", {}, `${label} `, menu), menu, fill };
}

export function slider(label, { min, max, step, value }, oninput) {
  const shown = make("output", {}, String(value));
  const input = make("input", { type: "range", min, max, step, oninput });
  input.value = value;
  input.addEventListener("input", () => (shown.textContent = input.value));
  const set = (v) => { input.value = v; shown.textContent = input.value; };
  return { row: make("label", {}, `${label} `, input, " ", shown), input, set };
}

/** A picture with a caption that can change. */
export function panel(title) {
  const canvas = make("canvas", { width: SIDE, height: SIDE, role: "img", "aria-label": title });
  const words = make("span");
  const caption = make("figcaption", {}, make("strong", {}, title), make("br"), words);
  return { box: make("figure", { class: "lab-figure" }, canvas, caption), canvas, words, title };
}

export function say(panelOf, text) {
  panelOf.words.textContent = text;
  panelOf.canvas.setAttribute("aria-label", `${panelOf.title}: ${text}`);
}

/** Ten bars, of the percentages before and after the attack. */
export function barsOf(title) {
  const rows = CLASSES.map((k) => {
    const before = make("i"), after = make("b"), number = make("td", { class: "number" });
    const row = make("tr", {}, make("th", { scope: "row" }, String(k)),
      make("td", { class: "bars" }, before, after), number);
    return { row, before, after, number };
  });
  const caption = make("caption", {}, title);
  const table = make("table", { class: "lab-bars" }, caption, ...rows.map((r) => r.row));
  return {
    table,
    show(before, after) {
      rows.forEach((r, k) => {
        r.before.style.width = `${before[k]}%`;
        r.after.style.width = `${after ? after[k] : 0}%`;
        r.number.textContent = (after || before)[k].toFixed(1);
        r.row.className = k === largest(after || before) ? "first" : "";
      });
    },
  };
}

/** How far the attack went, beside the radius within which nothing can change the answer. */
function ring(radius, size, noise) {
  const most = Math.max(radius, size, 1e-9) * 1.15, at = (v) => (46 * v) / most;
  const mark = (v, turn, name) =>
    `<circle cx="${50 + at(v) * Math.cos(turn)}" cy="${50 - at(v) * Math.sin(turn)}" r="3"
      class="${name}"/>`;
  return `<svg viewBox="0 0 100 100" width="110" role="img" aria-label="certified radius ${radius.toFixed(3)},
    length of the perturbation ${size.toFixed(3)}"><circle cx="50" cy="50" r="${at(radius)}"
    class="certified"/><circle cx="50" cy="50" r="1.5" class="origin"/>
    ${mark(size, 0.6, "attack")}${noise ? mark(size, 2.4, "noise") : ""}</svg>`;
}

/** Read the state from the address, or write it there: a teacher can send it. */
export function stateOf(hash) {
  const told = Object.fromEntries(new URLSearchParams(hash.replace(/^#/, "")));
  const state = { ...FIRST };
  if (told.network) state.network = told.network;
  if (told.attack in ATTACKS) state.attack = told.attack;
  const numbers = { digit: [0, 99], target: [-1, 9], eps: [0, 0.5], t: [0, 2], all: [0, 1] };
  for (const [name, [low, high]] of Object.entries(numbers)) {
    const value = Number(told[name]);
    if (told[name] !== undefined && value >= low && value <= high) state[name] = value;
  }
  return state;
}

/**
 * Whether a drawing is like 99 % of the training digits: no farther from the mean of the nearest
 * class, and with no less or more ink.
 * @param {Float64Array} image @param {{means: string, farthest: number, ink: number[]}} digits
 */
export function isLikeADigit(image, { means, farthest, ink: [least, most] }) {
  const sum = image.reduce((a, b) => a + b, 0), bytes = bytesOf(means);
  const away = CLASSES.map((k) => Math.hypot(...image.map((v, i) => v - bytes[784 * k + i] / 255)));
  return Math.min(...away) <= farthest && sum >= least && sum <= most;
}

/**
 * Build the laboratory inside an element.
 * @param {HTMLElement} root
 * @param {{names: string[], load: (name: string) => Promise<object>, home?: string,
 *   digits: object}} source  what course_utils.laboratory.digits returns
 * @param {{state?: object, remember?: (state: object) => void}} options
 */
export function mountLaboratory(root, source, { state = { ...FIRST }, remember = () => {} } = {}) {
  const images = bytesOf(source.digits.images), { labels } = source.digits;
  const digit = (k) => Float64Array.from(images.subarray(784 * k, 784 * (k + 1)), (v) => v / 255);
  const networks = {}, originals = {};
  let network = null, found = null, drawn = false, label = labels[state.digit], later = 0;

  const status = make("p", { class: "lab-status", role: "status", "aria-live": "polite" });
  const bars = barsOf("what the network says, in percent: grey before, black after"), certificate = make("div", { class: "lab-ring" });
  const original = panel("original"), change = panel("+ perturbation");
  const sum = panel("= sum"), noise = panel("noise of its size");
  const padCanvas = make("canvas", {
    width: SIDE, height: SIDE, tabindex: 0, class: "lab-pad", role: "application",
    "aria-label": "drawing pad: draw with mouse or finger; arrow keys move, with shift or space they draw",
  });
  const pad = drawingPad(padCanvas, () => { drawn = true; found = null; show(); });
  const everyone = make("div", { class: "lab-everyone" });

  const network_ = choice("network", source.names.map((n) => [n, n]), () => select(network_.menu.value));
  const attack = choice("attack", Object.entries(ATTACKS), () => {
    state.attack = attack.menu.value;
    found = null;
    show();
  });
  const target = choice("target", [], () => { state.target = +target.menu.value; found = null; show(); });
  const eps = slider("eps", { min: 0, max: 0.5, step: 0.005, value: state.eps }, () => {
    state.eps = +eps.input.value;
    run();
  });
  const scale = slider("scale", { min: 0, max: 2, step: 0.02, value: state.t }, () => {
    state.t = +scale.input.value;
    if (found) show(); else run();
  });
  const go = make("button", { class: "lab-go", onclick: () => run() }, "attack");
  const all = make("button", { onclick: () => { state.all = 1; showToAll(); } }, "show to all networks");
  all.hidden = source.names.length < 2;

  function picture() { return drawn ? centred(pad.pixels) : digit(state.digit); }

  /** What is to be said of a drawing that is no digit. */
  function strange(image) {
    if (!drawn || image.every((v) => v === 0) || isLikeADigit(image, source.digits)) return "";
    return "This looks like no digit of the training set, but a network must answer with one of ten. ";
  }

  /** The class to get away from: a digit's label, or what the network says of a drawing. */
  function truth(image) { return drawn ? largest(network.logits(image)) : label; }

  function aim(image) {
    if (state.target >= 0 && state.target !== truth(image)) return state.target;
    const logits = network.logits(image).slice();
    logits[truth(image)] = -Infinity;
    return largest(logits);
  }

  function attacked(image) {
    if (state.attack === "smallest") return smallestPerturbation(network, image, aim(image)).image;
    const from = truth(image);
    if (state.attack === "sign") return fastGradientSign(network, image, from, state.eps);
    return projectedGradient(network, image, from, state.eps, { ball: state.attack === "ball" });
  }

  function run() {
    const image = picture();
    if (!network) return;
    if (image.every((v) => v === 0)) {
      status.textContent = "The pad is empty: draw a digit, or take one of MNIST's.";
      return;
    }
    const started = performance.now();
    found = attacked(image).map((v, i) => v - image[i]);
    root.dataset.milliseconds = performance.now() - started;
    show();
  }

  const scaled = (image) => image.map((v, i) => Math.min(Math.max(v + state.t * found[i], 0), 1));

  function show() {
    clearTimeout(later);
    later = setTimeout(() => remember(state), 200);  // browsers count changes of the address
    if (!network) return;
    const image = picture(), before = unmoved(state.network, image), first = largest(before);
    target.row.hidden = state.attack !== "smallest";
    eps.row.hidden = state.attack === "smallest";
    paint(original.canvas, image);
    say(original, `${first}, ${before[first].toFixed(1)} %`);
    const idle = !found;
    for (const one of [change, sum, noise]) one.box.hidden = idle;
    certificate.replaceChildren();
    everyone.hidden = idle;
    if (idle) {
      bars.show(before);
      status.textContent = `${strange(image)}Draw a digit or take one of MNIST's, then press attack.`;
      return;
    }
    const moved = scaled(image), after = network.percentages(moved), now = largest(after);
    const size = distortion(image, moved), control = noiseOfSize(image, size);
    const noisy = network.percentages(control), kept = largest(noisy);
    const most = Math.max(...found.map(Math.abs), 1e-9), factor = Math.max(1, Math.round(0.5 / most));
    paint(change.canvas, moved.map((v, i) => 0.5 + factor * (v - image[i])));
    paint(sum.canvas, moved);
    paint(noise.canvas, control);
    say(change, `× ${factor}; distortion ${size.toFixed(3)}`);
    say(sum, `${now}, ${after[now].toFixed(1)} %`);
    say(noise, `${kept}, ${noisy[kept].toFixed(1)} %`);
    bars.show(before, after);
    showRing(image, moved);
    if (state.all) showTable(image, moved);
    const result = now === first
      ? `${network.plan.name} still says ${now}`
      : `${network.plan.name} now says ${now} instead of ${first}`;
    const beside = kept === first ? "noise of the same size changes nothing" : `noise of the same size makes it say ${kept}`;
    const where = state.attack === "smallest" ? ["01_intriguing_properties", "Lecture 1"] : ["04_fast_gradient_sign", "Lecture 4"];
    status.replaceChildren(`${strange(image)}${result}; ${beside}. `,
      root.baseURI.includes(where[0]) ? "" : source.home === undefined ? `See ${where[1]}.`
        : make("a", { href: `${source.home}notebooks/${where[0]}.html` }, where[1]));
  }

  function showRing(image, moved) {
    const { bound } = network.plan;
    if (!bound) return;
    const logits = [...network.logits(image)].sort((a, b) => b - a);
    const radius = (logits[0] - logits[1]) / (Math.SQRT2 * bound);
    const length = distortion(image, moved) * SIDE;
    certificate.innerHTML = ring(radius, length, true);
    certificate.append(make("small", {}, `No change shorter than ${radius.toFixed(3)} alters the answer `
      + `(proved, Lecture 3); this one has length ${length.toFixed(3)}.`));
  }

  /** Load every network; from then on the table follows each move. */
  async function showToAll() {
    if (!found) run();
    if (!found) return;
    for (const name of source.names) {
      status.textContent = `Loading ${name} ...`;
      try {
        await load(name);
      } catch (error) {
        networks[name] = null;
      }
    }
    show();
  }

  /** What a network says of the picture as it was: the same at each move of a slider. */
  function unmoved(name, image) {
    const known = originals[name];
    if (known && image.every((v, i) => v === known.image[i])) return known.percent;
    const percent = networks[name].percentages(image);
    originals[name] = { image: Float64Array.from(image), percent };
    return percent;
  }

  function showTable(image, moved) {
    const told = (p) => `${largest(p)} (${p[largest(p)].toFixed(0)} %)`;
    const rows = source.names.filter((name) => name in networks).map((name) => {
      const other = networks[name], head = make("th", { scope: "row" }, name);
      if (!other) return make("tr", {}, head, make("td", { colspan: 3 }, "could not be loaded"));
      const before = unmoved(name, image), after = other.percentages(moved);
      const fooled = largest(before) !== largest(after);
      return make("tr", { class: fooled ? "fooled" : "" }, head, make("td", {}, told(before)),
        make("td", {}, told(after)), make("td", {}, fooled ? "fooled" : "not fooled"));
    });
    const head = ["network", "original", "sum", ""].map((text) => make("th", { scope: "col" }, text));
    everyone.replaceChildren(make("table", {},
      make("caption", {}, `made for ${network.plan.name}, shown to all (Lecture 2)`),
      make("tr", {}, ...head), ...rows));
  }

  async function load(name) {
    networks[name] ||= Network.from(await source.load(name));
    return networks[name];
  }

  async function select(name) {
    status.textContent = `Loading ${name} ...`;
    try {
      network = await load(name);
    } catch (error) {
      status.textContent = `${name} could not be loaded (${error.message}). Another network may do.`;
      return;
    }
    state.network = name;
    network_.menu.value = name;
    const again = found !== null;
    found = null;
    show();
    if (again) run();
  }

  function take(k) {
    state.digit = (k + labels.length) % labels.length;
    label = labels[state.digit];
    pad.set(digit(state.digit));
    drawn = false;
    found = null;
    show();
  }

  target.fill([[-1, "the next likeliest"], ...CLASSES.map((k) => [k, String(k)])], state.target);
  attack.menu.value = state.attack;
  root.classList.add("laboratory");
  root.replaceChildren(
    make("div", { class: "lab-controls" }, network_.row, attack.row, target.row, eps.row, scale.row, go, all),
    make("div", { class: "lab-row" }, make("div", { class: "lab-draw" }, padCanvas, make("div", {},
      make("button", { onclick: () => pad.set(new Float64Array(SIDE * SIDE)) }, "clear"), " ",
      make("button", { onclick: () => take(state.digit - 1), "aria-label": "previous digit of MNIST" }, "‹"),
      make("button", { onclick: () => take(state.digit + 1), "aria-label": "next digit of MNIST" }, "MNIST ›"))),
      bars.table),
    status,
    make("div", { class: "lab-row" }, original.box, change.box, sum.box, noise.box, certificate), everyone);
  pad.set(digit(state.digit));
  drawn = false;
  const chosen = source.names.includes(state.network) ? state.network : source.names[0];
  return select(chosen).then(() => state.all && showToAll()).then(() => ({ run, take, select, state }));
}

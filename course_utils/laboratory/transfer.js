// Lecture 2's table under the hand: changes made for one network, of any size, shown to several.
import { distortion, randomNumbers, smallestPerturbation } from "./attacks.js";
import { choice, make, slider } from "./laboratory.js";
import { bytesOf, largest, Network } from "./networks.js";

const PAUSE = 40;  // milliseconds of attacks between two drawings
const STEP = 0.005, PLACES = 61;  // of the slider: what each network says there is found in advance

/** Build the explorer inside an element. @param {HTMLElement} root @param {object} source */
export async function mountTransfer(root, source) {
  const images = bytesOf(source.digits.images), { labels } = source.digits;
  const digit = (k) => Float64Array.from(images.subarray(784 * k, 784 * (k + 1)), (v) => v / 255);
  const next = randomNumbers(0);
  const targets = labels.map((label) => (label + 1 + Math.floor(9 * next())) % 10);
  const status = make("p", { class: "lab-status", role: "status" });
  const menu = choice("made for", source.names.map((n) => [n, n]), () => attack(menu.menu.value));
  const size = slider("distortion", { min: 0, max: STEP * (PLACES - 1), step: STEP, value: 0.1 }, show);
  const rows = source.names.map((name) => {
    const bar = make("b"), number = make("td", { class: "number" });
    const row = make("tr", {}, make("th", { scope: "row" }, name), make("td", { class: "bars" }, bar), number);
    return { row, bar, number, name };
  });
  root.classList.add("laboratory");
  root.replaceChildren(make("div", { class: "lab-controls" }, menu.row, size.row),
    make("table", { class: "lab-bars lab-wide" },
      make("caption", {}, "error of each network, in percent; bold: the one that the changes were made for"),
      ...rows.map((r) => r.row)), status);
  status.textContent = "Loading the networks ...";
  let networks, made = "";
  // By the name of the network that the changes were made for: how many digits have been attacked,
  // and how many of them each network gets wrong at each of the slider's places.
  const tables = {};
  try {
    networks = await Promise.all(source.names.map(async (n) => Network.from(await source.load(n))));
  } catch (error) {
    status.textContent = `A network could not be loaded (${error.message}).`;
    return null;
  }

  function show() {
    const { digits, wrong } = tables[made] || { digits: 0 };
    const place = Math.round(size.input.value / STEP);
    rows.forEach((r, k) => {
      const error = digits ? 100 * wrong[k][place] / digits : 0;
      r.bar.style.width = `${error}%`;
      r.number.textContent = error.toFixed(0);
      r.row.className = r.name === made ? "first" : "";
    });
    status.textContent = digits < labels.length ? `Attacking: ${digits} of ${labels.length} digits.`
      : `The first ${labels.length} test digits, each changed towards a class drawn at random.`;
  }

  async function attack(name) {
    made = name;
    const table = (tables[name] ??= { digits: 0, wrong: networks.map(() => new Uint16Array(PLACES)) });
    const network = networks[source.names.indexOf(name)];
    while (made === name && table.digits < labels.length) {
      const end = performance.now() + PAUSE;
      while (performance.now() < end && table.digits < labels.length) {
        const k = table.digits++, image = digit(k);
        const moved = smallestPerturbation(network, image, targets[k]).image;
        const length = distortion(image, moved) || 1;  // a digit that is taken for its target stays
        const way = moved.map((v, i) => (v - image[i]) / length);
        networks.forEach((one, i) => {
          const logits = one.along(image, way);
          table.wrong[i].forEach((_, p, wrong) => (wrong[p] += largest(logits(p * STEP)) !== labels[k]));
        });
      }
      show();
      await new Promise((done) => setTimeout(done));
    }
    if (made === name) show();
  }

  await attack(source.names[0]);
  return { attack, show };
}

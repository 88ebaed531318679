// The game of two networks on a canvas: watch it, slow it, break it, cure it.
import { Game, SHAPES } from "./game.js";
import { choice, make, slider } from "./laboratory.js";

const REACH = 1.7, GRID = 40, WIDTH = 420;

/** Build the game inside an element. @param {HTMLElement} root */
export function mountGame(root, options = {}) {
  const canvas = make("canvas", { width: WIDTH, height: WIDTH, role: "img" });
  const heat = make("canvas", { width: GRID, height: GRID }).getContext("2d");
  const told = make("p", { role: "status" });
  let game = null, playing = false, frame = 0;
  const shape = choice("real points", Object.keys(SHAPES).map((k) => [k, k]), reset);
  const optimiser = choice("optimiser", [["adam", "Adam"], ["sgd", "gradient descent"]], reset);
  const loss = choice("generator's loss", [["", "non-saturating"], ["saturating", "saturating"]], draw);
  const rates = { min: -4, max: 0, step: 0.1 };
  const dRate = slider("rate of D, 10^", { ...rates, value: -2.3 }, () => {});
  const gRate = slider("rate of G, 10^", { ...rates, value: -2.3 }, () => {});
  const dSteps = slider("steps of D", { min: 0, max: 10, step: 1, value: 1 }, () => {});
  const gSteps = slider("steps of G", { min: 0, max: 10, step: 1, value: 1 }, () => {});
  const run = make("button", { onclick: () => toggle() }, "run");
  const step = make("button", { onclick: () => { play(); draw(); } }, "one round");
  const again = make("button", { onclick: () => reset() }, "reset");

  function play() {
    game.play({
      discriminatorSteps: +dSteps.input.value, generatorSteps: +gSteps.input.value,
      discriminatorRate: 10 ** +dRate.input.value, generatorRate: 10 ** +gRate.input.value,
      optimiser: optimiser.menu.value, saturating: loss.menu.value !== "",
    });
  }

  function draw() {
    const context = canvas.getContext("2d"), shades = heat.createImageData(GRID, GRID);
    const at = (x, y) => [WIDTH / 2 * (1 + x / REACH), WIDTH / 2 * (1 - y / REACH)];
    game.heat(GRID, REACH).forEach((d, i) => {
      shades.data.fill(105 + 150 * d, 4 * i, 4 * i + 3);
      shades.data[4 * i + 3] = 255;
    });
    heat.putImageData(shades, 0, 0);
    context.imageSmoothingEnabled = false;
    context.drawImage(heat.canvas, 0, 0, WIDTH, WIDTH);
    const { real, fake, pull } = game.state(loss.menu.value !== "");
    context.strokeStyle = "#003a7d";
    context.lineWidth = 1.2;
    context.beginPath();
    for (let p = 0; p < real.length; p += 2) {
      const [x, y] = at(real[p], real[p + 1]);
      context.rect(x - 2.5, y - 2.5, 5, 5);
    }
    context.stroke();
    context.fillStyle = context.strokeStyle = "#b3420a";
    const arrows = new Path2D(), dots = new Path2D();
    for (let p = 0; p < fake.length; p += 2) {
      const [x, y] = at(fake[p], fake[p + 1]), length = Math.hypot(pull[p], pull[p + 1]);
      const reach = length ? 18 * Math.tanh(length) / length : 0;
      arrows.moveTo(x, y);
      arrows.lineTo(x + reach * pull[p], y - reach * pull[p + 1]);
      dots.moveTo(x, y);
      dots.arc(x, y, 2.5, 0, 2 * Math.PI);
    }
    context.stroke(arrows);
    context.fill(dots);
    const reached = game.shape === "ring of eight" ? `; ${game.placesReached()} of 8 places reached` : "";
    const words = `Round ${game.round}${reached}`;
    told.textContent = words;
    canvas.setAttribute("aria-label", `Two dimensions: squares real, dots generated, arrows where the `
      + `generator's loss pulls them, light where D says real. ${words}`);
  }

  function toggle(on = !playing) {
    playing = on;
    run.textContent = playing ? "pause" : "run";
    cancelAnimationFrame(frame);
    if (playing) frame = requestAnimationFrame(tick);
  }

  function tick() {
    const end = performance.now() + 6;  // milliseconds of play a frame: the drawing has the rest
    do play(); while (performance.now() < end);
    draw();
    root.dataset.frames = 1 + (+root.dataset.frames || 0);
    if (playing && root.isConnected) frame = requestAnimationFrame(tick);
  }

  function reset() {
    game = new Game({ shape: shape.menu.value, seed: options.seed || 0 });
    root.dataset.frames = 0;
    draw();
  }

  root.classList.add("laboratory", "lab-game");
  root.replaceChildren(
    make("div", { class: "lab-controls" }, shape.row, optimiser.row, loss.row, dRate.row, gRate.row,
      dSteps.row, gSteps.row, run, step, again),
    make("figure", { class: "lab-figure" }, canvas,
      make("figcaption", {}, "□ real, ● generated, arrows: where the generator's loss pulls; light where D says real")),
    told);
  reset();
  return { toggle, reset, play, draw, game: () => game };
}

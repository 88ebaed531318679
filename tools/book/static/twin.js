// An explorer's static twin: controls that choose what is shown of what was computed beforehand.
// It stands in the place of the still picture, which is there without this script and on paper.
// What was computed comes as a script of its own, which also works from a disk.
window.courseTwins = {};

function startTwin(twin, still, { controls, frames }) {
  const row = twin.appendChild(document.createElement("div"));
  row.className = "twin-controls";
  const inputs = controls.map((control) => {
    const input = document.createElement(control.choices ? "select" : "input");
    if (control.choices) input.append(...control.values.map((value, i) => new Option(value, i)));
    else Object.assign(input, { type: "range", min: 0, max: control.values.length - 1 });
    input.value = control.start;
    const label = row.appendChild(document.createElement("label"));
    label.append(control.label, input, document.createElement("output"));
    return input;
  });
  const view = twin.appendChild(document.createElement("div"));
  view.className = "twin-view";
  function show() {
    let at = 0;
    inputs.forEach((input, i) => {
      const { values } = controls[i];
      at = at * values.length + Number(input.value);
      if (input.type === "range") {
        input.setAttribute("aria-valuetext", values[input.value]);
        input.nextElementSibling.value = values[input.value];
      }
    });
    const { pictures, html, alt } = frames[at];
    const text = document.createElement("div");
    text.innerHTML = html;
    view.replaceChildren(...Object.entries(pictures).map(([name, png], i) => {
      const box = document.createElement("div");
      const img = Object.assign(new Image(), {
        src: "data:image/png;base64," + png, alt: i ? `${name}, ${alt}` : alt,
      });
      box.append(img, name);
      return box;
    }), text);
  }
  inputs.forEach((input) => input.addEventListener("input", show));
  still.before(twin);
  still.classList.add("twin-still");
  twin.hidden = false;
  show();
}

// Fetch what was computed when its place comes near.
const stills = new Map();
const near = new IntersectionObserver((seen) => {
  for (const { target: still, isIntersecting } of seen) {
    if (!isIntersecting) continue;
    near.unobserve(still);
    const twin = stills.get(still);
    const source = twin.dataset.frames;
    courseTwins[source.split("/").pop()] = (computed) => startTwin(twin, still, computed);
    document.head.append(Object.assign(document.createElement("script"), { src: source }));
  }
}, { rootMargin: "600px" });
addEventListener("DOMContentLoaded", () => {
  for (const twin of document.querySelectorAll(".twin")) {
    const still = [...document.querySelectorAll("img")].findLast(
      (img) => img.compareDocumentPosition(twin) & Node.DOCUMENT_POSITION_FOLLOWING);
    stills.set(still, twin);
    near.observe(still);
  }
});

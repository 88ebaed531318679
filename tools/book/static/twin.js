// An explorer's static twin: controls that choose what is shown of what was computed beforehand.
// It stands in the place of the still picture, which is there without this script and on paper.
function startTwin(twin) {
  const { controls, frames } = JSON.parse(twin.querySelector("script").textContent);
  const still = [...document.querySelectorAll("img")].findLast(
    (img) => img.compareDocumentPosition(twin) & Node.DOCUMENT_POSITION_FOLLOWING);
  const inputs = [...twin.querySelectorAll("input, select")];
  const view = twin.appendChild(document.createElement("div"));
  view.className = "twin-view";
  view.setAttribute("aria-live", "polite");
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
addEventListener("DOMContentLoaded", () => document.querySelectorAll(".twin").forEach(startTwin));

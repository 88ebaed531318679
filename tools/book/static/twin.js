// An explorer's static twin: its controls choose which pre-drawn frame the figure shows.
// Without this script, and on paper, the figure is the still picture.
function startTwin(twin) {
  const { controls, frames } = JSON.parse(twin.querySelector("script").textContent);
  const picture = [...document.querySelectorAll("img")].findLast(
    (img) => img.compareDocumentPosition(twin) & Node.DOCUMENT_POSITION_FOLLOWING);
  const still = { src: picture.src, alt: picture.alt };
  const inputs = [...twin.querySelectorAll("input, select")];
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
    picture.src = "data:image/png;base64," + frames[at].png;
    picture.alt = frames[at].alt;
  }
  inputs.forEach((input) => input.addEventListener("input", show));
  addEventListener("beforeprint", () => Object.assign(picture, still));
  addEventListener("afterprint", show);
  twin.hidden = false;
  show();
}
addEventListener("DOMContentLoaded", () => document.querySelectorAll(".twin").forEach(startTwin));

// The theme's arrows that open a group of pages have no name for those who don't see them.
addEventListener("DOMContentLoaded", () => {
  for (const arrow of document.querySelectorAll(".has-children > details > summary")) {
    const group = arrow.parentElement.parentElement.querySelector("a").textContent.trim();
    arrow.setAttribute("aria-label", `Pages of ${group}`);
  }
});
// The dashboard of claims: each verdict can be hidden.
addEventListener("DOMContentLoaded", () => {
  for (const box of document.querySelectorAll(".claims-filter input")) {
    box.addEventListener("change", () => {
      for (const card of document.querySelectorAll(`.verdict-${box.value}`)) {
        card.hidden = !box.checked;
      }
    });
  }
});
// What scrolls by itself, such as a long formula on a phone, can be scrolled with the keyboard, too.
function reachScrollers() {
  for (const box of document.querySelectorAll("article :is(div.math, pre, .output.text_html, .pst-scrollable-table-container)")) {
    const scrolls = box.scrollWidth > box.clientWidth + 1 && !box.querySelector("a, button, input, select");
    if (scrolls) box.tabIndex = 0;
    else if (box.tabIndex === 0) box.removeAttribute("tabindex");
  }
}
addEventListener("load", reachScrollers);
addEventListener("resize", reachScrollers);

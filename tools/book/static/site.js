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

// On the site: find the places that a page keeps for the laboratory, and build it there.
(() => {
  const lab = window.courseLaboratory;
  const here = document.currentScript.src.replace(/[^/]*$/, "");
  const home = here.replace(/_static\/laboratory\/$/, "").replace(/laboratory\/$/, "");
  const load = (name) => new Promise((done, failed) => {
    if (lab.networks[name]) return done(lab.networks[name]);
    const script = document.createElement("script");
    script.src = `${here}network-${lab.names.indexOf(name)}.js`;
    script.onload = () => (lab.networks[name] ? done(lab.networks[name]) : failed(new Error("empty file")));
    script.onerror = () => failed(new Error("its file is missing"));
    document.head.append(script);
  });
  const remember = (state) => {
    const told = Object.entries(state).map(([k, v]) => `${k}=${encodeURIComponent(v)}`).join("&");
    history.replaceState(null, "", `#${told}`);
  };
  const begin = () => {
    for (const root of document.querySelectorAll("[data-laboratory]")) {
      if (root.classList.contains("laboratory")) continue;  // built by another copy of this script
      const wanted = root.dataset.laboratory;
      if (wanted === "game") { lab.mountGame(root); continue; }
      const own = wanted === "page";  // the whole page is the laboratory's, and so is its address
      const state = lab.stateOf(own && location.hash.includes("=") ? location.hash : wanted);
      lab.mountLaboratory(root, { names: lab.names, load, digits: lab.digits, home },
        { state, remember: own ? remember : () => {} });
    }
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin);
  else begin();
})();

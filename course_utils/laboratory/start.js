// On the site: find the places that a page keeps for the laboratory, and build it there.
(() => {
  const lab = window.courseLaboratory;
  if (lab.started) return;  // a page with several places has several copies of this script
  lab.started = true;
  const here = document.currentScript.src.replace(/[^/]*$/, "");
  const home = here.replace(/_static\/laboratory\/$/, "").replace(/laboratory\/$/, "");
  const load = (name) => new Promise((done, failed) => {
    if (lab.networks[name]) return done(lab.networks[name]);
    const script = document.createElement("script");
    script.src = `${here}network-${lab.files.indexOf(name)}.js`;
    script.onload = () => (lab.networks[name] ? done(lab.networks[name]) : failed(new Error("empty file")));
    script.onerror = () => failed(new Error("its file is missing"));
    document.head.append(script);
  });
  const remember = (state) => {
    const told = Object.entries(state).map(([k, v]) => `${k}=${encodeURIComponent(v)}`).join("&");
    history.replaceState(null, "", `#${told}`);
  };
  const build = (root) => {
    const wanted = root.dataset.laboratory, own = wanted === "page";
    const names = JSON.parse(root.dataset.networks);
    const source = { names: names.length ? names : lab.names, load, digits: lab.digits, home };
    // Where the whole page is the laboratory's, so is its address.
    const kind = own && location.hash.includes("=") ? location.hash : wanted;
    lab.mount(root, kind, source, own ? { remember } : {});
  };
  // When its place comes near: its networks weigh more than the page.
  const near = new IntersectionObserver((seen) => {
    for (const { target, isIntersecting } of seen) {
      if (!isIntersecting) continue;
      near.unobserve(target);
      build(target);
    }
  }, { rootMargin: "400px" });
  const begin = () => document.querySelectorAll("[data-laboratory]").forEach((root) => near.observe(root));
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin);
  else begin();
})();

// On the site: find the places that a page keeps for the laboratory, and build it there.
(() => {
  const lab = window.courseLaboratory;
  if (lab.load) return;  // a page with several places has several copies of this script
  const HEAVY = 600_000;  // bytes of networks: what needs more is loaded when somebody asks for it
  const here = document.currentScript.src.replace(/[^/]*$/, "");
  const home = here.replace(/_static\/laboratory\/$/, "").replace(/laboratory\/$/, "");
  const unpack = async (text) => {
    const bytes = new Blob([lab.bytesOf(text)]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Response(bytes).json();
  };
  const script = (name) => new Promise((done, failed) => {
    const element = document.createElement("script");
    element.src = `${here}network-${Object.keys(lab.files).indexOf(name)}.js`;
    element.onload = () => (lab.packed[name] ? done() : failed(new Error("empty file")));
    element.onerror = () => failed(new Error("its file is missing"));
    document.head.append(element);
  });
  lab.load = async (name) => {
    if (!lab.packed[name]) await script(name);
    return (lab.networks[name] ??= await unpack(lab.packed[name]));
  };
  const remember = (state) => {
    const told = Object.entries(state).map(([k, v]) => `${k}=${encodeURIComponent(v)}`).join("&");
    history.replaceState(null, "", `#${told}`);
  };
  const build = async (root) => {
    const wanted = root.dataset.laboratory, own = wanted === "page";
    const names = JSON.parse(root.dataset.networks);
    const source = { names: names.length ? names : lab.names, load: lab.load, digits: await digits, home };
    // Where the whole page is the laboratory's, so is its address.
    const kind = own && location.hash.includes("=") ? location.hash : wanted;
    lab.mount(root, kind, source, own ? { remember } : {});
  };
  // What is to be loaded before the first picture: a state needs one network, the others all.
  const weight = ({ dataset }) => (/^page$|^$|=/.test(dataset.laboratory) ? 0
    : JSON.parse(dataset.networks).reduce((sum, name) => sum + lab.files[name], 0));
  const ask = (root) => {
    const begin = document.createElement("button");
    begin.textContent = `Start this explorer (it loads ${(weight(root) / 1e6).toFixed(1)} MB)`;
    begin.onclick = () => build(root);
    root.replaceChildren(begin);
  };
  // When its place comes near: its networks weigh more than the page.
  const near = new IntersectionObserver((seen) => {
    for (const { target, isIntersecting } of seen) {
      if (!isIntersecting) continue;
      near.unobserve(target);
      if (weight(target) > HEAVY) ask(target); else build(target);
    }
  }, { rootMargin: "400px" });
  const digits = unpack(lab.packed.digits);
  const begin = () => document.querySelectorAll("[data-laboratory]").forEach((root) => near.observe(root));
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin);
  else begin();
})();

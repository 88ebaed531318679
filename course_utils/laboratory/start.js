// On the site: find the places that a page keeps for the laboratory, and build it there.
(() => {
  const lab = window.courseLaboratory;
  if (lab.load) return;  // a page with several places has several copies of this script
  const MOST = 450_000;  // bytes of networks that a page loads unasked
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
  lab.digits = unpack(lab.packed.digits);
  const loaded = new Set(), weigh = (names) => names.reduce((sum, name) => sum + lab.files[name], 0);
  lab.load = async (name) => {
    loaded.add(name);
    if (!lab.packed[name]) await script(name);
    return (lab.networks[name] ??= await unpack(lab.packed[name]));
  };
  const remember = (state) => {
    const told = Object.entries(state).map(([k, v]) => `${k}=${encodeURIComponent(v)}`).join("&");
    history.replaceState(null, "", `#${told}`);
  };
  const namesOf = (root) => [JSON.parse(root.dataset.networks), lab.names].find((names) => names.length);
  const build = async (root) => {
    const wanted = root.dataset.laboratory, own = wanted === "page";
    const source = { names: namesOf(root), load: lab.load, digits: await lab.digits, home };
    // Where the whole page is the laboratory's, so is its address.
    const kind = own && location.hash.includes("=") ? location.hash : wanted;
    lab.mount(root, kind, source, own ? { remember } : {});
  };
  // Build it, or a button that does, where the networks that it begins with are too heavy.
  const buildOrAsk = (root) => {
    const kind = root.dataset.laboratory, names = namesOf(root), first = lab.stateOf(kind).network;
    const needed = kind === "game" ? [] : ["frequency", "transfer", "walk"].includes(kind) ? names
      : [names.includes(first) ? first : names[0]];
    const bytes = weigh(needed.filter((name) => !loaded.has(name)));
    if (kind === "page" || bytes + weigh([...loaded]) <= MOST) return build(root);
    const begin = document.createElement("button");
    begin.textContent = `Start this explorer (it loads ${(bytes / 1e6).toFixed(1)} MB)`;
    begin.onclick = () => build(root);
    root.replaceChildren(begin);
  };
  // When its place comes near: its networks weigh more than the page.
  const near = new IntersectionObserver((seen) => {
    for (const { target, isIntersecting } of seen) {
      if (!isIntersecting) continue;
      near.unobserve(target);
      buildOrAsk(target);
    }
  }, { rootMargin: "400px" });
  const begin = () => document.querySelectorAll("[data-laboratory]").forEach((root) => near.observe(root));
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin);
  else begin();
})();

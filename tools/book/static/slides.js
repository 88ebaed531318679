// Slides as large as the screen allows: wide ones, and upright ones on a phone that is held upright.
const shape = () => (innerWidth >= innerHeight ? { width: 1200, height: 750 }
  : { width: 600, height: Math.round(570 * innerHeight / innerWidth) });
// How much larger its words may get than the style sheet has them, by what a slide shows.
const LARGEST = [["[data-laboratory]", 1], [".course-card", 1.1], ["img", 1], ["table", 1.9], ["*", 1.25]];
// Without the stills of explorers, which stand there until those are alive.
const picturesOf = (slide) => [...slide.querySelectorAll("img:not(.lab-still)")];
const least = () => (innerWidth >= innerHeight ? 0.55 : 0.8);  // below, a slide is scrolled instead

function fit(slide) {
  const { height } = Reveal.getConfig(), room = height - 10;
  const parts = [...slide.children].filter((part) => !part.matches("aside"));
  const most = LARGEST.find(([what]) => slide.querySelector(what))[1];
  const pictures = picturesOf(slide);
  const wide = [...slide.querySelectorAll("math[display=block], table")];
  const bottom = () => Math.max(...parts.map((part) => part.offsetTop + part.offsetHeight));
  const fits = () => bottom() <= room
    && wide.every((one) => one.scrollWidth <= slide.clientWidth + 1
      && one.getBoundingClientRect().right <= slide.getBoundingClientRect().right + 1);
  if (parts[1]) parts[1].style.marginTop = "";
  for (const picture of pictures) picture.style.height = `${0.6 * room}px`;
  for (const one of slide.querySelectorAll("math[display=block]")) {
    one.style.fontSize = "";
    const share = slide.clientWidth / one.scrollWidth;
    one.style.fontSize = `${1.45 * Math.min(share, 1.4)}em`;
  }
  let low = least(), high = most;
  for (let step = 0; step < 8; step++) {
    const size = step ? (low + high) / 2 : high;
    slide.style.fontSize = `${size}em`;
    if (fits()) low = size; else high = size;
    if (low === high) break;
  }
  slide.style.fontSize = `${low}em`;
  // A picture has the room that its words leave.
  for (const picture of pictures) picture.style.height = "0";
  const left = (room - bottom()) / pictures.length;
  for (const picture of pictures) {
    const whole = slide.clientWidth * picture.naturalHeight / picture.naturalWidth;
    picture.style.height = `${Math.max(Math.min(left, whole), 100)}px`;
  }
  // What is lower than the screen stands a little above its middle.
  const spare = room - bottom();
  if (parts[1] && spare > 0 && slide !== Reveal.getSlides()[0]) parts[1].style.marginTop = `${0.4 * spare}px`;
  // A slide that has to be scrolled can be reached with the keyboard.
  if (slide.scrollHeight > slide.clientHeight + 1) slide.tabIndex = 0;
  else slide.removeAttribute("tabindex");
}

async function show(slide) {
  await Promise.all(picturesOf(slide).map((picture) => picture.decode()));
  if (slide.clientHeight) fit(slide);
}

const showAll = () => Reveal.getSlides().filter((slide) => slide.clientHeight).forEach(show);
Reveal.initialize({
  ...shape(), center: false, hash: true, navigationMode: "linear", slideNumber: "c/t", plugins: [RevealNotes],
});
Reveal.on("ready", showAll);
Reveal.on("pdf-ready", showAll);
Reveal.on("slidechanged", ({ currentSlide }) => show(currentSlide));
addEventListener("resize", () => { Reveal.configure(shape()); showAll(); });
// An explorer grows when its networks are there and when it has attacked.
const grown = new ResizeObserver((seen) => seen.forEach(({ target }) => show(target.closest("section"))));
document.querySelectorAll("[data-laboratory]").forEach((place) => grown.observe(place));

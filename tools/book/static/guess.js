// Guess, then reveal: what came out below "Before you run", and what is said of it, waits until a
// guess is typed. Without scripts, on paper and after "show all" everything is there; a search in
// the page and a link to what waits find it, too.
const ALL = "course-answers-shown";
const questions = [];

// What waits for the question's guess, and what the guess is to be, from the cell that takes it.
function answersOf(question) {
  const answers = [];
  let unit = "", shown = false, told = false;
  for (let next = question.nextElementSibling; next; next = next.nextElementSibling) {
    const cell = next.matches(".cell");
    if (told || next.matches("section, blockquote")) break;
    const asks = cell && next.textContent.trim().match(/^guess_\d+ = "\?"\s+# (.*)/);
    if (asks) {
      unit = asks[1];
      next.classList.add("asks");  // the box stands in for it
    }
    const parts = cell ? next.querySelectorAll(":scope > .cell_output") : shown ? [next] : [];
    answers.push(...parts);
    if (cell) shown ||= parts.length > 0;
    else told = shown;
  }
  return { answers, unit };
}

// The number that a guess in such a unit is about, in a line before "you said": groups are the
// number, the ends of its interval, or of how many it is.
const MEASURED = {
  percent: /(?<value>-?[\d.]+) %[^%\d]*$/,
  times: /(?<value>-?[\d.]+)(?: \((?<low>-?[\d.]+) to (?<high>-?[\d.]+)\))? times[^\d]*$/,
  nats: /(?<value>-?[\d.]+); $/,
  "how many of": /(?<value>\d+) of (?<whole>\d+) \($/,
};

// An axis from 0 with what was measured and what was guessed; null where either is no number.
function axisOf(line, unit, guess) {
  const kind = Object.keys(MEASURED).find((word) => unit.includes(word));
  const before = line.slice(0, line.indexOf("you said"));
  const found = kind && !before.startsWith("paper") && before.match(MEASURED[kind])?.groups;
  const guessed = Number(guess.replace(/[ %]/g, "").replace(",", ".") || NaN);
  if (!found || !Number.isFinite(guessed)) return null;
  const told = Object.fromEntries(Object.entries(found).map(([name, text]) => [name, Number(text ?? NaN)]));
  const all = [0, guessed, ...Object.values(told).filter(Number.isFinite)];
  const least = Math.min(...all), most = Math.max(...all), room = 0.06 * (most - least) || 1;
  const at = (value) => `${100 * (value - least + room) / (most - least + 2 * room)}%`;
  const axis = Object.assign(document.createElement("div"), { className: "guess-axis" });
  const add = (name, value, text = "") => {
    const mark = Object.assign(document.createElement("span"), { className: name, textContent: text });
    mark.style.left = at(value);
    axis.append(mark);
    return mark;
  };
  add("tick", least, String(least));
  add("tick", most, String(most));
  if (told.high > told.low) {
    add("interval", told.low).style.width = `calc(${at(told.high)} - ${at(told.low)})`;
  }
  add("dot", told.value, "●");
  add("dot guessed-dot", guessed, "▽");
  const words = `● measured ${told.value}, ▽ your guess ${guessed}`;
  axis.role = "img";
  axis.ariaLabel = words;
  const figure = Object.assign(document.createElement("div"), { className: "guess-figure" });
  figure.append(axis, Object.assign(document.createElement("small"), { textContent: words }));
  return figure;
}

function reveal({ form, answers, unit }, guess) {
  if (!form.isConnected) return;
  form.remove();
  for (const answer of answers) answer.hidden = false;
  if (!guess) return;
  const place = answers.flatMap((answer) => [...answer.querySelectorAll("pre")])
    .find((pre) => pre.textContent.includes("you said ?"));
  if (place) {
    const line = place.textContent.split("\n").find((each) => each.includes("you said ?"));
    const axis = axisOf(line, unit, guess);
    if (axis) place.after(axis);
    place.textContent = place.textContent.replace("you said ?", () => `you said ${guess}`);
  } else {
    const said = Object.assign(document.createElement("p"), { className: "guessed" });
    said.textContent = `You said: ${guess}`;
    answers[0].before(said);
  }
}

function ask(question, number) {
  const { answers, unit } = answersOf(question);
  if (!answers.length) return;
  const form = document.createElement("form");
  form.className = "guess";
  form.innerHTML = '<label>Your guess <input autocomplete="off"></label>' +
    '<button>Show</button><button type="button">Show all</button>';
  form.querySelector("input").id = `guess-${number}`;
  if (unit) form.querySelector("input").before(`(${unit}) `);
  question.append(form);
  const asked = { form, answers, unit };
  questions.push(asked);
  for (const answer of answers) {
    answer.classList.add("answer");
    answer.hidden = "until-found";
    answer.addEventListener("beforematch", () => reveal(asked));
  }
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    reveal(asked, form.querySelector("input").value.trim());
    answers[0].scrollIntoView({ block: "nearest" });
  });
  form.lastElementChild.addEventListener("click", () => {
    localStorage.setItem(ALL, "yes");
    for (const each of questions) reveal(each);
  });
}

function linked() {
  const target = document.getElementById(location.hash.slice(1));
  for (const each of questions) {
    if (each.answers.some((answer) => answer.contains(target))) {
      reveal(each);
      target.scrollIntoView();
    }
  }
}

addEventListener("DOMContentLoaded", () => {
  const quotes = [...document.querySelectorAll("blockquote")]
    .filter((quote) => quote.textContent.trim().startsWith("Before you run"));
  if (localStorage.getItem(ALL)) {
    const again = Object.assign(document.createElement("button"), { textContent: "Ask me first" });
    again.addEventListener("click", () => {
      localStorage.removeItem(ALL);
      location.reload();
    });
    quotes[0]?.append(again);
    return;
  }
  quotes.forEach(ask);
  linked();
});
addEventListener("hashchange", linked);

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
    unit ||= cell && next.textContent.trim().match(/^guess = "\?"\s+# (.*)/)?.[1] || "";
    const parts = cell ? next.querySelectorAll(":scope > .cell_output") : shown ? [next] : [];
    answers.push(...parts);
    if (cell) shown ||= parts.length > 0;
    else told = shown;
  }
  return { answers, unit };
}

function reveal({ form, answers }, guess) {
  if (!form.isConnected) return;
  form.remove();
  for (const answer of answers) answer.hidden = false;
  if (!guess) return;
  const place = answers.flatMap((answer) => [...answer.querySelectorAll("pre")])
    .find((pre) => pre.textContent.includes("you said ?"));
  if (place) {
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
  const asked = { form, answers };
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
  for (const cell of document.querySelectorAll(".cell")) {  // the boxes stand in for these
    cell.classList.toggle("asks", /^guess = "/.test(cell.textContent.trim()));
  }
  quotes.forEach(ask);
  linked();
});
addEventListener("hashchange", linked);

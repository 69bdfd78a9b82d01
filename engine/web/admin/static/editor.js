// The editor: numbers of lines, and what the server says of the text a moment after one has typed.

import { ask } from "../base/asking.js";

const WAIT = 500;

const text = document.getElementById("text");
const gutter = document.getElementById("gutter");
const looked = document.getElementById("looked");
const state = document.getElementById("state");
const name = document.querySelector("input[name=name]").value;
let marks = { bad: [], warn: [] };
let asked = 0;
let timer = 0;
let changed = false;

const number = () => {
  const count = text.value.split("\n").length;
  while (gutter.children.length > count) gutter.lastElementChild.remove();
  while (gutter.children.length < count) {
    const line = document.createElement("div");
    line.textContent = gutter.children.length + 1;
    gutter.append(line);
  }
  gutter.scrollTop = text.scrollTop;
};

const mark = () => {
  for (const line of gutter.querySelectorAll(".bad, .warn")) line.className = "";
  for (const kind of ["warn", "bad"])
    for (const place of marks[kind]) gutter.children[place - 1]?.setAttribute("class", kind);
};

const tell = (word) => {
  if (!state) return;
  state.textContent = state.dataset[word];
  state.className = `badge ${{ good: "good", bad: "bad" }[word] ?? ""}`;
};

const check = async () => {
  const turn = ++asked;
  tell("busy");
  try {
    const told = await ask("/admin/configuration/check", { name, text: text.value });
    if (turn !== asked) return; // one has typed on
    marks = told;
    const part = new DOMParser().parseFromString(told.html, "text/html").body.children;
    looked.replaceChildren(...[...part].map((node) => document.importNode(node, true)));
    const isWrong = looked.querySelector(".told .bad") !== null;
    text.setAttribute("aria-invalid", isWrong);
    tell(isWrong ? "bad" : "good");
  } catch {
    if (turn === asked) tell("off");
  }
  mark();
};

const go = (line) => {
  const lines = text.value.split("\n");
  const start = lines.slice(0, line - 1).reduce((sum, one) => sum + one.length + 1, 0);
  text.focus();
  text.setSelectionRange(start, start + (lines[line - 1] ?? "").length);
  text.scrollTop = Math.max((line - 5) * (text.scrollHeight / lines.length), 0);
};

text.addEventListener("scroll", () => (gutter.scrollTop = text.scrollTop));
text.addEventListener("input", () => {
  changed = true;
  number();
  window.clearTimeout(timer);
  timer = window.setTimeout(check, WAIT);
});
looked.addEventListener("click", (event) => {
  const line = event.target.closest("[data-line]")?.dataset.line;
  if (line) go(Number(line));
});
document.getElementById("editor").addEventListener("submit", () => (changed = false));
window.addEventListener("beforeunload", (event) => changed && event.preventDefault());

number();
if (!text.readOnly) check();

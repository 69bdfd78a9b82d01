// Messages as they pass a link: the newest on top, so many of them, and all of them text.

import { listen } from "../base/events.js";
import { badge } from "./live.js";

const MOST = 200;

const language = document.documentElement.lang;
const table = document.getElementById("messages");
const rows = table.querySelector("tbody");
const pause = document.getElementById("pause");
const clock = new Intl.DateTimeFormat(language, { hour: "numeric", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 1 });
const number = new Intl.NumberFormat(language);
let paused = false;

const size = (octets) =>
  new Intl.NumberFormat(language, { notation: "compact", style: "unit", unit: "byte", unitDisplay: "narrow" }).format(octets);

const fill = (row, message) => {
  const [when, who, large, decided, took] = row.children;
  when.textContent = clock.format(message.time * 1000);
  const [link, , to] = who.childNodes;
  link.textContent = message.from;
  link.href = `/admin/message?q=${encodeURIComponent(message.id)}`;
  to.textContent = "→ " + message.to.join(", ") + (message.more ? ` +${message.more}` : "");
  large.textContent = size(message.size);
  decided.firstChild.textContent = message.verdict || table.dataset.way;
  const way = message.way.length > 1 ? message.way.map(([stage, words, ms]) => `${stage} ${words} ${ms} ms`) : [];
  const facts = Object.entries(message.facts).map(([name, value]) => `${name} = ${value}`);
  decided.lastChild.textContent = [...way, ...facts].join(", ");
  took.textContent = message.ms === null ? "" : `${number.format(message.ms)} ms`;
};

const take = (message) => {
  if (paused) return;
  const known = message.again && [...rows.children].find((row) => row.dataset.id === message.id);
  const row = known || document.getElementById("row").content.firstElementChild.cloneNode(true);
  row.dataset.id = message.id;
  fill(row, message);
  if (!known) rows.prepend(row);
  while (rows.children.length > MOST) rows.lastElementChild.remove();
  document.getElementById("nothing").hidden = true;
};

const count = (told) => {
  const place = document.getElementById("count");
  const text = told.seen === undefined ? place.dataset.short : place.dataset.text;
  const missed = (told.missed ?? 0) + told.skipped;
  const values = { shown: told.shown, seen: told.seen, missed };
  place.textContent = text.replace(/\{(\w+)\}/g, (_, name) => number.format(values[name]));
};

pause.addEventListener("click", () => {
  paused = !paused;
  pause.setAttribute("aria-pressed", paused);
});

const close = listen(
  `/admin/pipeline/link/live${location.search}`,
  {
    begun: () => table.setAttribute("aria-busy", "false"),
    message: take,
    count,
    ended: (why) => {
      close();
      badge(false);
      const place = document.getElementById("ended");
      place.textContent = why;
      place.hidden = false;
    },
  },
  badge,
);

// Pages that show what others may change meanwhile: each part that is marked data-live is fetched anew when something was.

import { listen } from "../base/events.js";

const parts = () => [...document.querySelectorAll("[data-live]")];
const FOCUSED = "a, button, input, select, textarea, summary";

// Whether somebody has begun something there that must not be taken from under their hands.
const isBegun = (part) =>
  [...part.querySelectorAll("input, select, textarea")].some((field) => {
    if (field.type === "hidden") return false;
    if (field.type === "checkbox" || field.type === "radio") return field.checked !== field.defaultChecked;
    if (field.tagName === "SELECT") return document.activeElement === field;
    return field.value !== field.defaultValue || document.activeElement === field;
  });

const put = (part, fresh) => {
  const open = [...part.querySelectorAll("details")].map((one) => one.open);
  const focus = [...part.querySelectorAll(FOCUSED)].indexOf(document.activeElement);
  part.replaceChildren(...[...fresh.childNodes].map((node) => document.importNode(node, true)));
  part.dataset.state = fresh.dataset.state;
  [...part.querySelectorAll("details")].forEach((one, number) => (one.open = open[number] ?? one.open));
  if (focus >= 0) part.querySelectorAll(FOCUSED)[focus]?.focus({ preventScroll: true });
};

const renew = async (number) => {
  const part = parts()[number];
  const response = await fetch(part.dataset.live, { headers: { accept: "text/html", "x-live": "1" } });
  if (!response.ok || response.redirected) return;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const fresh = page.querySelectorAll("[data-live]")[number];
  if (fresh && !isBegun(part)) put(part, fresh);
};

const REST = 700; // milliseconds between two looks: an import changes something all the time
let wanted = "";
let turn = null;
let last = 0;
let took = 0; // milliseconds: what is slow to make, such as a long queue, is asked for less often

const look = async () => {
  turn = null;
  last = Date.now();
  const stale = parts().flatMap((part, number) => (part.dataset.state === wanted ? [] : [number]));
  for (const number of stale) if (!isBegun(parts()[number])) await renew(number).catch(() => {});
  took = Date.now() - last;
  if (parts().some((part) => part.dataset.state !== wanted && isBegun(part))) turn ??= setTimeout(look, 1000);
};

if (parts().length)
  listen("/admin/changes/live", {
    changed: (state) => {
      wanted = state;
      const rest = Math.max(REST, 4 * took);
      turn ??= setTimeout(look, Math.max(50, last + rest - Date.now())); // several changes at once are one look
    },
  });

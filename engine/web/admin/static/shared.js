// Pages that show what others may change meanwhile: each part that is marked data-live is fetched anew when something was.

import { clocks } from "../base/clocks.js";
import { listen } from "../base/events.js";

const parts = () => [...document.querySelectorAll("[data-live]")];
const FOCUSED = "a, button, input, select, textarea, summary";
const KEPT = ["open", "hidden"]; // attributes that say what the reader has unfolded, or looked for

const isChosen = (field) => {
  const before = [...field.options].findIndex((one) => one.defaultSelected);
  return field.selectedIndex !== Math.max(before, 0) || document.activeElement === field;
};

// Whether somebody has begun something there that must not be taken from under their hands.
const isBegun = (part) =>
  [...part.querySelectorAll("input, select, textarea")].some((field) => {
    if (field.type === "hidden" || field.dataset.narrows) return false;
    if (field.type === "checkbox" || field.type === "radio") return field.checked !== field.defaultChecked;
    if (field.tagName === "SELECT") return isChosen(field);
    return field.value !== field.defaultValue || document.activeElement === field;
  });

const named = (old, fresh) => {
  for (const { name, value } of [...fresh.attributes])
    if (!KEPT.includes(name) && old.getAttribute(name) !== value) old.setAttribute(name, value);
  for (const { name } of [...old.attributes])
    if (!KEPT.includes(name) && !fresh.hasAttribute(name)) old.removeAttribute(name);
};

// What a form would have done, and about whom: one that is about something else must not come under a finger.
const order = (form) =>
  [form, ...form.querySelectorAll("input[type=hidden], button")].map((one) => one.value ?? one.action).join();

const isSame = (old, fresh) =>
  old.nodeName === fresh.nodeName && old.id === fresh.id && (old.nodeName !== "FORM" || order(old) === order(fresh));

// What has not changed stays the very same element: somebody may be about to press it, or have it selected.
const merge = (old, fresh) => {
  if (old.isEqualNode(fresh)) return;
  if (!isSame(old, fresh)) old.replaceWith(document.importNode(fresh, true));
  else if (old.nodeType !== Node.ELEMENT_NODE) old.nodeValue = fresh.nodeValue;
  else {
    named(old, fresh);
    within(old, fresh);
  }
};

const within = (old, fresh) => {
  const ours = [...old.childNodes];
  const theirs = [...fresh.childNodes];
  const least = () => Math.min(ours.length, theirs.length);
  while (least() && ours[0].isEqualNode(theirs[0])) ours.shift(), theirs.shift();
  while (least() && ours.at(-1).isEqualNode(theirs.at(-1))) ours.pop(), theirs.pop();
  if (ours.length === theirs.length) return ours.forEach((one, number) => merge(one, theirs[number]));
  const place = document.createComment("");
  ours.length ? ours[0].before(place) : old.insertBefore(place, behind(old, fresh, theirs));
  place.before(...theirs.map((node) => document.importNode(node, true)));
  for (const one of [...ours, place]) one.remove();
};

// The child before which those stand that are new: as many stand behind it as behind them.
const behind = (old, fresh, theirs) => {
  const rest = fresh.childNodes.length - 1 - [...fresh.childNodes].indexOf(theirs.at(-1));
  return rest ? old.childNodes[old.childNodes.length - rest] : null;
};

const put = (part, fresh) => {
  const focus = [...part.querySelectorAll(FOCUSED)].indexOf(document.activeElement);
  named(part, fresh);
  within(part, fresh);
  if (focus >= 0 && !part.contains(document.activeElement))
    part.querySelectorAll(FOCUSED)[focus]?.focus({ preventScroll: true });
  part.dispatchEvent(new Event("renewed", { bubbles: true }));
};

const renew = async (address, numbers) => {
  const response = await fetch(address, { headers: { accept: "text/html", "x-live": "1" } });
  if (!response.ok || response.redirected) return;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  clocks(page); // as they stand here already
  const fresh = page.querySelectorAll("[data-live]");
  for (const number of numbers) {
    const part = parts()[number];
    if (fresh[number] && !isBegun(part)) put(part, fresh[number]);
  }
};

const stale = () => {
  const found = new Map();
  parts().forEach((part, number) => {
    if (part.dataset.state === wanted || isBegun(part)) return;
    found.set(part.dataset.live, [...(found.get(part.dataset.live) ?? []), number]);
  });
  return found;
};

const REST = 700; // milliseconds between two looks: an import changes something all the time
let wanted = "";
let turn = null;
let last = 0;
let took = 0; // milliseconds: what is slow to make, such as a long queue, is asked for less often

const look = async () => {
  turn = null;
  last = Date.now();
  for (const [address, numbers] of stale()) await renew(address, numbers).catch(() => {});
  took = Date.now() - last;
  if (parts().some((part) => part.dataset.state !== wanted && isBegun(part))) turn ??= setTimeout(look, 1000);
};

if (parts().length)
  listen(parts()[0].dataset.news, {
    changed: (state) => {
      wanted = state;
      const rest = Math.max(REST, 4 * took);
      turn ??= setTimeout(look, Math.max(50, last + rest - Date.now())); // several changes at once are one look
    },
  });

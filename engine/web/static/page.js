// What every page does: asks before something is done for good, closes notices, lets tables be narrowed as one types,
// and brings the present page into sight where the navigation scrolls.

import { clocks } from "./clocks.js";

const asks = (form) => form.dataset.ask;

document.addEventListener("submit", (event) => {
  const asked = event.submitter?.dataset.ask ?? asks(event.target);
  if (asked && !window.confirm(asked)) event.preventDefault();
});

const narrow = (field) => {
  const wanted = field.value.trim().toLowerCase();
  for (const row of document.querySelectorAll(`${field.dataset.narrows} tbody tr`))
    row.hidden = !row.textContent.toLowerCase().includes(wanted);
};

document.addEventListener("input", ({ target }) => target.dataset.narrows && narrow(target));
document.addEventListener("renewed", () => document.querySelectorAll("[data-narrows]").forEach(narrow));

// What is pressed may have come into the page later.
document.addEventListener("click", async ({ target }) => {
  const button = target.closest("button[data-copies]");
  if (!button) return;
  await navigator.clipboard.writeText(document.querySelector(button.dataset.copies).textContent.trim());
  button.textContent = button.dataset.copied;
});

clocks(document);

const here = document.querySelector(".side [aria-current]");
if (here) {
  const side = here.closest(".side");
  side.scrollLeft = here.offsetLeft - (side.clientWidth - here.offsetWidth) / 2;
  side.scrollTop = here.offsetTop - (side.clientHeight - here.offsetHeight) / 2;
}

// What every page does: asks before something is done for good, closes notices, lets tables be narrowed as one types,
// and brings the present page into sight where the navigation scrolls.

const asks = (form) => form.dataset.ask;

document.addEventListener("submit", (event) => {
  const asked = event.submitter?.dataset.ask ?? asks(event.target);
  if (asked && !window.confirm(asked)) event.preventDefault();
});

document.addEventListener("input", ({ target }) => {
  if (!target.dataset.narrows) return;
  const wanted = target.value.trim().toLowerCase();
  for (const row of document.querySelectorAll(`${target.dataset.narrows} tbody tr`))
    row.hidden = !row.textContent.toLowerCase().includes(wanted);
});

for (const button of document.querySelectorAll("button[data-copies]")) {
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.querySelector(button.dataset.copies).textContent.trim());
    button.textContent = button.dataset.copied;
  });
}

const here = document.querySelector(".side [aria-current]");
if (here) {
  const side = here.closest(".side");
  side.scrollLeft = here.offsetLeft - (side.clientWidth - here.offsetWidth) / 2;
  side.scrollTop = here.offsetTop - (side.clientHeight - here.offsetHeight) / 2;
}

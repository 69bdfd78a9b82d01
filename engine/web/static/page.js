// What every page does: asks before something is done for good, closes notices, and lets tables be narrowed as one types.

const asks = (form) => form.dataset.ask;

document.addEventListener("submit", (event) => {
  const asked = event.submitter?.dataset.ask ?? asks(event.target);
  if (asked && !window.confirm(asked)) event.preventDefault();
});

for (const input of document.querySelectorAll("input[data-narrows]")) {
  const rows = [...document.querySelectorAll(`${input.dataset.narrows} tbody tr`)];
  input.addEventListener("input", () => {
    const wanted = input.value.trim().toLowerCase();
    for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
  });
}

for (const button of document.querySelectorAll("button[data-copies]")) {
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.querySelector(button.dataset.copies).textContent.trim());
    button.textContent = button.dataset.copied;
  });
}

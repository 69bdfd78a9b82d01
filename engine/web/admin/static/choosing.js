// All boxes of a list at once: of those that are shown, or none of them.

const boxes = (button) => [...button.form.querySelectorAll(`input[name="${button.dataset.chooses}"][type=checkbox]`)];

const show = () => {
  for (const button of document.querySelectorAll("button[data-chooses]")) button.hidden = boxes(button).length < 2;
};

document.addEventListener("click", ({ target }) => {
  const button = target.closest("button[data-chooses]");
  if (!button) return;
  const found = boxes(button);
  const all = found.every((box) => box.checked);
  for (const box of found) box.checked = !all;
});

document.addEventListener("renewed", show); // others have put something on the list, or taken it off
show();

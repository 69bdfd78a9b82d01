// All boxes of a list at once: of those that are shown, or none of them.

for (const button of document.querySelectorAll("button[data-chooses]")) {
  const boxes = [...button.form.querySelectorAll(`input[name="${button.dataset.chooses}"][type=checkbox]`)];
  button.hidden = boxes.length < 2;
  button.addEventListener("click", () => {
    const all = boxes.every((box) => box.checked);
    for (const box of boxes) box.checked = !all;
  });
}

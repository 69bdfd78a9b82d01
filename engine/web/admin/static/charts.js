// Reads values off charts: by the pointer, a finger or the keys. The values are those of the table below each.

const SVG = "http://www.w3.org/2000/svg";

const equip = (figure) => {
  const field = figure.querySelector(".field");
  const reader = figure.querySelector(".reader");
  const rows = [...figure.querySelectorAll("tbody tr")];
  const places = [...figure.querySelectorAll("[data-value]")];
  const moment = figure.querySelector("[data-moment]");
  if (!rows.length || figure.querySelector(".is-empty")) return;
  const sums = places.map((place) => place.textContent);
  const names = places.map((place) => place.previousElementSibling.textContent);
  const cursor = document.createElementNS(SVG, "line");
  cursor.setAttribute("class", "cursor");
  cursor.setAttribute("y1", "0");
  cursor.setAttribute("y2", "100%");
  reader.hidden = false;

  const show = (index) => {
    const cells = [...rows[index].cells].map((cell) => cell.textContent);
    moment.textContent = cells[0];
    places.forEach((place, number) => (place.textContent = cells[number + 1]));
    reader.value = index;
    reader.setAttribute("aria-valuetext", [cells[0], ...names.map((name, number) => `${name}: ${cells[number + 1]}`)].join("; "));
    const x = `${((index + 0.5) / rows.length) * 100}%`;
    cursor.setAttribute("x1", x);
    cursor.setAttribute("x2", x);
    if (!cursor.isConnected) field.append(cursor);
  };
  const leave = () => {
    if (document.activeElement === reader) return;
    cursor.remove();
    moment.textContent = "";
    places.forEach((place, number) => (place.textContent = sums[number]));
  };

  field.addEventListener("pointermove", (event) => {
    const box = field.getBoundingClientRect();
    const index = Math.floor(((event.clientX - box.left) / box.width) * rows.length);
    show(Math.min(Math.max(index, 0), rows.length - 1));
  });
  field.addEventListener("pointerleave", leave);
  reader.addEventListener("input", () => show(Number(reader.value)));
  reader.addEventListener("focus", () => show(Number(reader.value)));
  reader.addEventListener("blur", leave);
};

document.querySelectorAll(".figure").forEach(equip);

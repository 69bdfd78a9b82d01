// Completing addresses as they are typed: a list below the field, by the arrow keys or the mouse (ARIA combobox).

let count = 0;

export const completing = (input) => {
  const list = document.createElement("ul");
  list.id = `people-${++count}`;
  list.className = "people-list";
  list.setAttribute("role", "listbox");
  list.hidden = true;
  input.closest("label").append(list);
  for (const [name, value] of Object.entries({ role: "combobox", "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": list.id }))
    input.setAttribute(name, value);

  const typed = () => input.value.slice(input.value.lastIndexOf(",") + 1).trim();
  const close = () => {
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  };
  const options = () => [...list.children];
  const chosen = () => options().findIndex((option) => option.getAttribute("aria-selected") === "true");
  const choose = (at) => {
    options().forEach((option, place) => option.setAttribute("aria-selected", String(place === at)));
    input.setAttribute("aria-activedescendant", options()[at].id);
  };
  const take = (option) => {
    const before = input.value.slice(0, input.value.lastIndexOf(",") + 1);
    input.value = `${before}${before ? " " : ""}${option.dataset.text}, `;
    input.dispatchEvent(new Event("input", { bubbles: true }));
    close();
  };
  const show = (people) => {
    list.replaceChildren(
      ...people.map((person, place) => {
        const option = document.createElement("li");
        option.id = `${list.id}-${place}`;
        option.setAttribute("role", "option");
        option.dataset.text = person.text;
        option.dataset.kind = person.kind;
        option.append(person.label);
        option.addEventListener("mousedown", (event) => {
          event.preventDefault();
          take(option);
        });
        return option;
      }),
    );
    list.hidden = !people.length;
    input.setAttribute("aria-expanded", String(people.length > 0));
    if (people.length) choose(0);
  };

  let last = "";
  input.addEventListener("input", async () => {
    const text = (last = typed());
    if (text.length < 2) return close();
    const response = await fetch(`/mail/people?q=${encodeURIComponent(text)}`, { headers: { accept: "application/json" } });
    if (response.ok && text === last && document.activeElement === input) show(await response.json());
  });
  input.addEventListener("keydown", (event) => {
    if (list.hidden) return;
    const some = options();
    if (event.key === "ArrowDown") choose((chosen() + 1) % some.length);
    else if (event.key === "ArrowUp") choose((chosen() + some.length - 1) % some.length);
    else if (event.key === "Enter" || event.key === "Tab") take(some[chosen()]);
    else if (event.key === "Escape") close();
    else return;
    event.preventDefault();
  });
  input.addEventListener("blur", close);
};

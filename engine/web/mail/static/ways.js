// Whether servers will encrypt what goes to them: asked for whole addresses, a while after one has stopped typing.

const known = new Map();
const PAUSE = 600;

const domains = (form) =>
  [...new Set(["to", "cc", "bcc"].flatMap((name) => [...form.elements[name].value.matchAll(/@([^\s@,;<>"]+\.[^\s@,;<>".]{2,})/g)]).map((found) => found[1].toLowerCase()))];

const shown = (one) => {
  const item = document.createElement("li");
  const name = document.createElement("span");
  name.className = `badge ${one.look}`;
  name.textContent = one.domain;
  item.dataset.state = one.state;
  item.append(name, ` ${one.text}`);
  return item;
};

export const watching = (form, list) => {
  let clock = 0;
  let last = "";
  const show = () => {
    const some = domains(form).filter((domain) => known.has(domain)).slice(0, 20);
    if (some.join() === last) return;
    last = some.join();
    list.replaceChildren(...some.map((domain) => shown(known.get(domain))));
  };
  const look = async () => {
    const wanted = domains(form).filter((domain) => !known.has(domain)).slice(0, 20);
    if (wanted.length) {
      const query = new URLSearchParams(wanted.map((domain) => ["domain", domain]));
      const response = await fetch(`/mail/ways?${query}`, { headers: { accept: "application/json" } });
      if (response.ok) for (const one of await response.json()) known.set(one.domain, one);
    }
    show();
  };
  const later = () => {
    show();
    clearTimeout(clock);
    clock = setTimeout(() => look().catch(() => {}), PAUSE);
  };
  form.addEventListener("input", (event) => ["to", "cc", "bcc"].includes(event.target.name) && later());
  later();
};

// The window: lists, the reader, what the keyboard does, and news of what others change.

import { ask } from "../base/asking.js";
import { clocks as written } from "../base/clocks.js";
import { listen } from "../base/events.js";

const panes = document.getElementById("mail");
const lines = document.getElementById("lines");
const reader = document.getElementById("reader");
const search = document.querySelector("#search input");
const notice = document.getElementById("notice");
const texts = document.getElementById("texts").dataset;
const undos = [];
let clock = 0;

const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const fragment = async (address) => {
  const response = await fetch(address, { headers: { accept: "text/html" } });
  if (response.status === 401 || response.redirected) return location.reload();
  if (!response.ok) throw new Error(texts.failed);
  return response.text();
};
const put = (element, html) => {
  const parsed = new DOMParser().parseFromString(html, "text/html");
  element.replaceChildren(...parsed.body.childNodes);
  clocks(element);
};

// Times as the reader's own clock has them: of today the hour, of this year the day.

const forms = [{ hour: "numeric", minute: "2-digit" }, { day: "numeric", month: "short" }, { day: "numeric", month: "numeric", year: "2-digit" }]
  .map((form) => new Intl.DateTimeFormat(document.documentElement.lang, form));
const counted = (text, count) => text.replace("{count}", new Intl.NumberFormat(document.documentElement.lang).format(count));
const clocks = (root) => {
  written(root);
  const now = new Date();
  for (const time of all("time[data-time]:not([data-form])", root)) {
    const then = new Date(time.dataset.time * 1000);
    const form = then.toDateString() === now.toDateString() ? 0 : then.getFullYear() === now.getFullYear() ? 1 : 2;
    time.title = then.toLocaleString(document.documentElement.lang);
    time.dateTime = then.toISOString();
    time.textContent = forms[form].format(then);
  }
};

// What is told

const tell = (text, undoable = false) => {
  notice.firstElementChild.textContent = text;
  document.getElementById("undo").hidden = !undoable;
  notice.hidden = false;
  clearTimeout(clock);
  clock = setTimeout(() => (notice.hidden = true), 8000);
};
const trying = async (work) => {
  try {
    return await work();
  } catch (error) {
    tell(error.message || texts.failed);
    return undefined;
  }
};

// The list

const query = (more = {}) => {
  const found = new URLSearchParams({ view: panes.dataset.view, ...more });
  if (search.value.trim()) found.set("q", search.value.trim());
  return found;
};
const current = () => lines.querySelector(".line.current");
const rows = () => all(".line", lines);
const picked = () => all(".line", lines).filter((line) => line.querySelector(".pick").checked);
const key = (line) => line.id;

const mark = (line, { focus = true } = {}) => {
  current()?.classList.remove("current");
  if (!line) return;
  line.classList.add("current");
  lines.setAttribute("aria-activedescendant", line.id);
  line.scrollIntoView({ block: "nearest" });
  if (focus) lines.focus({ preventScroll: true });
};
const select = (line, on) => {
  line.querySelector(".pick").checked = on;
  line.setAttribute("aria-selected", String(on));
};
const unique = () => {
  // A conversation that goes on further down stands where its newest message is.
  const known = new Set();
  if (panes.dataset.view !== "threads" || search.value.trim()) return;
  for (const line of rows()) {
    if (known.has(line.dataset.thread)) line.remove();
    known.add(line.dataset.thread);
  }
};

const show = async (box = panes.dataset.box) => {
  panes.dataset.box = box;
  document.getElementById("pick-all").checked = false;
  put(lines, await fragment(`/mail/list/${box}?${query()}`));
  chooseWhole();
  lines.scrollTop = 0;
  await folders();
};
const folders = async () => put(document.getElementById("folders"), await fragment(`/mail/folders?box=${panes.dataset.box}`));

const more = async (item) => {
  if (item.dataset.busy) return;
  item.dataset.busy = "1";
  const html = await fragment(`/mail/list/${panes.dataset.box}?${query({ before: item.dataset.before })}`);
  const parsed = new DOMParser().parseFromString(html, "text/html");
  item.replaceWith(...parsed.body.childNodes);
  clocks(lines);
  unique();
};

const refresh = async () => {
  // What is shown is asked for again, as far down as it goes, and what people have chosen by then stays chosen.
  const last = search.value.trim() ? 0 : Math.min(...rows().flatMap((line) => line.dataset.uids.split(",").map(Number)));
  const down = Number.isFinite(last) && rows().length > 50 ? { down: last } : {};
  const box = panes.dataset.box;
  const html = await fragment(`/mail/list/${box}?${query(down)}`);
  if (panes.dataset.box !== box) return; // somebody looks at another one now
  const chosen = new Set(picked().map(key));
  const at = current()?.id;
  const scroll = lines.scrollTop;
  put(lines, html);
  unique();
  for (const line of rows()) {
    if (chosen.has(line.id)) select(line, true);
    if (line.id === at) mark(line, { focus: false });
  }
  document.getElementById("pick-all").checked = rows().length > 0 && picked().length === rows().length;
  lines.scrollTop = scroll;
  await folders();
};

// The reader

const open = async (line, extra = "") => {
  mark(line, { focus: false });
  if (line.dataset.draft) {
    location.assign(`/mail/write?draft=${line.dataset.box}/${line.dataset.uid}`);
    return;
  }
  await read(`${line.dataset.box}/${line.dataset.uid}`, extra);
  if (line.classList.contains("unseen")) await act("seen", [line], { quiet: true });
};
const read = async (at, extra = "") => {
  put(reader, await fragment(`/mail/message/${at}?${extra}`));
  panes.classList.add("reading");
  reader.scrollTop = 0;
  const box = document.getElementById("mail").dataset.box;
  history.replaceState(null, "", `/mail/?box=${box}#${at}`);
};
const back = () => {
  panes.classList.remove("reading");
  history.replaceState(null, "", `/mail/?box=${panes.dataset.box}`);
  lines.focus();
};

// What is done with messages

const items = (some) => {
  const found = {};
  for (const line of some) (found[line.dataset.box] ??= []).push(...line.dataset.uids.split(",").map(Number));
  return found;
};
let doing = Promise.resolve(); // what is not done yet: to undo waits for it
const act = (kind, some, how = {}) => {
  const work = trying(() => acted(kind, some, how));
  doing = Promise.all([doing, work]);
  return work;
};
const acted = async (kind, some, { to = "", label = "", quiet = false }) => {
  if (!some.length) return;
  const inTrash = ["\\Trash"].includes(panes.dataset.use) && kind === "trash";
  if (inTrash && !window.confirm(texts.expunge)) return;
  const next = some.at(-1).nextElementSibling?.id;
  const deed = inTrash ? "expunge" : kind;
  const told = await ask("/mail/act", [{ act: deed, items: items(some), to, label }]);
  if (!quiet || told.trouble) {
    if (told.undo.length) undos.push(() => undone(told.undo));
    tell([counted(texts[`done${deed[0].toUpperCase()}${deed.slice(1)}`], told.done), told.trouble].filter(Boolean).join(" – "), told.undo.length > 0);
  }
  if (whole) {
    document.getElementById("pick-all").checked = false;
    for (const line of rows()) select(line, false);
    chooseWhole();
  }
  await refresh();
  const leaves = !["seen", "unseen", "flag", "unflag", "label", "unlabel"].includes(kind);
  if (leaves && next) mark(document.getElementById(next), { focus: false });
  if (leaves) reader.querySelector(".message") && put(reader, "");
};
const undone = async (acts) => {
  await ask("/mail/act", acts);
  tell(texts.undone);
  await refresh();
};
const undo = () =>
  trying(async () => {
    await doing;
    await undos.pop()?.();
  });
const labelled = (label) => {
  // What all of them have is taken from them; else all get it.
  const some = concerned();
  const all = some.every((line) => line.dataset.labels.split(" ").includes(label.toLowerCase()));
  act(all ? "unlabel" : "label", some, { label });
};
const junk = () => act(panes.dataset.use === "\\Junk" ? "inbox" : "junk", concerned());
let whole = null; // all of the mailbox, as one line that is not shown
const everything = document.getElementById("everything");
const shownSelected = everything.firstElementChild.textContent;
const chooseWhole = (line = null) => {
  whole = line;
  everything.firstElementChild.textContent = line ? counted(texts.chosen, line.dataset.uids.split(",").length) : shownSelected;
  everything.lastElementChild.hidden = Boolean(line);
  everything.hidden = !line && !(document.getElementById("pick-all").checked && lines.querySelector(".more") && !search.value.trim());
};
everything.lastElementChild.addEventListener("click", () =>
  trying(async () => {
    const box = panes.dataset.box;
    const { uids } = await (await fetch(`/mail/everything/${box}`, { headers: { accept: "application/json" } })).json();
    if (uids.length) chooseWhole({ dataset: { box, uids: uids.join(","), labels: "" }, nextElementSibling: null });
  }),
);
const concerned = () => (whole ? [whole] : picked().length ? picked() : current() ? [current()] : []);

// The mouse

lines.addEventListener("click", (event) => {
  const line = event.target.closest(".line");
  const item = event.target.closest(".more");
  if (item) return void trying(() => more(item));
  if (!line) return;
  if (event.target.matches(".pick")) {
    if (event.shiftKey && current()) {
      const some = rows();
      const [from, until] = [some.indexOf(current()), some.indexOf(line)].sort((one, other) => one - other);
      for (const each of some.slice(from, until + 1)) select(each, event.target.checked);
    }
    select(line, event.target.checked);
    mark(line, { focus: false });
    chooseWhole();
    return;
  }
  const star = event.target.closest(".star");
  if (star) return void act(star.dataset.act, [line], { quiet: true });
  trying(() => open(line));
});
document.addEventListener("click", (event) => {
  for (const list of all("details.others[open]")) if (!list.contains(event.target)) list.open = false;
});
lines.addEventListener("scroll", () => {
  const item = lines.querySelector(".more");
  if (item && item.getBoundingClientRect().top < lines.getBoundingClientRect().bottom + 400) trying(() => more(item));
});
document.getElementById("folders").addEventListener("click", (event) => {
  const link = event.target.closest("a[data-box]");
  if (!link || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  search.value = "";
  panes.dataset.use = link.dataset.use;
  for (const button of all(".list .tools [data-in]")) button.hidden = (button.dataset.in === "junk") !== (link.dataset.use === "\\Junk");
  panes.classList.remove("reading");
  put(reader, "");
  history.pushState(null, "", `/mail/?box=${link.dataset.box}`);
  trying(() => show(link.dataset.box));
});
document.querySelector(".list .tools").addEventListener("click", (event) => {
  const button = event.target.closest("button[data-act]");
  if (button) act(button.dataset.act, concerned());
  const label = event.target.closest("button[data-label]");
  if (!label) return;
  label.closest("details").open = false;
  labelled(label.dataset.label);
});
document.getElementById("pick-all").addEventListener("change", (event) => {
  for (const line of rows()) select(line, event.target.checked);
  chooseWhole();
});
document.getElementById("move").addEventListener("change", (event) => {
  if (event.target.value) act("move", concerned(), { to: event.target.value });
  event.target.value = "";
  lines.focus({ preventScroll: true }); // so that the keys mean the list again
});
document.getElementById("view").addEventListener("click", (event) => {
  panes.dataset.view = panes.dataset.view === "threads" ? "plain" : "threads";
  event.target.setAttribute("aria-pressed", String(panes.dataset.view === "threads"));
  trying(() => show());
});
document.getElementById("search").addEventListener("submit", (event) => {
  event.preventDefault();
  trying(() => show());
});
search.addEventListener("search", () => search.value || trying(() => show()));
document.getElementById("undo").addEventListener("click", undo);
document.getElementById("new-folder").addEventListener("submit", (event) => {
  event.preventDefault();
  trying(async () => {
    await ask("/mail/boxes", { name: event.target.elements.name.value });
    event.target.reset();
    tell(texts.folder);
    await folders();
  });
});
reader.addEventListener("click", (event) => {
  if (event.target.closest("[data-back]")) return back();
  const said = event.target.closest("[data-answer]");
  if (said) {
    const { box, uid } = reader.querySelector(".message").dataset;
    const { section } = said.closest(".invitation").dataset;
    return void trying(async () => {
      await ask("/mail/answer", { message: `${box}/${uid}`, section, how: said.dataset.answer, text: said.textContent });
      said.closest(".actions").remove();
      tell(texts.sent);
    });
  }
  const leave = event.target.closest("[data-leave]");
  if (leave) {
    const { box, uid } = reader.querySelector(".message").dataset;
    if (!window.confirm(leave.dataset.leave)) return;
    return void trying(async () => {
      await ask(`/mail/leave/${box}/${uid}`, {});
      tell(leave.dataset.left);
      leave.remove();
    });
  }
  const kind = event.target.closest("[data-act]")?.dataset.act;
  if (kind) {
    const { box, uid } = reader.querySelector(".message").dataset;
    const line = document.getElementById(`m-${box}-${uid}`) ?? { dataset: { box, uids: uid }, nextElementSibling: null };
    panes.classList.remove("reading");
    return void act(kind, [line]);
  }
  const button = event.target.closest("[data-show]");
  if (!button) return;
  const message = reader.querySelector(".message").dataset;
  trying(() => read(`${message.box}/${message.uid}`, button.dataset.show));
});

// The keyboard

const step = (by) => {
  const some = rows();
  const at = some.indexOf(current());
  const line = some[Math.max(0, Math.min(some.length - 1, at < 0 ? 0 : at + by))];
  mark(line);
  if (panes.classList.contains("reading") && line) trying(() => open(line));
};
const write = (kind) => reader.querySelector(`[data-write="${kind}"]`)?.click();
const keys = {
  j: () => step(1),
  k: () => step(-1),
  ArrowDown: () => step(1),
  ArrowUp: () => step(-1),
  Enter: () => current() && trying(() => open(current())),
  o: () => current() && trying(() => open(current())),
  u: back,
  Escape: back,
  x: () => current() && select(current(), !current().querySelector(".pick").checked),
  s: () => current() && act(current().classList.contains("flagged") ? "unflag" : "flag", concerned(), { quiet: true }),
  e: () => act("archive", concerned()),
  "#": () => act("trash", concerned()),
  Delete: () => act("trash", concerned()),
  "!": junk,
  l: () => {
    const list = document.getElementById("labelling");
    list.open = true;
    list.querySelector("button, a").focus();
  },
  I: () => act("seen", concerned()),
  U: () => act("unseen", concerned()),
  z: undo,
  c: () => document.querySelector('.side [data-write="new"]').click(),
  r: () => write("reply"),
  a: () => write("all"),
  f: () => write("forward"),
  "/": () => search.focus(),
  "?": () => document.getElementById("keys").showModal(),
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.key === "Escape" && event.target.closest("details[open]")) {
    const list = event.target.closest("details");
    list.open = false;
    return list.querySelector("summary").focus();
  }
  const writing = event.target.closest("input:not(.pick), textarea, select, [contenteditable]");
  if (writing) {
    if (event.key === "Escape") lines.focus();
    return;
  }
  if (["Enter", " "].includes(event.key) && event.target.closest("a, button, summary")) return;
  const work = keys[event.key];
  if (!work) return;
  event.preventDefault();
  work();
});

// What is about to be sent: this page waits for it, so that whoever has changed his mind can say so here.

const sending = () => {
  const kept = sessionStorage.getItem("sending");
  if (!kept) return;
  sessionStorage.removeItem("sending");
  const order = JSON.parse(kept);
  const takeBack = async () => {
    const told = await ask("/mail/unsend", { token: order.token });
    if (told.undone) location.assign(`/mail/write?draft=${order.draft}`);
  };
  undos.push(takeBack);
  tell(texts.sending, true);
  clearTimeout(clock);
  trying(async () => {
    try {
      const told = await ask("/mail/send", order);
      if (told.sent) tell(told.refused.map((one) => `${one.to}: ${one.text}`).join("; ") || texts.sent);
    } finally {
      if (undos.includes(takeBack)) undos.splice(undos.indexOf(takeBack), 1);
    }
  });
};

// News, and the way back

// Much may come at once: the page asks again a moment later, and once for all that has come meanwhile.

let due = 0;
let missed = null;
const catchUp = async () => {
  const work = missed;
  missed = null;
  await trying(work);
  due = missed ? setTimeout(catchUp, 100) : 0;
};
listen("/mail/news", {
  changed: (boxes) => {
    const here = search.value.trim() || !boxes.length || boxes.includes(panes.dataset.box);
    missed = here ? refresh : (missed ?? folders);
    due ||= setTimeout(catchUp, 100);
  },
});
window.addEventListener("popstate", () => location.reload());
clocks(lines);
sending();
if (location.hash.length > 1) trying(() => read(location.hash.slice(1)));

// Writing: a small editor, files that are dropped or pasted, drafts that are kept as one writes, and sending.

import { ask, csrf } from "../base/asking.js";
import { completing } from "./people.js";
import { watching } from "./ways.js";

const form = document.getElementById("write");
const sheet = document.getElementById("sheet");
const plain = document.getElementById("text");
const list = document.getElementById("attached");
const state = document.getElementById("state");
const begun = document.getElementById("begun").dataset;
const attached = JSON.parse(begun.attached);
let isPlain = form.dataset.plain === "1";
let changed = false;
let keeping = null;
let clock = 0;

const say = (text) => (state.textContent = text);
const trying = async (work) => {
  try {
    return await work();
  } catch (error) {
    say(error.message || begun.failed);
    return undefined;
  }
};

// What it begins with. Text is put in as text: nothing of a letter becomes HTML here but what the server has cleaned.

const block = (name, text) => {
  const element = document.createElement(name);
  for (const line of text.split("\n")) element.append(line, document.createElement("br"));
  return element;
};
const quote = () => begun.quote.trimEnd().split("\n").map((line) => `>${line.startsWith(">") ? "" : " "}${line}`).join("\n");
const signatures = JSON.parse(begun.signatures);
const signatureOf = (sender) => {
  const text = signatures[sender] ?? begun.signature;
  return text ? `-- \n${text}` : "";
};
let signed = "";
let behind = ""; // what is quoted
const start = () => {
  const signature = (signed = signatureOf(form.elements.sender.value));
  const head = begun.forwarded ? `---------- ${begun.intro} ----------\n${begun.forwarded}\n` : begun.intro;
  if (form.dataset.draft) {
    plain.value = begun.text;
    const parsed = new DOMParser().parseFromString(begun.html, "text/html");
    sheet.replaceChildren(...parsed.body.childNodes);
    return;
  }
  behind = begun.quote ? `${head}\n${begun.forwarded ? begun.quote : quote()}\n` : "";
  plain.value = `\n\n${signature ? `${signature}\n\n` : ""}${behind}`;
  sheet.append(block("div", ""), block("div", ""));
  const place = block("div", signature);
  place.className = "signature";
  sheet.append(place);
  if (begun.quote) sheet.append(block("div", head), block("blockquote", begun.quote.trimEnd()));
};

// Who writes in another name signs in it, unless the signature was changed by hand.
const sign = () => {
  const wanted = signatureOf(form.elements.sender.value);
  const place = sheet.querySelector(".signature");
  if (wanted === signed) return;
  if (place && place.textContent === signed.replaceAll("\n", "")) place.replaceChildren(...block("div", wanted).childNodes);
  const end = plain.value.length - behind.length;
  const own = plain.value.slice(0, end);
  if (signed && own.includes(signed)) plain.value = own.replace(signed, () => wanted) + behind;
  else if (!signed) plain.value = `${own}${wanted}\n\n${behind}`;
  signed = wanted;
};
form.elements.sender.addEventListener("change", sign);

// The editor

const place = (event) => {
  const range = document.caretRangeFromPoint?.(event.clientX, event.clientY);
  if (!range) return;
  const selection = getSelection();
  selection.removeAllRanges();
  selection.addRange(range);
};
document.querySelector(".format").addEventListener("click", (event) => {
  const button = event.target.closest("[data-format]");
  if (!button || isPlain) return;
  let value = button.dataset.value ?? null;
  if (button.dataset.format === "createLink") {
    value = window.prompt(begun.link, "https://");
    if (!value || !/^(https?:|mailto:)/i.test(value)) return;
  }
  sheet.focus();
  document.execCommand(button.dataset.format, false, value);
  touch();
});
document.getElementById("plain").addEventListener("click", (event) => {
  if (!isPlain) plain.value = sheet.innerText;
  else sheet.replaceChildren(block("div", plain.value));
  isPlain = !isPlain;
  sheet.hidden = isPlain;
  plain.hidden = !isPlain;
  event.target.setAttribute("aria-pressed", String(isPlain));
  touch();
});
sheet.addEventListener("paste", (event) => {
  const files = [...event.clipboardData.files];
  if (files.length) {
    event.preventDefault();
    trying(() => take(files, true));
    return;
  }
  // What is pasted comes in as text: no style or script of another page.
  event.preventDefault();
  document.execCommand("insertText", false, event.clipboardData.getData("text/plain"));
});
plain.addEventListener("paste", (event) => {
  if (event.clipboardData.files.length) trying(() => take([...event.clipboardData.files], false));
});

// Files

const show = () => {
  list.replaceChildren(
    ...attached.map((file) => {
      const item = document.createElement("li");
      const button = document.createElement("button");
      button.type = "button";
      button.className = "quiet";
      button.textContent = "✕";
      button.setAttribute("aria-label", `${begun.remove} ${file.name}`);
      button.addEventListener("click", () => {
        attached.splice(attached.indexOf(file), 1);
        show();
        touch();
      });
      item.append(file.name, button);
      return item;
    }),
  );
};
const take = async (files, inText) => {
  for (const file of files) {
    say(`${file.name} …`);
    const response = await fetch("/mail/upload", { method: "POST", headers: { "x-csrf-token": csrf(), accept: "application/json" }, body: file });
    const told = await response.json();
    if (!response.ok) throw new Error(told.detail);
    attached.push({ name: file.name || "picture.png", media: file.type, upload: told.upload });
    if (inText && !isPlain && /^image\/(png|jpeg|gif|webp)$/.test(file.type)) {
      const picture = document.createElement("img");
      picture.src = `/mail/uploaded/${told.upload}`;
      picture.alt = file.name;
      sheet.focus();
      document.execCommand("insertHTML", false, picture.outerHTML);
    }
    say("");
  }
  show();
  touch();
};
document.getElementById("files").addEventListener("change", (event) => {
  const files = [...event.target.files];
  event.target.value = "";
  trying(() => take(files, false));
});
for (const name of ["dragenter", "dragover"])
  form.addEventListener(name, (event) => {
    if (![...event.dataTransfer.types].includes("Files")) return;
    event.preventDefault();
    sheet.classList.add("over");
  });
for (const name of ["dragleave", "drop"]) form.addEventListener(name, () => sheet.classList.remove("over"));
form.addEventListener("drop", (event) => {
  const files = [...event.dataTransfer.files];
  if (!files.length) return;
  event.preventDefault();
  const inText = sheet.contains(event.target);
  if (inText) place(event);
  trying(() => take(files, inText));
});

// Drafts

const letter = () => {
  const fields = Object.fromEntries(["sender", "to", "cc", "bcc", "subject"].map((name) => [name, form.elements[name].value]));
  return {
    ...fields,
    html: isPlain ? "" : sheet.innerHTML,
    text: isPlain ? plain.value : "",
    attached: attached.map(({ name, media = "", upload = "", message = "", section = "" }) => ({ name, media, upload, message, section })),
    in_reply_to: form.dataset.inReplyTo,
    references: form.dataset.references,
    draft: form.dataset.draft,
  };
};
const keep = async () => {
  // One after the other: each takes the place of the one before.
  while (keeping) await keeping;
  changed = false;
  keeping = ask("/mail/draft", letter());
  try {
    form.dataset.draft = (await keeping).draft;
    say(begun.kept);
  } finally {
    keeping = null;
  }
  return form.dataset.draft;
};
const touch = () => {
  changed = true;
  clearTimeout(clock);
  clock = setTimeout(() => trying(keep), 3000);
};
form.addEventListener("input", touch);
window.addEventListener("beforeunload", (event) => changed && event.preventDefault());
document.getElementById("keep").addEventListener("click", () => trying(keep));
document.getElementById("discard").addEventListener("click", () =>
  trying(async () => {
    if (!window.confirm(begun.discard)) return;
    clearTimeout(clock);
    if (keeping) await keeping;
    if (form.dataset.draft) await ask(`/mail/draft?draft=${encodeURIComponent(form.dataset.draft)}`, undefined, "DELETE");
    changed = false;
    location.assign("/mail/");
  }),
);

// Sending

const forgotten = () => {
  const own = (isPlain ? plain.value : sheet.innerText).split("\n").filter((line) => !line.startsWith(">")).join("\n").toLowerCase();
  const text = begun.quote ? own.split(begun.intro.toLowerCase())[0] : own;
  return !attached.length && begun.words.split(",").some((word) => text.includes(word.trim()));
};
form.addEventListener("submit", (event) => {
  event.preventDefault();
  trying(async () => {
    if (!["to", "cc", "bcc"].some((name) => form.elements[name].value.trim())) return void say(begun.nobody);
    if (forgotten() && !window.confirm(begun.forgotten)) return;
    clearTimeout(clock);
    say(begun.sending);
    const draft = await keep();
    const at = document.getElementById("at").value;
    const order = { draft, token: crypto.randomUUID?.() ?? String(Math.random()), answers: form.dataset.answers, forwards: form.dataset.forwards, at: at ? new Date(at).getTime() / 1000 : 0 };
    sessionStorage.setItem("sending", JSON.stringify(order));
    changed = false;
    location.assign("/mail/");
  });
});

for (const input of form.querySelectorAll("[data-people]")) completing(input);
start();
show();
watching(form, document.getElementById("ways"));
form.querySelector("[data-waits]")?.removeAttribute("disabled"); // a form that nobody listens to would lose the letter
(form.elements.to.value ? (isPlain ? plain : sheet) : form.elements.to).focus();
if (isPlain) plain.setSelectionRange(0, 0);

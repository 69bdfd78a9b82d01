// Trying an edit on mail: one request, whose answer tells how far it is and then what came of it.

import { csrf } from "../base/asking.js";

const form = document.getElementById("trial");
const progress = document.getElementById("progress");
const tried = document.getElementById("tried");
const number = new Intl.NumberFormat(document.documentElement.lang);

const takes = {
  progress: ([done, total]) => {
    const text = total ? progress.dataset.text : progress.dataset.some;
    progress.textContent = text.replace("{done}", number.format(done)).replace("{total}", number.format(total));
  },
  result: (html) => {
    const part = new DOMParser().parseFromString(html, "text/html").body.children;
    tried.replaceChildren(...[...part].map((node) => document.importNode(node, true)));
    progress.textContent = "";
  },
  refused: (why) => (progress.textContent = why),
};

const hear = (block) => {
  const fields = Object.fromEntries(block.split("\n").map((line) => line.split(/: (.*)/s).slice(0, 2)));
  if (fields.event) takes[fields.event]?.(JSON.parse(fields.data));
};

const read = async (response) => {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    const blocks = (rest + part.value).split("\n\n");
    rest = blocks.pop();
    blocks.forEach(hear);
  }
};

const MOST = 1_000_000; // octets of a file

const file = form.elements.letters;
const place = file.closest("label");

const show = () => (place.hidden = form.elements.source.value !== "file");

const letters = async () => {
  if (place.hidden || !file.files.length) return "";
  if (file.files[0].size > MOST) throw new Error(progress.dataset.large);
  const octets = new Uint8Array(await file.files[0].arrayBuffer());
  return btoa(Array.from(octets, (one) => String.fromCharCode(one)).join(""));
};

form.elements.source.addEventListener("change", show);
show();

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  const value = async () => ({
    letters: await letters(),
    name: document.getElementById("name").value,
    text: document.getElementById("text").value,
    source: form.elements.source.value,
    offline: form.elements.offline.checked,
  });
  tried.replaceChildren();
  progress.textContent = progress.dataset.busy;
  button.disabled = true;
  try {
    const response = await fetch("/admin/configuration/try", {
      method: "POST",
      headers: { "content-type": "application/json", "x-csrf-token": csrf(), accept: "application/json" },
      body: JSON.stringify(await value()),
    });
    if (response.ok) await read(response);
    else progress.textContent = (await response.json()).detail ?? response.statusText;
  } catch (error) {
    progress.textContent = error.message;
  } finally {
    button.disabled = false;
  }
});

document.getElementById("trying").hidden = false;

// Times as the reader's own clock has them. The server knows its own zone alone, and writes that for who has no script.

const forms = {
  short: { dateStyle: "short", timeStyle: "short" },
  medium: { dateStyle: "medium", timeStyle: "medium" },
  long: { dateStyle: "full", timeStyle: "short" },
};
const made = {};
const form = (name) => (made[name] ??= new Intl.DateTimeFormat(document.documentElement.lang, forms[name]));

export const clocks = (root) => {
  for (const time of root.querySelectorAll("time[data-form]")) {
    const then = new Date(time.dataset.time * 1000);
    const until = new Date((time.dataset.until ?? 0) * 1000);
    const written = form(time.dataset.form);
    time.textContent = until > then ? written.formatRange(then, until) : written.format(then);
    time.dateTime = then.toISOString();
  }
};
